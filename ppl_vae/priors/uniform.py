r"""The uniform prior on a box."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor

from .base import Prior

__all__ = ["Uniform"]


class Uniform(Prior):
    r"""Independent uniform elements.

    .. math:: p(z) = \prod_i \mathcal{U}(z_i \mid a, b)

    There is nothing to learn in it, for the density has no gradient in the bounds. The posterior
    must stay between them, both of which have a density, as a truncated one does.

    Example:
        >>> Uniform((8,), low=0, high=1)().event_shape
        torch.Size([8])

    Arguments:
        event_shape: The shape of one draw.
        low: The lower bound :math:`a`.
        high: The upper bound :math:`b`.

    Raises:
        ValueError: Unless the bounds are finite, and the lower one is below the upper one.
    """

    low: Tensor
    high: Tensor

    def __init__(self, event_shape: Sequence[int], low: float = -1.0, high: float = 1.0) -> None:
        super().__init__(event_shape)

        if not -math.inf < low < high < math.inf:
            raise ValueError(
                f"Uniform needs finite bounds, low below high, got low={low} and high={high}."
            )

        self.hold("low", torch.full(self.event_shape, float(low)))
        self.hold("high", torch.full(self.event_shape, float(high)))

    def forward(self) -> dist.TorchDistribution:
        # The density of torch's is zero at its upper end, which draws of a posterior round to.
        high = self.high.nextafter(self.high.new_tensor(math.inf))
        return dist.Uniform(self.low, high).to_event(len(self.event_shape))
