r"""The user's own data, from files."""

from __future__ import annotations

__all__ = ["array"]

import os
from collections.abc import Sequence
from typing import TypeAlias

from .base import Data
from .partition import fractions, partition
from .rows import gather
from .scaling import standardize, unit
from .source import sources
from .split import Split

Path: TypeAlias = str | os.PathLike[str]

SCALINGS = {"none": None, "standardize": standardize, "unit": unit}


def array(
    file: Path | None = None,
    *,
    labels: str | int | Sequence[str] | None = None,
    splits: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int = 0,
    scaling: str = "none",
    binarization: str = "none",
    event_shape: Sequence[int] | None = None,
    key: str | Sequence[str] | None = None,
    train_file: Path | None = None,
    validation_file: Path | None = None,
    test_file: Path | None = None,
    allow_nan: bool = False,
    exposure: str | int | None = None,
) -> Data:
    r"""Rows of a .npy, .npz, .mat, .csv, .txt or .amat file, or of a folder of images.

    The rows of one file are split by a seeded permutation. Given files, or several keys of one
    file, are the splits themselves.

    Arguments:
        file: The file, also .csv.gz, .txt.gz or .amat.gz, or the folder.
        labels: The column of labels, by name or number, or the array of labels by key; it is not
            part of `x`. Folders of images have a folder per class instead.
        splits: The fractions of train, validation and test; 0 for no such split.
        seed: The seed of the permutation and of the binarization.
        scaling: `none`; `standardize` to mean 0 and variance 1, or `unit` to the range 0..1, both
            fitted on the training split. The change of volume is `log_volume`.
        binarization: One of `none`, `threshold`, `static` and `dynamic`.
        event_shape: The shape of one datum, by default that of the file's rows.
        key: The array of a .npz or .mat file, or one per split: train, (validation,) test.
        train_file: A file of training rows, instead of `file`.
        validation_file: A file of validation rows.
        test_file: A file of test rows.
        allow_nan: Whether values may be missing, for a masked likelihood.
        exposure: The exposure of each row of counts, which batches hold beside `x`: `total`, the
            sum of the row, or a column of a table, by name or by number without the labels, which
            then is not part of `x`.

    Raises:
        ValueError: if options contradict each other; upon loading, if a file is missing, empty or
            not numeric, holds NaN or infinity, or does not fit the shape.

    Example:
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "toy.csv")
        ...     _ = file.write_text("a,b\n" + "".join(f"{i},{2.5 * i}\n" for i in range(10)))
        ...     data = array(file, scaling="standardize")
        ...     data.counts, data.event_shape
        ({'train': 8, 'validation': 1, 'test': 1}, torch.Size([2]))
    """

    origin = sources(file, train_file, validation_file, test_file, key, labels)
    shares = fractions(splits)
    _check(scaling, binarization, exposure)

    def load() -> dict[str, Split]:
        place = None if exposure == "total" else exposure
        rows = gather(origin, event_shape, allow_nan=allow_nan, exposure=place)

        return partition(rows[""], shares, seed) if "" in rows else rows

    return Data(
        _name(file or train_file),
        load,
        binarization=binarization,
        scale=SCALINGS[scaling],
        seed=seed,
        allow_nan=allow_nan,
        totals=exposure == "total",
    )


def _check(scaling: str, binarization: str, exposure: str | int | None) -> None:
    if scaling not in SCALINGS:
        raise ValueError(f"unknown scaling {scaling!r}: there are {', '.join(SCALINGS)}.")

    if exposure is not None and (scaling != "none" or binarization != "none"):
        raise ValueError(
            f"an exposure is that of counts as they are: choose scaling 'none' and binarization "
            f"'none', not {scaling!r} and {binarization!r}."
        )


def _name(file: Path | None) -> str:
    return os.path.basename(os.path.normpath(file or "array")).split(".")[0]
