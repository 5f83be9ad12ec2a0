r"""The family of independent categories."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
from torch import Tensor

from .base import Family

__all__ = ["Categorical"]


class Categorical(Family):
    r"""Independent elements, each one of :math:`C` categories.

    .. math:: p_h(y) = \prod_i \operatorname{softmax}(h_i)_{y_i} \quad y_i \in \{0, \dots, C - 1\}

    Draws are not reparameterized; as a posterior, it needs an objective with a score-function
    gradient, such as :class:`ppl_vae.objectives.ELBO` with several particles.

    Example:
        >>> import torch
        >>> Categorical((3,), categories=4)(torch.zeros(5, 4, 3)).event_shape
        torch.Size([3])

    Arguments:
        event_shape: The shape of one draw.
        categories: The number :math:`C` of categories.

    Raises:
        ValueError: If there are fewer than two categories.
    """

    def __init__(self, event_shape: Sequence[int], categories: int = 2) -> None:
        super().__init__(event_shape, features=categories)

        if categories < 2:
            raise ValueError(f"Categorical needs two categories or more, got {categories}.")

        self.categories = categories

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        logits = h.movedim(-1 - len(self.event_shape), -1)
        return dist.Categorical(logits=logits).to_event(len(self.event_shape))
