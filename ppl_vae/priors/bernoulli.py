r"""The prior of coins."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor

from .base import Prior

__all__ = ["Bernoulli"]


class Bernoulli(Prior):
    r"""Independent elements in :math:`\{0, 1\}`.

    .. math:: p(z) = \prod_i \pi_i^{z_i} (1 - \pi_i)^{1 - z_i}

    Example:
        >>> Bernoulli((8,))().event_shape
        torch.Size([8])

    Arguments:
        event_shape: The shape of one draw.
        learned: Whether the probabilities :math:`\pi` are learned, or stay 1/2.
    """

    logits: Tensor

    def __init__(self, event_shape: Sequence[int], *, learned: bool = False) -> None:
        super().__init__(event_shape)
        self.hold("logits", torch.zeros(self.event_shape), learned=learned)

    def forward(self) -> dist.TorchDistribution:
        return dist.Bernoulli(logits=self.logits).to_event(len(self.event_shape))
