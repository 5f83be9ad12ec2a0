r"""Laws that know their cumulative distribution, between two bounds."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from .between import Between

__all__ = ["ByCdf"]


class ByCdf(Between):
    r"""Any law that knows its cumulative distribution, as exact as that is.

    The mass between the bounds is a difference of probabilities. Where less is left of it than they
    can tell, the law counts as if it had that much: densities are too small then, never too large.
    """

    @property
    def like(self) -> Tensor:
        p: Any = self.base

        # A transformed law holds its parameters further in.
        while not (found := [t for t in vars(p).values() if isinstance(t, Tensor)]):
            p = p.base_dist

        return found[0]

    def log_density(self, y: Tensor) -> Tensor:
        low, high = self._cdf()
        mass = high - low
        # By more than two cumulative probabilities round off, lest a density exceeds the true one.
        return self.base.log_prob(y) - (mass + 4 * torch.finfo(mass.dtype).eps).log()

    def quantile(self, u: Tensor) -> Tensor:
        low, high = self._cdf()
        y = self.base.icdf(low + u * (high - low))
        return y + (y.clamp(self.low, self.high) - y).detach()

    def mean(self) -> Tensor:
        raise NotImplementedError(f"The mean of a bounded {type(self.base).__name__} is unknown.")

    def log_ends(self) -> tuple[Tensor, Tensor]:
        low, high = self._cdf()
        return _log(low), _log(1 - high)

    def clamped_mean(self) -> Tensor:
        return self.mean()

    def _cdf(self) -> tuple[Tensor, Tensor]:
        # Without a bound nothing lies beyond; a cdf at infinity has no gradient.
        low, high = (self.like.new_full(self.base.batch_shape, y) for y in (self.low, self.high))
        return (
            torch.zeros_like(low) if math.isinf(self.low) else self.base.cdf(low),
            torch.ones_like(high) if math.isinf(self.high) else self.base.cdf(high),
        )


def _log(p: Tensor) -> Tensor:
    return p.clamp(min=torch.finfo(p.dtype).tiny).log()
