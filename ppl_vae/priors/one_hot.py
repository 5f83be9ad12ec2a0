r"""The prior of categories, as unit vectors."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor

from ..distributions.one_hot_categorical import OneHotCategorical
from .base import Prior

__all__ = ["OneHot"]


class OneHot(Prior):
    r"""Independent categories, each the unit vector of its number.

    .. math:: p(z) = \prod_i \prod_{c=1}^C \pi_{ic}^{z_{ic}}

    Example:
        >>> OneHot((3, 10))().event_shape
        torch.Size([3, 10])

    Arguments:
        event_shape: The shape of one draw, the last size of which is the number :math:`C` of
            categories.
        learned: Whether the probabilities :math:`\pi_i` are learned, or stay equal.

    Raises:
        ValueError: If there are fewer than two categories.
    """

    logits: Tensor

    def __init__(self, event_shape: Sequence[int], *, learned: bool = False) -> None:
        super().__init__(event_shape)

        if len(self.event_shape) < 1 or self.event_shape[-1] < 2:
            raise ValueError(
                "OneHot needs two categories or more as the last size of event_shape, got "
                f"{tuple(self.event_shape)}."
            )

        self.hold("logits", torch.zeros(self.event_shape), learned=learned)

    def forward(self) -> dist.TorchDistribution:
        return OneHotCategorical(logits=self.logits).to_event(len(self.event_shape) - 1)
