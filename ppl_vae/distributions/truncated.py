r"""Laws restricted to an interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from .intervals.bounds import between, check_interval, interval

__all__ = ["Truncated"]


class Truncated(TorchDistribution):
    r"""A law, given that it lies between two bounds.

    .. math:: p(y) = \frac{p_0(y)}{P_0(a \le Y \le b)} \quad a \le y \le b

    Normal, Laplace, Huber and LogNormal laws are exact however far out in a tail the bounds lie;
    other laws are as exact as their ``cdf``: where it tells no mass between the bounds, densities
    are too small, never too large. Draws are reparameterized, where the law has an ``icdf``.

    Example:
        >>> import pyro.distributions as dist
        >>> import torch
        >>> p = Truncated(dist.Normal(torch.tensor(-1e4), torch.tensor(1.0)), low=0.0)
        >>> p.log_prob(torch.tensor(0.0)).exp()  # nearly that of an exponential law
        tensor(10000.0010)
        >>> p.mean
        tensor(1.0000e-04)

    Arguments:
        base_dist: The law, over single numbers.
        low: The lower bound :math:`a`, a number or minus infinity.
        high: The upper bound :math:`b`, a number or infinity.

    Raises:
        ValueError: If the law is over vectors, or the bounds are not in order, or both infinite.
    """

    first_order = True
    r"""Draws have no second derivative: that of a quantile is taken with the density fixed."""
    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self,
        base_dist: TorchDistribution,
        low: float = -math.inf,
        high: float = math.inf,
        validate_args: bool | None = None,
    ) -> None:
        check_interval("Truncated", base_dist, low, high)
        self.base_dist = base_dist
        self.low = low
        self.high = high
        super().__init__(base_dist.batch_shape, validate_args=validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return bool(self.base_dist.has_rsample)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        return interval(self.low, self.high)

    @property
    def mean(self) -> Tensor:
        return between(self.base_dist, self.low, self.high).mean()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)

        return between(self.base_dist, self.low, self.high).log_density(value)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))
        law = between(self.base_dist, self.low, self.high)
        return law.quantile(torch.rand(shape, dtype=law.like.dtype, device=law.like.device))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with torch.no_grad():
            return self.rsample(sample_shape)

    def expand(self, batch_shape: Sequence[int], _instance: Truncated | None = None) -> Truncated:
        new = self._get_checked_instance(Truncated, _instance)
        new.base_dist = self.base_dist.expand(torch.Size(batch_shape))
        new.low, new.high = self.low, self.high
        super(Truncated, new).__init__(new.base_dist.batch_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new
