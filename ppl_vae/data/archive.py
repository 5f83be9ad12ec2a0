r"""Arrays in binary files: .npy, .npz (also SciPy's sparse ones) and MATLAB's .mat."""

from __future__ import annotations

__all__ = ["archive"]

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .table import Table, column


def archive(file: str | Path, key: str | None = None, labels: str | int | None = None) -> Table:
    r"""Reads the rows of a .npy, .npz or .mat file. Pickled objects are never loaded.

    Arguments:
        file: The file.
        key: Which array of the file, where it holds several.
        labels: The array of labels by name, or the column of a two-dimensional array by number.

    Raises:
        ValueError: if the file is missing or broken, holds objects or lacks the array.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = Path(folder, "toy.npz")
        ...     np.savez(file, x=np.ones((2, 3)), y=np.array([4, 5]))
        ...     table = archive(file, labels="y")
        >>> table.values.shape, table.labels.tolist()
        ((2, 3), [4, 5])
    """

    path = Path(file).expanduser()

    if not path.is_file():
        raise ValueError(f"there is no file '{path}': check the path.")

    arrays = _matlab(path) if path.suffix == ".mat" else _numpy(path)
    marks = None

    if isinstance(labels, str) and labels in arrays:
        marks = arrays.pop(labels).reshape(-1)

    values = _choose(arrays, key, path)

    if values.dtype.kind not in "biuf":
        raise ValueError(
            f"'{path}' holds {_kind(values)} where numbers are expected: save a plain array."
        )

    if labels is not None and marks is None:
        names = list(arrays)

        if values.ndim != 2 or (isinstance(labels, str) and not labels.lstrip("-").isdigit()):
            raise ValueError(f"'{path}' has no labels {labels!r}: it holds {', '.join(names)}.")

        at = column(labels, None, values.shape[1], f"'{path}'")
        marks, values = values[:, at], np.delete(values, at, axis=1)

    return Table(values, marks)


def _choose(arrays: Mapping[str, NDArray[Any]], key: str | None, path: Path) -> NDArray[Any]:
    names = ", ".join(arrays)

    if key is None and len(arrays) != 1:
        raise ValueError(f"'{path}' holds {names or 'no array'}: say which as key.")

    if key is not None and key not in arrays:
        raise ValueError(f"'{path}' has no array {key!r}: it holds {names}.")

    return arrays[key if key is not None else next(iter(arrays))]


def _numpy(path: Path) -> dict[str, NDArray[Any]]:
    try:
        # opened here, for NumPy leaves a broken archive open
        with open(path, "rb") as stream:
            content = np.load(stream, allow_pickle=False)

            if isinstance(content, np.ndarray):
                return {"array": content}

            if {"indptr", "indices", "data", "shape"} <= set(content.files):
                from scipy.sparse import load_npz

                return {"array": load_npz(path).toarray()}

            return {name: content[name] for name in content.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        cure = "save plain arrays" if "allow_pickle" in str(error) else "get the file again"
        reason = "it holds pickled objects" if "allow_pickle" in str(error) else str(error)
        raise ValueError(f"'{path}' cannot be read ({reason}): {cure}.") from error


def _matlab(path: Path) -> dict[str, NDArray[Any]]:
    from scipy.io import loadmat
    from scipy.io.matlab import MatReadError

    try:
        content = loadmat(path)
    except NotImplementedError as error:
        raise ValueError(f"'{path}' is of MATLAB version 7.3: save it with '-v7'.") from error
    except (MatReadError, ValueError, TypeError, OSError, EOFError) as error:
        raise ValueError(f"'{path}' cannot be read ({error}): get the file again.") from error

    arrays = {name: value for name, value in content.items() if not name.startswith("__")}

    return {k: v.toarray() if hasattr(v, "toarray") else v for k, v in arrays.items()}


def _kind(values: NDArray[Any]) -> str:
    return "objects" if values.dtype.kind == "O" else f"values of type {values.dtype}"
