r"""The prior of a normalizing flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor

from ..families.flow import FlowDistribution, lazy_flow
from .base import Prior

__all__ = ["Flow"]


class Flow(Prior):
    r"""A normalizing flow, fast in the direction of scoring.

    .. math:: \log p(z) = \log \mathcal{N}(f(z) \mid 0, I)
        + \log \left| \det \frac{\partial f}{\partial z} \right|

    Example:
        >>> Flow((8,))().event_shape
        torch.Size([8])

    References:
        | Variational Lossy Autoencoder (Chen et al., 2017)
        | https://arxiv.org/abs/1611.02731

        | Masked Autoregressive Flow for Density Estimation (Papamakarios et al., 2017)
        | https://arxiv.org/abs/1705.07057

        | Neural Autoregressive Flows (Huang et al., 2018)
        | https://arxiv.org/abs/1804.00779

    Arguments:
        event_shape: The shape ``(d,)`` of one draw.
        kind: One of :data:`ppl_vae.families.flow.KINDS` but ``"IAF"``, which is slow to score.
        transforms: The number of transformations.
        hidden: The widths of the hidden layers of each transformation.

    Raises:
        ValueError: If a draw is not a vector, there is no such kind, the kind is slow to score, or
            a size is not positive.
    """

    zero: Tensor

    def __init__(
        self,
        event_shape: Sequence[int],
        kind: str = "MAF",
        transforms: int = 3,
        hidden: Sequence[int] = (64, 64),
    ) -> None:
        super().__init__(event_shape)

        if len(self.event_shape) != 1:
            raise ValueError(
                f"Flow is over vectors, got event_shape {tuple(self.event_shape)}; "
                "give it one dimension, such as (8,)."
            )

        if kind == "IAF":
            raise ValueError(
                "A prior of kind 'IAF' draws fast and scores slowly, but each step scores it; take "
                "kind='MAF', which is fast in the other direction."
            )

        (d,) = self.event_shape
        self.register_buffer("zero", torch.zeros(()), persistent=False)
        self.transform: Any = lazy_flow(kind, d, transforms, hidden)

    def forward(self) -> dist.TorchDistribution:
        normal = dist.Normal(self.zero, torch.ones_like(self.zero))
        base = normal.expand(self.event_shape).to_event(1)
        return FlowDistribution(base, self.transform().inv)
