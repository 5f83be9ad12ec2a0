r"""Positive scales, bounded on both sides, and back.

An unbounded log-variance is the commonest source of NaN in variational auto-encoders: the scale
collapses or explodes within a few steps. Every scale of the families goes through
:func:`bounded`, whose bounds are options of the family.
"""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

__all__ = ["bounded", "check_bounds", "unbounded"]


def bounded(rho: Tensor, floor: float, ceiling: float) -> Tensor:
    r"""Returns the scale :math:`\sigma \in (a, b)` of an unconstrained number :math:`\rho`.

    .. math::
        \sigma & = a + (b - a) \tanh \frac{s}{b - a} \\
        s & = \log(1 + e^{\rho + c})

    The constant :math:`c` is such that :math:`\sigma \approx 1` at :math:`\rho = 0`. Far below
    the ceiling the scale is a shifted softplus; near it, gradients fade but never vanish at once.

    Example:
        >>> import torch
        >>> bounded(torch.tensor([-100.0, 0.0, 100.0, 1e6]), floor=1e-3, ceiling=10.0)
        tensor([1.0000e-03, 9.9669e-01, 1.0000e+01, 1.0000e+01])

    Arguments:
        rho: The unconstrained number :math:`\rho`, with any shape.
        floor: The smallest scale :math:`a > 0`.
        ceiling: The largest scale :math:`b > 1`.

    Returns:
        The scale :math:`\sigma`, with the shape of ``rho``.

    Raises:
        ValueError: Unless :math:`0 < a < 1 < b`.
    """
    check_bounds(floor, ceiling)
    width = ceiling - floor
    softplus = F.softplus(rho + math.log(math.expm1(1 - floor)))
    return floor + width * (softplus / width).tanh()


def unbounded(scale: Tensor, floor: float, ceiling: float) -> Tensor:
    r"""Returns the number :math:`\rho` of a scale :math:`\sigma`, the inverse of :func:`bounded`.

    A scale outside of the bounds, or close to one, is brought within them first, by a ten
    thousandth of their distance at the ceiling.

    Example:
        >>> import torch
        >>> bounded(unbounded(torch.tensor([0.2, 1.0, 5.0]), 1e-3, 10.0), 1e-3, 10.0)
        tensor([0.2000, 1.0000, 5.0000])

    Arguments:
        scale: The scale :math:`\sigma`, with any shape.
        floor: The smallest scale :math:`a > 0`.
        ceiling: The largest scale :math:`b > 1`.

    Raises:
        ValueError: Unless :math:`0 < a < 1 < b`.
    """
    check_bounds(floor, ceiling)
    width = ceiling - floor
    share = ((scale - floor) / width).clamp(1e-4 * floor / width, 1 - 1e-4)
    s = width * share.atanh()
    # log(e^s - 1), without overflow.
    return s + (-(-s).expm1()).log() - math.log(math.expm1(1 - floor))


def check_bounds(floor: float, ceiling: float) -> None:
    r"""Raises a ValueError unless :math:`0 < a < 1 < b`."""
    if not 0 < floor < 1 < ceiling < math.inf:
        raise ValueError(
            "A scale needs 0 < floor < 1 < ceiling, all finite, "
            f"got floor={floor} and ceiling={ceiling}."
        )
