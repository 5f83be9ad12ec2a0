r"""The family of independent Laplace elements."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
from torch import Tensor

from .base import Family
from .scale import bounded, check_bounds

__all__ = ["Laplace"]


class Laplace(Family):
    r"""Independent Laplace elements, robust to outliers: a median where the normal has a mean.

    .. math:: p_h(y) = \prod_i \frac{1}{2 b_i} \exp \left( - \frac{|y_i - \mu_i|}{b_i} \right)

    Example:
        >>> import torch
        >>> Laplace((3,))(torch.zeros(5, 2, 3)).event_shape
        torch.Size([3])

    Arguments:
        event_shape: The shape of one draw.
        floor: The smallest scale :math:`b`.
        ceiling: The largest scale :math:`b`.

    Raises:
        ValueError: Unless ``0 < floor < 1 < ceiling``.
    """

    def __init__(
        self, event_shape: Sequence[int], floor: float = 1e-4, ceiling: float = 1e3
    ) -> None:
        super().__init__(event_shape, features=2)
        self.floor = floor
        self.ceiling = ceiling
        check_bounds(floor, ceiling)

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        loc, rho = self.unbind(h)
        scale = bounded(rho, self.floor, self.ceiling)
        return dist.Laplace(loc, scale).to_event(len(self.event_shape))

    def at_mean(self, mean: Tensor) -> Tensor:
        h = super().at_mean(mean)
        h[0] = mean
        return h
