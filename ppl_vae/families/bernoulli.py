r"""The family of independent binary elements."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor

from .base import Family

__all__ = ["Bernoulli"]


class Bernoulli(Family):
    r"""Independent binary elements.

    .. math:: p_h(y) = \prod_i \sigma(h_i)^{y_i} (1 - \sigma(h_i))^{1 - y_i}
        \quad y_i \in \{0, 1\}

    Grey pixels in :math:`[0, 1]` are no draws of it: binarize them, or take a family of real
    numbers.

    Example:
        >>> Bernoulli((1, 8, 8))(torch.zeros(5, 1, 1, 8, 8)).event_shape
        torch.Size([1, 8, 8])

    Arguments:
        event_shape: The shape of one draw.
    """

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__(event_shape, features=1)

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        (logits,) = self.unbind(h)
        return dist.Bernoulli(logits=logits).to_event(len(self.event_shape))

    def at_mean(self, mean: Tensor) -> Tensor:
        return torch.logit(mean.clamp(1e-3, 1 - 1e-3)).unsqueeze(0)
