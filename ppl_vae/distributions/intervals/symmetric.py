r"""Symmetric laws of a location and a scale, between two bounds."""

from __future__ import annotations

import math

import pyro.distributions as dist
import torch
from torch import Tensor

from ..numerics.tails import Tails, log1mexp
from .between import Between

__all__ = ["Symmetric"]

# Stands for the distance to a bound that is not there, lest gradients meet infinity.
FAR = 1e12


class Symmetric(Between):
    r"""A law of a location and a scale, symmetric about its location.

    Bounds are mirrored where most of the law lies above them, so that the near bound, at
    :math:`a` scales from the location, is the lower one. If :math:`a > 0` they hold but a tail.
    """

    def __init__(self, tails: Tails, base: dist.TorchDistribution, low: float, high: float) -> None:
        super().__init__(base, low, high)
        self.tails = tails
        below, above = base.loc - low, high - base.loc
        self.flip = below > above
        self.near = torch.where(self.flip, -above, -below) / base.scale
        self.tail = self.near > 0
        self.a = self.near.clamp(min=0)
        self.w = min(high - low, FAR) / base.scale
        self.far = self.near + self.w
        # The probability within, where that holds the location.
        mass = tails.centre(self.far) - tails.centre(self.near)
        self.mass = mass.clamp(min=torch.finfo(mass.dtype).tiny)

    @property
    def like(self) -> Tensor:
        return self.near

    def log_density(self, y: Tensor) -> Tensor:
        t = torch.where(self.flip, self.high - y, y - self.low) / self.base.scale
        z = (y - self.base.loc) / self.base.scale
        return self._log_density(t.clamp(min=0), z) - self.base.scale.log()

    def quantile(self, u: Tensor) -> Tensor:
        scale, finfo = self.base.scale, torch.finfo(u.dtype)

        with torch.no_grad():
            u = torch.where(self.flip, 1 - u, u).clamp(finfo.tiny, 1 - finfo.eps / 2)
            t, z = self._solve(u)
            density = self._log_density(t, z).exp().clamp(min=finfo.tiny)

        # The gradient is implicit: the probability below a quantile does not change.
        rise = self._probability(t, z)
        move = (rise.detach() - rise) / density
        tail = torch.where(self.flip, self.high - scale * (t + move), self.low + scale * (t + move))
        side = torch.where(self.flip, -scale, scale)
        y = torch.where(self.tail, tail, self.base.loc + side * (z + move))
        return y + (y.clamp(self.low, self.high) - y).detach()

    def mean(self) -> Tensor:
        # Of a tail, less what lies beyond the far bound.
        drop = self.tails.drop(self.a, self.w)
        excess = drop.exp() * (self.tails.residual(self.a + self.w) + self.w)
        t = (self.tails.residual(self.a) - excess) / -torch.expm1(drop)
        z = (self.tails.beyond(self.near) - self.tails.beyond(self.far)) / self.mass
        scale = self.base.scale
        side = torch.where(self.flip, -scale, scale)
        tail = torch.where(self.flip, self.high - scale * t, self.low + scale * t)
        y = torch.where(self.tail, tail, self.base.loc + side * z)
        return y.clamp(self.low, self.high)

    def log_ends(self) -> tuple[Tensor, Tensor]:
        loc, scale = self.base.loc, self.base.scale
        below = self.tails.log_beyond((loc - max(self.low, -FAR)) / scale)
        above = self.tails.log_beyond((min(self.high, FAR) - loc) / scale)
        return below, above

    def clamped_mean(self) -> Tensor:
        loc, scale = self.base.loc, self.base.scale
        lift = drop = torch.zeros_like(loc)

        if self.low > -math.inf:
            lift = self._shortfall((self.low - loc) / scale)
        if self.high < math.inf:
            drop = self._shortfall((loc - self.high) / scale)

        return (loc + scale * (lift - drop)).clamp(self.low, self.high)

    def _shortfall(self, z: Tensor) -> Tensor:
        # The mean of max(z - Z, 0).
        return z * (0.5 + self.tails.centre(z)) + self.tails.beyond(z)

    def _log_density(self, t: Tensor, z: Tensor) -> Tensor:
        tail = self.tails.excess(self.a, t) - log1mexp(self.tails.drop(self.a, self.w))
        return torch.where(self.tail, tail, self.tails.log_density(z) - self.mass.log())

    def _probability(self, t: Tensor, z: Tensor) -> Tensor:
        drop = self.tails.drop
        tail = torch.expm1(drop(self.a, t)) / torch.expm1(drop(self.a, self.w))
        centre = (self.tails.centre(z) - self.tails.centre(self.near)) / self.mass
        return torch.where(self.tail, tail, centre)

    def _solve(self, u: Tensor) -> tuple[Tensor, Tensor]:
        # As distances from the near bound, and as signed distances from the location.
        tail = torch.log1p(u * torch.expm1(self.tails.drop(self.a, self.w)))
        left = self.tails.log_beyond(-self.near).exp() + u * self.mass
        right = self.tails.log_beyond(self.far).exp() + (1 - u) * self.mass
        centre = (2 * torch.minimum(left, right)).clamp(torch.finfo(u.dtype).tiny, 1).log()
        t = self.tails.undrop(self.a, torch.where(self.tail, tail, centre))
        return t, torch.where(left < right, -t, t)
