r"""What is known of the data beside them: labels and factors."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["as_codes", "as_factors", "as_labels"]

Array = Tensor | np.ndarray


def as_codes(codes: Array) -> np.ndarray:
    r"""Codes in double precision, with shape ``(n, d)``.

    Raises:
        ValueError: If they are no rows of finite numbers, two or more.
    """
    z: np.ndarray = torch.as_tensor(codes).detach().cpu().double().numpy()

    if z.ndim != 2 or len(z) < 2 or z.shape[1] == 0:
        raise ValueError(f"Codes have shape (n, d), with two data or more, got {z.shape}.")
    if not np.isfinite(z).all():
        raise ValueError("The codes hold NaN or infinite values; drop those rows.")
    return z


def as_labels(labels: Array, n: int) -> np.ndarray:
    r"""Labels as the numbers of their classes from zero on, with shape ``(n,)``.

    Example:
        >>> as_labels(np.array([3, 7, 3]), 3)
        array([0, 1, 0])

    Raises:
        ValueError: If they are not :math:`n` integers, or all equal.
    """
    y: np.ndarray = torch.as_tensor(labels).detach().cpu().numpy()

    if y.shape != (n,) or not np.issubdtype(y.dtype, np.integer):
        raise ValueError(
            f"Labels are one integer for each of {n} codes, got shape {y.shape} of {y.dtype}."
        )

    levels, numbers = np.unique(y, return_inverse=True)
    if len(levels) < 2:
        raise ValueError(f"All data have the label {levels[0]}; there is nothing to tell apart.")
    return numbers.reshape(n)


def as_factors(codes: Array, factors: Array) -> tuple[np.ndarray, np.ndarray]:
    r"""Codes, and factors as the numbers of their levels from zero on, with shape ``(n, F)``.

    Raises:
        ValueError: If there is not a row of integers for each code, or a factor has one level.
    """
    z = as_codes(codes)
    v: np.ndarray = torch.as_tensor(factors).detach().cpu().numpy()

    if v.ndim != 2 or len(v) != len(z) or v.shape[1] == 0 or not np.issubdtype(v.dtype, np.integer):
        raise ValueError(
            f"Factors are integers with shape ({len(z)}, F), one row for each code, got shape "
            f"{v.shape} of {v.dtype}."
        )
    for k, column in enumerate(v.T):
        if len(np.unique(column)) < 2:
            raise ValueError(f"Factor {k} has one level in these data; leave it out.")

    return z, np.stack([np.unique(c, return_inverse=True)[1].reshape(-1) for c in v.T], 1)
