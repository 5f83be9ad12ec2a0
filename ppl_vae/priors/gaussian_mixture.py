r"""The prior of a mixture of normal distributions."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import nn

from ..families.scale import bounded
from .base import Prior

__all__ = ["GaussianMixture"]


class GaussianMixture(Prior):
    r"""A learned mixture of normal distributions with independent elements.

    .. math:: p(z) = \sum_{k=1}^C \pi_k \, \mathcal{N}(z \mid \mu_k, \operatorname{diag} \sigma_k^2)

    Example:
        >>> GaussianMixture((8,), components=3)().event_shape
        torch.Size([8])

    References:
        | Deep Unsupervised Clustering with Gaussian Mixture Variational Autoencoders
        | (Dilokthanakul et al., 2016)
        | https://arxiv.org/abs/1611.02648

    Arguments:
        event_shape: The shape of one draw.
        components: The number :math:`C` of components.
        spread: The standard deviation of the locations :math:`\mu_k` at the start.
        floor: The smallest scale.
        ceiling: The largest scale.

    Raises:
        ValueError: If there is no component, the spread is negative, or the bounds are not
            ``0 < floor < 1 < ceiling``.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        components: int = 10,
        spread: float = 1.0,
        floor: float = 1e-3,
        ceiling: float = 1e3,
    ) -> None:
        super().__init__(event_shape)

        if components < 1:
            raise ValueError(f"GaussianMixture needs one component or more, got {components}.")
        if not spread >= 0:
            raise ValueError(f"The spread of GaussianMixture must not be negative, got {spread}.")

        self.floor = floor
        self.ceiling = ceiling
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(spread * torch.randn(components, *self.event_shape))
        self.rho = nn.Parameter(torch.zeros(components, *self.event_shape))
        bounded(self.rho, floor, ceiling)

    def forward(self) -> dist.TorchDistribution:
        normal = dist.Normal(self.loc, bounded(self.rho, self.floor, self.ceiling))
        return dist.MixtureSameFamily(
            dist.Categorical(logits=self.logits), normal.to_event(len(self.event_shape))
        )
