r"""Which of the user's files holds which split, and how each is read."""

from __future__ import annotations

__all__ = ["Source", "read", "sources"]

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .amat import amat
from .archive import archive
from .folder import folder
from .table import Table
from .text import text

_ENDINGS = ".npy, .npz, .mat, .csv, .txt, .amat (the last three also with .gz)"


@dataclass(frozen=True)
class Source:
    r"""Where the rows of one split are.

    Example:
        >>> Source("data.npz", key="train", labels=None).key
        'train'
    """

    file: str | os.PathLike[str]
    key: str | None
    labels: str | int | None


def sources(
    file: str | os.PathLike[str] | None,
    train_file: str | os.PathLike[str] | None,
    validation_file: str | os.PathLike[str] | None,
    test_file: str | os.PathLike[str] | None,
    key: str | Sequence[str] | None,
    labels: str | int | Sequence[str] | None,
) -> dict[str, Source]:
    r"""The source of each split, or of all rows under the name `""`.

    Raises:
        ValueError: if the options contradict each other.

    Example:
        >>> list(sources("data.npz", None, None, None, ["a", "b"], None))
        ['train', 'test']
    """

    given = {"train": train_file, "validation": validation_file, "test": test_file}
    files = {name: path for name, path in given.items() if path is not None}

    if (file is None) == (not files) or (files and train_file is None):
        raise ValueError("give either file, or train_file and the files of the other splits.")

    if file is not None and key is not None and not isinstance(key, str):
        names = ["train", "test"] if len(key) == 2 else ["train", "validation", "test"]
        marks = [None] * len(key) if labels is None else labels

        if len(key) != len(names) or isinstance(marks, (str, int)) or len(marks) != len(key):
            raise ValueError("give two or three keys: train, (validation,) test; labels likewise.")

        triples = zip(names, key, marks, strict=True)

        return {name: Source(file, k, label) for name, k, label in triples}

    if not (key is None or isinstance(key, str)) or not isinstance(labels, (str, int, type(None))):
        raise ValueError("several keys or labels need one file, with one key per split.")

    if file is not None:
        files = {"": file}

    return {name: Source(path, key, labels) for name, path in files.items()}


def read(source: Source) -> Table:
    r"""Reads a file or folder by the ending of its name.

    Raises:
        ValueError: if it is missing, broken or of an unknown kind.

    Example:
        >>> read(Source("data.parquet", None, None))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        ValueError: 'data.parquet' is of an unknown kind: a folder of images, or...
    """

    path = Path(source.file).expanduser()
    name = path.name.lower().removesuffix(".gz")
    packed = path.name.lower().endswith(".gz")

    if path.is_dir():
        if source.labels is not None:
            raise ValueError(f"'{path}' is a folder: its labels are the folders in it, name none.")

        return folder(path)

    if name.endswith((".npy", ".npz", ".mat")) and not packed:
        return archive(path, source.key, source.labels)

    if source.key is not None:
        raise ValueError(f"'{path}' holds one table: leave the key {source.key!r} out.")

    if name.endswith(".amat") and source.labels is None:
        return Table(amat(path))

    if name.endswith((".csv", ".txt", ".amat")):
        return text(path, source.labels)

    if not path.exists() and not path.suffix:
        raise ValueError(f"there is no file or folder '{path}': check the path.")

    raise ValueError(
        f"'{path}' is of an unknown kind: a folder of images, or one of {_ENDINGS} is needed."
    )
