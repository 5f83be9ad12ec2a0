r"""Laws whose draws are clamped to bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from .intervals.bounds import between, check_interval, interval

__all__ = ["Clamped"]


class Clamped(TorchDistribution):
    r"""A law whose values beyond a bound are told as the bound.

    .. math::
        p(a) & = P_0(Y \le a) \\
        p(y) & = p_0(y) \quad a < y < b \\
        p(b) & = P_0(Y \ge b)

    a density with respect to Lebesgue measure and a unit mass at each bound; :attr:`measure` tells
    so. Draws are not reparameterized.

    Example:
        >>> import pyro.distributions as dist
        >>> import torch
        >>> p = Clamped(dist.Normal(torch.tensor(0.0), torch.tensor(1.0)), low=0.0)
        >>> p.log_prob(torch.tensor([0.0, 1.0])).exp()
        tensor([0.5000, 0.2420])
        >>> p.mean, p.measure
        (tensor(0.3989), 'lebesgue + point 0')

    References:
        | Estimation of Relationships for Limited Dependent Variables (Tobin, 1958)
        | https://doi.org/10.2307/1907382

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
        check_interval("Clamped", base_dist, low, high)
        self.base_dist = base_dist
        self.low = low
        self.high = high
        super().__init__(base_dist.batch_shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> constraints.Constraint:
        return interval(self.low, self.high)

    @property
    def measure(self) -> str:
        r"""The measure that it is a density of."""
        points = [f"{bound:g}" for bound in (self.low, self.high) if math.isfinite(bound)]
        return f"lebesgue + point{'s' * (len(points) > 1)} {' and '.join(points)}"

    @property
    def mean(self) -> Tensor:
        return between(self.base_dist, self.low, self.high).clamped_mean()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)

        below, above = between(self.base_dist, self.low, self.high).log_ends()
        log_prob = self.base_dist.log_prob(value)
        log_prob = torch.where(value >= self.high, above, log_prob)
        return torch.where(value <= self.low, below, log_prob)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with torch.no_grad():
            return self.base_dist.sample(torch.Size(sample_shape)).clamp(self.low, self.high)

    def expand(self, batch_shape: Sequence[int], _instance: Clamped | None = None) -> Clamped:
        new = self._get_checked_instance(Clamped, _instance)
        new.base_dist = self.base_dist.expand(torch.Size(batch_shape))
        new.low, new.high = self.low, self.high
        super(Clamped, new).__init__(new.base_dist.batch_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new
