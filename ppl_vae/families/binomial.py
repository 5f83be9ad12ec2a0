r"""The family of independent bounded counts."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor

from .base import Family

__all__ = ["Binomial"]


class Binomial(Family):
    r"""Independent counts of successes among a known number :math:`T` of trials.

    .. math:: p_h(y) = \prod_i \binom{T}{y_i} \sigma(h_i)^{y_i} (1 - \sigma(h_i))^{T - y_i}
        \quad y_i \in \{0, \dots, T\}

    Example:
        >>> Binomial((1, 8, 8), total=16)(torch.zeros(5, 1, 1, 8, 8)).event_shape
        torch.Size([1, 8, 8])

    Arguments:
        event_shape: The shape of one draw.
        total: The number :math:`T` of trials.

    Raises:
        ValueError: If ``total`` is not positive.
    """

    def __init__(self, event_shape: Sequence[int], total: int = 1) -> None:
        super().__init__(event_shape, features=1)

        if total < 1:
            raise ValueError(f"Binomial needs a positive total, got {total}.")

        self.total = total

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        (logits,) = self.unbind(h)
        return dist.Binomial(self.total, logits=logits).to_event(len(self.event_shape))

    def at_mean(self, mean: Tensor) -> Tensor:
        return torch.logit((mean / self.total).clamp(1e-3, 1 - 1e-3)).unsqueeze(0)
