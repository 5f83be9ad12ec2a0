r"""Laws restricted to an interval."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .intervals.bounded import Bounded

__all__ = ["Truncated"]


class Truncated(Bounded):
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

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return bool(self.base_dist.has_rsample)

    @property
    def mean(self) -> Tensor:
        return self.between().mean()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)

        return self.between().log_density(value)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))
        law = self.between()
        return law.quantile(torch.rand(shape, dtype=law.like.dtype, device=law.like.device))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with torch.no_grad():
            return self.rsample(sample_shape)
