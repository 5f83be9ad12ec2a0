r"""The family of independent discretized logistic elements."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor

from ..distributions import discretized_logistic as discretized
from .base import Family
from .scale import bounded, check_bounds

__all__ = ["DiscretizedLogistic", "location_of"]


class DiscretizedLogistic(Family):
    r"""Independent integer levels, such as those of pixels: a logistic law, rounded.

    .. math:: p_h(y) = \prod_i \int_{y_i - 1/2}^{y_i + 1/2}
        \operatorname{Logistic}(t \mid \mu_i, s_i) \, dt \quad y_i \in \{0, \dots, L - 1\}

    where the outermost cells are open to infinity. With :math:`r = (L - 1) / 2`, half the range,
    :math:`\mu_i = r + r h_i` and :math:`s_i` is :math:`r` times a bounded scale.

    Example:
        >>> DiscretizedLogistic((1, 8, 8), levels=17)(torch.zeros(5, 2, 1, 8, 8)).event_shape
        torch.Size([1, 8, 8])

    References:
        | Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016)
        | https://arxiv.org/abs/1606.04934

    Arguments:
        event_shape: The shape of one draw.
        levels: The number :math:`L` of levels.
        floor: The smallest scale, in units of half the range.
        ceiling: The largest scale, in units of half the range.

    Raises:
        ValueError: If there are fewer than two levels, or the bounds are not
            ``0 < floor < 1 < ceiling``.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        levels: int = 256,
        floor: float = 1e-3,
        ceiling: float = 1e3,
    ) -> None:
        super().__init__(event_shape, features=2)

        if levels < 2:
            raise ValueError(f"DiscretizedLogistic needs two levels or more, got {levels}.")

        self.levels = levels
        self.floor = floor
        self.ceiling = ceiling
        check_bounds(floor, ceiling)

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        loc, rho = self.unbind(h)
        half = (self.levels - 1) / 2
        scale = half * bounded(rho, self.floor, self.ceiling)
        p = discretized.DiscretizedLogistic(half + half * loc, scale, self.levels)
        return p.to_event(len(self.event_shape))

    def at_mean(self, mean: Tensor) -> Tensor:
        h = super().at_mean(mean)
        h[0] = location_of(mean, bounded(h[1], self.floor, self.ceiling), self.levels)
        return h


def location_of(mean: Tensor, scale: Tensor, levels: int, steps: int = 64) -> Tensor:
    r"""Finds the location at which a discretized logistic law has a mean, by bisection.

    Arguments:
        mean: The mean, brought to within a thousandth of the range first.
        scale: The scale, in units of half the range :math:`r`.
        levels: The number of levels.
        steps: The number of bisections.

    Returns:
        The location, less :math:`r` and in units of :math:`r`.
    """
    half = (levels - 1) / 2
    mean = mean.clamp(2e-3 * half, 2 * half - 2e-3 * half)
    # A mean within a thousandth of the range takes a location some 7 scales beyond it.
    low = -1 - 20 * scale
    high = -low

    for _ in range(steps):
        middle = (low + high) / 2
        p = discretized.DiscretizedLogistic(half + half * middle, half * scale, levels)
        below = p.mean < mean
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)

    return (low + high) / 2
