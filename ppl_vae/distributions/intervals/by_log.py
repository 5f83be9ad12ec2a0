r"""Laws of the exponential of a number, between two bounds."""

from __future__ import annotations

import math

import pyro.distributions as dist
from torch import Tensor

from .between import Between

__all__ = ["ByLog", "log_bound"]


class ByLog(Between):
    r"""The law of :math:`e^X`, as exact as that of :math:`X` between the logarithms of the bounds.

    Arguments:
        base: The law of :math:`e^X`.
        inner: That of :math:`X` between the logarithms, which :func:`log_bound` tells.
        low: The lower bound.
        high: The upper bound.
    """

    def __init__(
        self, base: dist.TorchDistribution, inner: Between, low: float, high: float
    ) -> None:
        super().__init__(base, low, high)
        self.inner = inner

    @property
    def like(self) -> Tensor:
        return self.inner.like

    def log_density(self, y: Tensor) -> Tensor:
        x = y.log()
        return self.inner.log_density(x) - x

    def quantile(self, u: Tensor) -> Tensor:
        y = self.inner.quantile(u).exp()
        return y + (y.clamp(self.low, self.high) - y).detach()

    def mean(self) -> Tensor:
        raise NotImplementedError(f"The mean of a bounded {type(self.base).__name__} is unknown.")

    def log_ends(self) -> tuple[Tensor, Tensor]:
        return self.inner.log_ends()

    def clamped_mean(self) -> Tensor:
        return self.mean()


def log_bound(y: float) -> float:
    r"""Returns :math:`\log y`, minus infinity for what is not positive.

    Example:
        >>> log_bound(1.0), log_bound(-2.0)
        (0.0, -inf)
    """
    return math.log(y) if y > 0 else -math.inf
