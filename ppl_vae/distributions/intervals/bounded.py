r"""Laws that are made of another law and two bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import torch
from pyro.distributions import TorchDistribution
from torch.distributions import constraints

from .between import Between
from .bounds import between

__all__ = ["Bounded"]


class Bounded(TorchDistribution):
    r"""A law over single numbers, changed by two bounds.

    To write a new one, subclass it, and take from ``self.between()`` what lies within the bounds,
    below and above.

    Arguments:
        base_dist: The law, over single numbers.
        low: The lower bound :math:`a`, a number or minus infinity.
        high: The upper bound :math:`b`, a number or infinity.

    Raises:
        ValueError: If the law is over vectors, or the bounds are not in order, or both infinite.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        base_dist: TorchDistribution,
        low: float = -math.inf,
        high: float = math.inf,
        validate_args: bool | None = None,
    ) -> None:
        name = type(self).__name__
        if base_dist.event_shape:
            shape = tuple(base_dist.event_shape)
            raise ValueError(f"{name} needs a law over single numbers, got one over {shape}.")
        if not low < high or (math.isinf(low) and math.isinf(high)):
            raise ValueError(
                f"{name} needs bounds low < high, one of them finite, got low={low} and "
                f"high={high}."
            )

        self.base_dist = base_dist
        self.low = low
        self.high = high
        super().__init__(base_dist.batch_shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        # Both bounds are part of it.
        if math.isinf(self.high):
            return constraints.greater_than_eq(self.low)

        return constraints.interval(self.low, self.high)

    def between(self) -> Between:
        r"""Returns the law between the bounds."""
        return between(self.base_dist, self.low, self.high)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Self:
        new: Self = self._get_checked_instance(Bounded, _instance)
        new.base_dist = self.base_dist.expand(torch.Size(batch_shape))
        new.low, new.high = self.low, self.high
        super(Bounded, new).__init__(new.base_dist.batch_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new
