r"""The standard normal prior."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor

from .base import Prior

__all__ = ["StandardNormal"]


class StandardNormal(Prior):
    r"""The standard normal prior.

    .. math:: p(z) = \mathcal{N}(z \mid 0, I)

    Example:
        >>> StandardNormal((8,))().event_shape
        torch.Size([8])

    Arguments:
        event_shape: The shape of one draw.
    """

    zero: Tensor

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__(event_shape)
        # A buffer, so that draws follow the device and the dtype of the module.
        self.register_buffer("zero", torch.zeros(()), persistent=False)

    def forward(self) -> dist.TorchDistribution:
        normal = dist.Normal(self.zero, torch.ones_like(self.zero))
        return normal.expand(self.event_shape).to_event(len(self.event_shape))
