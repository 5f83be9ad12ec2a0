r"""The family of independent positive elements whose logarithms are normal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pyro.distributions as dist
from torch import Tensor

from .base import Family
from .scale import bounded, check_bounds

__all__ = ["LogNormal"]


class LogNormal(Family):
    r"""Independent positive elements, with errors in proportion to their size.

    .. math:: \log y_i \sim \mathcal{N}(\mu_i, \sigma_i^2) \quad \mu_i = m \tanh (h_i / m)

    The location is bounded by :math:`\pm m`, and the default bounds are such that draws neither
    vanish nor overflow in single precision. Zeros are no draws of it.

    Example:
        >>> import torch
        >>> LogNormal((3,))(torch.zeros(5, 2, 3)).event_shape
        torch.Size([3])

    Arguments:
        event_shape: The shape of one draw.
        bound: The bound :math:`m` of the location, in units of the logarithm.
        floor: The smallest scale :math:`\sigma`.
        ceiling: The largest scale :math:`\sigma`.

    Raises:
        ValueError: If the bound is not positive and finite, or the bounds are not
            ``0 < floor < 1 < ceiling``.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        bound: float = 25.0,
        floor: float = 1e-4,
        ceiling: float = 10.0,
    ) -> None:
        super().__init__(event_shape, features=2)

        if not 0 < bound < math.inf:
            raise ValueError(f"The bound of LogNormal must be positive and finite, got {bound}.")

        self.bound = bound
        self.floor = floor
        self.ceiling = ceiling
        check_bounds(floor, ceiling)

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        loc, rho = self.unbind(h)
        loc = self.bound * (loc / self.bound).tanh()
        scale = bounded(rho, self.floor, self.ceiling)
        return dist.LogNormal(loc, scale).to_event(len(self.event_shape))

    def at_mean(self, mean: Tensor) -> Tensor:
        h = super().at_mean(mean)
        # The mean is exp(loc + scale^2 / 2).
        scale = bounded(h[1], self.floor, self.ceiling)
        share = (mean.log() - scale**2 / 2) / self.bound
        h[0] = self.bound * share.clamp(-0.999, 0.999).atanh()
        return h
