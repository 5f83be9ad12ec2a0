r"""The prior of categories, counted from zero."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor

from .base import Prior

__all__ = ["Categorical"]


class Categorical(Prior):
    r"""Independent elements in :math:`\{0, \dots, C - 1\}`.

    .. math:: p(z) = \prod_i \pi_{i, z_i}

    Example:
        >>> Categorical((8,), categories=3)().event_shape
        torch.Size([8])

    Arguments:
        event_shape: The shape of one draw.
        categories: The number :math:`C` of categories.
        learned: Whether the probabilities :math:`\pi_i` are learned, or stay equal.

    Raises:
        ValueError: If there are fewer than two categories.
    """

    logits: Tensor

    def __init__(
        self, event_shape: Sequence[int], categories: int = 10, *, learned: bool = False
    ) -> None:
        super().__init__(event_shape)

        if categories < 2:
            raise ValueError(f"Categorical needs two categories or more, got {categories}.")

        self.hold("logits", torch.zeros(*self.event_shape, categories), learned=learned)

    def forward(self) -> dist.TorchDistribution:
        return dist.Categorical(logits=self.logits).to_event(len(self.event_shape))
