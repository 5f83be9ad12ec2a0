r"""The normal prior with learned location and scale."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import nn

from ..families.scale import bounded
from .base import Prior

__all__ = ["LearnedNormal"]


class LearnedNormal(Prior):
    r"""A normal prior with independent elements, whose location and scale are learned.

    .. math:: p(z) = \mathcal{N}(z \mid \mu, \operatorname{diag} \sigma^2)

    Example:
        >>> LearnedNormal((8,))().event_shape
        torch.Size([8])

    Arguments:
        event_shape: The shape of one draw.
        floor: The smallest scale.
        ceiling: The largest scale.

    Raises:
        ValueError: Unless ``0 < floor < 1 < ceiling``.
    """

    def __init__(
        self, event_shape: Sequence[int], floor: float = 1e-3, ceiling: float = 1e3
    ) -> None:
        super().__init__(event_shape)
        self.floor = floor
        self.ceiling = ceiling
        self.loc = nn.Parameter(torch.zeros(self.event_shape))
        self.rho = nn.Parameter(torch.zeros(self.event_shape))
        bounded(self.rho, floor, ceiling)

    def forward(self) -> dist.TorchDistribution:
        scale = bounded(self.rho, self.floor, self.ceiling)
        return dist.Normal(self.loc, scale).to_event(len(self.event_shape))
