r"""Laws whose draws are clamped to bounds."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from .intervals.bounded import Bounded

__all__ = ["Clamped"]


class Clamped(Bounded):
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

    @property
    def measure(self) -> str:
        r"""The measure that it is a density of."""
        points = [f"{bound:g}" for bound in (self.low, self.high) if math.isfinite(bound)]
        return f"lebesgue + point{'s' * (len(points) > 1)} {' and '.join(points)}"

    @property
    def mean(self) -> Tensor:
        return self.between().clamped_mean()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)

        below, above = self.between().log_ends()
        log_prob = self.base_dist.log_prob(value)
        log_prob = torch.where(value >= self.high, above, log_prob)
        return torch.where(value <= self.low, below, log_prob)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with torch.no_grad():
            return self.base_dist.sample(torch.Size(sample_shape)).clamp(self.low, self.high)
