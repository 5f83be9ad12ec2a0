r"""The family of independent positive elements, by mean and concentration."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
from torch import Tensor

from .base import Family
from .scale import bounded, check_bounds, unbounded

__all__ = ["Gamma"]


class Gamma(Family):
    r"""Independent positive elements, such as durations and intensities.

    .. math:: p_h(y) = \prod_i \frac{(a_i / m_i)^{a_i}}{\Gamma(a_i)} y_i^{a_i - 1}
        e^{- a_i y_i / m_i}

    with mean :math:`m` and concentration :math:`a`, so that the variance is :math:`m^2 / a`. At
    :math:`h = 0` it is the exponential distribution of mean 1. Zeros have an infinite density, or
    none: they are no data for it.

    Example:
        >>> import torch
        >>> Gamma((3,))(torch.zeros(5, 2, 3)).event_shape
        torch.Size([3])

    Arguments:
        event_shape: The shape of one draw.
        floor: The smallest mean.
        ceiling: The largest mean.
        concentration_floor: The smallest concentration; with much smaller ones, draws vanish in
            single precision.
        concentration_ceiling: The largest concentration.

    Raises:
        ValueError: Unless ``0 < floor < 1 < ceiling``, for both.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        floor: float = 1e-4,
        ceiling: float = 1e6,
        concentration_floor: float = 0.1,
        concentration_ceiling: float = 1e3,
    ) -> None:
        super().__init__(event_shape, features=2)
        self.mean = floor, ceiling
        self.concentration = concentration_floor, concentration_ceiling
        check_bounds(*self.mean)
        check_bounds(*self.concentration)

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        m, a = self.unbind(h)
        m, a = bounded(m, *self.mean), bounded(a, *self.concentration)
        return dist.Gamma(a, a / m).to_event(len(self.event_shape))

    def at_mean(self, mean: Tensor) -> Tensor:
        h = super().at_mean(mean)
        h[0] = unbounded(mean, *self.mean)
        return h
