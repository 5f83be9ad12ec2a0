r"""The text format .amat: one datum per line, numbers between blanks."""

from __future__ import annotations

__all__ = ["amat"]

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .files import read_bytes
from .text import text


def amat(file: str | os.PathLike[str]) -> NDArray[Any]:
    r"""Reads a .amat or .amat.gz file to an array of shape :math:`(n, d)`.

    A file of single digits, such as binarized images, becomes uint8 at memory speed.

    Raises:
        ValueError: if the file is missing or broken, or a cell is not a number.

    Example:
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "toy.amat")
        ...     _ = file.write_text("0 1 1\n1 0 0\n")
        ...     amat(file).tolist()
        [[0, 1, 1], [1, 0, 0]]
    """

    digits = _digits(read_bytes(file))

    return text(file).values if digits is None else digits


def _digits(content: bytes) -> NDArray[np.uint8] | None:
    # "0 1 1\n": every other byte is a digit and the width of all lines that of the first
    content = content if content.endswith(b"\n") else content + b"\n"
    width = content.index(b"\n") + 1

    if width % 2 or len(content) % width:
        return None

    pairs = np.frombuffer(content, np.uint8).reshape(-1, width)
    values, blanks = pairs[:, ::2] - ord("0"), pairs[:, 1::2]

    # unsigned: whatever precedes "0" wraps around to more than 9
    if values.max() > 9 or (blanks[:, :-1] != ord(" ")).any() or (blanks[:, -1] != 10).any():
        return None

    return values
