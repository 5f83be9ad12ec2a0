r"""The family of independent elements between 0 and 1, by two concentrations."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor

from .base import Family
from .scale import bounded, unbounded

__all__ = ["Beta"]


class Beta(Family):
    r"""Independent elements in :math:`(0, 1)`, such as shares and probabilities.

    .. math:: p_h(y) = \prod_i \frac{\Gamma(a_i + b_i)}{\Gamma(a_i) \Gamma(b_i)}
        y_i^{a_i - 1} (1 - y_i)^{b_i - 1}

    At :math:`h = 0` it is uniform. Exact zeros and ones have an infinite density, or none: they
    are no data for it.

    Example:
        >>> Beta((3,))(torch.zeros(5, 2, 3)).event_shape
        torch.Size([3])

    Arguments:
        event_shape: The shape of one draw.
        floor: The smallest concentration :math:`a` or :math:`b`; with much smaller ones, draws
            are 0 or 1 in single precision.
        ceiling: The largest concentration.

    Raises:
        ValueError: Unless ``0 < floor < 1 < ceiling``.
    """

    def __init__(
        self, event_shape: Sequence[int], floor: float = 0.1, ceiling: float = 1e3
    ) -> None:
        super().__init__(event_shape, features=2)
        self.floor = floor
        self.ceiling = ceiling
        bounded(torch.zeros(()), floor, ceiling)

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        a, b = (bounded(rho, self.floor, self.ceiling) for rho in self.unbind(h))
        return _Inside(a, b).to_event(len(self.event_shape))

    def at_mean(self, mean: Tensor) -> Tensor:
        mean = mean.clamp(1e-3, 1 - 1e-3)
        # Uniform at one half; far from it, the sum of both grows, lest the smaller meets its floor.
        total = (1.01 * self.floor / mean.minimum(1 - mean)).clamp(min=2)
        shares = torch.stack([total * mean, total * (1 - mean)])
        return unbounded(shares, self.floor, self.ceiling)


class _Inside(dist.Beta):
    # Draws within rounding of an end are set beside it, as torch does with those of Gamma: at the
    # end itself the density is zero or infinite.
    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        y: Tensor = super().rsample(torch.Size(sample_shape))
        eps = torch.finfo(y.dtype).eps
        return y.clamp(torch.finfo(y.dtype).tiny, 1 - eps)
