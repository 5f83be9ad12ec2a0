r"""Supports that hold absent values, and values that a support surely holds."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.constraint_registry import transform_to

__all__ = ["absent_or", "inside"]


class absent_or(constraints.Constraint):
    r"""The values of another support, and NaN, which stands for a value that is absent.

    Example:
        >>> import torch
        >>> absent_or(constraints.positive).check(torch.tensor([1.0, torch.nan, -1.0]))
        tensor([ True,  True, False])

    Arguments:
        base_constraint: The support of single numbers.
    """

    def __init__(self, base_constraint: constraints.Constraint) -> None:
        self.base_constraint = base_constraint
        super().__init__()

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        return bool(self.base_constraint.is_discrete)

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        return int(self.base_constraint.event_dim)

    def check(self, value: Tensor) -> Any:
        return value.isnan() | self.base_constraint.check(value)

    def __repr__(self) -> str:
        return f"absent_or({self.base_constraint})"


def inside(support: Any, like: Tensor) -> Tensor:
    r"""Returns some value of a support of single numbers, off its bounds where it has an inside.

    Example:
        >>> inside(constraints.positive_integer, torch.zeros(2))
        tensor([1., 1.])
        >>> inside(constraints.unit_interval, torch.zeros(2))
        tensor([0.5000, 0.5000])

    Arguments:
        support: The support, a constraint of torch.
        like: A tensor of the shape, dtype and device of the value.
    """
    while hasattr(support, "base_constraint"):
        support = support.base_constraint

    low, high = (getattr(support, name, None) for name in ("lower_bound", "upper_bound"))
    zeros = torch.zeros_like(like)

    if support.is_discrete:
        return zeros + (low if low is not None else 0 if high is None else min(0, high))
    if isinstance(high, float) and math.isinf(high):
        support = constraints.greater_than(low)
    elif isinstance(low, float) and math.isinf(low):
        support = constraints.less_than(high)

    value: Tensor = transform_to(support)(zeros)
    return value
