r"""The binary format idx of MNIST and its relatives."""

from __future__ import annotations

__all__ = ["idx"]

import os

import numpy as np
import torch
from torch import Tensor

from .files import read_bytes


def idx(file: str | os.PathLike[str]) -> Tensor:
    r"""Reads an idx file of bytes, also packed by gzip, to a uint8 tensor.

    The header holds two zeros, the type 8, the number of dimensions and each dimension as a
    big-endian 32-bit integer; the bytes follow.

    Raises:
        ValueError: if the file is missing, truncated or of another format.

    Example:
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "toy-labels-idx1-ubyte")
        ...     _ = file.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 2, 5, 7]))
        ...     idx(file)
        tensor([5, 7], dtype=torch.uint8)
    """

    content = read_bytes(file)

    if content[:3] != b"\0\0\x08" or len(content) < 4 + 4 * content[3]:
        raise ValueError(f"'{file}' is not an idx file of bytes: get the file again.")

    start = 4 + 4 * content[3]
    shape = np.frombuffer(content[4:start], ">u4").tolist()
    values = np.frombuffer(content, np.uint8, offset=start)

    if values.size != np.prod(shape):
        raise ValueError(
            f"'{file}' announces shape {shape} and holds {values.size} bytes: get the file again."
        )

    return torch.from_numpy(values.reshape(shape).copy())
