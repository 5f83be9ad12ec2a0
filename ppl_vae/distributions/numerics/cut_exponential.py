r"""The exponential distribution cut to :math:`[0, 1]`, with rate :math:`a \geq 0`.

All follows from

.. math:: B(a) = \log \int_0^1 e^{-a y} \, \mathrm{d} y = \log \frac{1 - e^{-a}}{a}

and its derivatives. Near zero, where differences cancel, they come from the series
:math:`B(2 u) = -u + u^2 / 6 - u^4 / 180 + \dots`
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["apart", "log_normalizer", "mean_of", "variance_of"]

SERIES = (1 / 6, -1 / 180, 1 / 2835, -1 / 37800, 1 / 467775)
r"""Of :math:`B(2 u) + u`, in powers of :math:`u^2` from :math:`u^2` on."""

SMALL = 0.5
r"""Below it, five terms of the series are exact in double precision."""


def log_normalizer(a: Tensor) -> Tensor:
    r"""Returns :math:`B(a)`.

    Example:
        >>> import torch
        >>> log_normalizer(torch.tensor([0.0, 0.1, 1e6]))
        tensor([  0.0000,  -0.0496, -13.8155])
    """
    small, big = apart(a, SMALL)
    w = torch.where(small, a, 0.0) ** 2 / 4
    series = w * _polynomial(w, SERIES) - a / 2
    return torch.where(small, series, (-(-big).expm1()).log() - big.log())


def mean_of(a: Tensor) -> Tensor:
    r"""Returns the mean :math:`-B'(a)`.

    Example:
        >>> import torch
        >>> mean_of(torch.tensor([0.0, 0.1, 100.0]))
        tensor([0.5000, 0.4917, 0.0100])
    """
    small, big = apart(a, SMALL)
    u = torch.where(small, a, 0.0) / 2
    series = 0.5 - u * _polynomial(u**2, [(k + 1) * c for k, c in enumerate(SERIES)])
    return torch.where(small, series, 1 / big + (-big).exp() / (-big).expm1())


def variance_of(a: Tensor) -> Tensor:
    r"""Returns the variance :math:`B''(a)`.

    Example:
        >>> import torch
        >>> variance_of(torch.tensor([0.0, 10.0]))
        tensor([0.0833, 0.0100])
    """
    small, big = apart(a, SMALL)
    w = torch.where(small, a, 0.0) ** 2 / 4
    series = _polynomial(w, [(k + 1) * (2 * k + 1) / 2 * c for k, c in enumerate(SERIES)])
    return torch.where(small, series, 1 / big**2 - (-big).exp() / (-big).expm1() ** 2)


def apart(a: Tensor, bound: float) -> tuple[Tensor, Tensor]:
    r"""Tells where :math:`a` is small, and returns it with one in place of what is.

    So no formula sees a number that it is not for, and no gradient is NaN.

    Example:
        >>> import torch
        >>> apart(torch.tensor([0.0, 3.0]), 0.5)
        (tensor([ True, False]), tensor([1., 3.]))
    """
    small = a < bound
    return small, torch.where(small, 1.0, a)


def _polynomial(x: Tensor, coefficients: Sequence[float]) -> Tensor:
    out = torch.zeros_like(x)
    for c in reversed(coefficients):
        out = out * x + c
    return out
