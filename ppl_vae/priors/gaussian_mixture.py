r"""The mixture of normal distributions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pyro.distributions as dist
import torch
from torch import nn

from ..families.full_rank_normal import FullRankNormal
from ..families.scale import bounded, check_bounds
from .base import Prior

__all__ = ["GaussianMixture"]


class GaussianMixture(Prior):
    r"""A mixture of normal distributions, with learned weights, locations and covariances.

    .. math:: p(z) = \sum_{k=1}^C \pi_k \, \mathcal{N}(z \mid \mu_k, \Sigma_k)

    where :math:`\Sigma_k = \operatorname{diag} \sigma_k^2`, or :math:`L_k L_k^\top` with
    :math:`L_k` lower triangular.

    Example:
        >>> GaussianMixture((8,), components=3)().event_shape
        torch.Size([8])

    References:
        | Deep Unsupervised Clustering with Gaussian Mixture Variational Autoencoders
        | (Dilokthanakul et al., 2016)
        | https://arxiv.org/abs/1611.02648

    Arguments:
        event_shape: The shape of one draw; that of a vector, if covariances are full.
        components: The number :math:`C` of components.
        spread: The standard deviation of the locations :math:`\mu_k` at the start.
        covariance: ``"diagonal"``: elements are independent within a component; ``"full"``: any
            covariance.
        floor: The smallest scale, or the smallest element on the diagonal of :math:`L_k`.
        ceiling: The largest scale, or the largest element on the diagonal of :math:`L_k`.

    Raises:
        ValueError: If there is no component, the spread is negative, there is no such covariance,
            a draw with a full one is not a vector, or the bounds are not
            ``0 < floor < 1 < ceiling``.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        components: int = 10,
        spread: float = 1.0,
        covariance: Literal["diagonal", "full"] = "diagonal",
        floor: float = 1e-3,
        ceiling: float = 1e3,
    ) -> None:
        super().__init__(event_shape)

        if components < 1:
            raise ValueError(f"GaussianMixture needs one component or more, got {components}.")
        if not spread >= 0:
            raise ValueError(f"The spread of GaussianMixture must not be negative, got {spread}.")
        if covariance not in ("diagonal", "full"):
            raise ValueError(
                f"The covariance of GaussianMixture is 'diagonal' or 'full', got {covariance!r}."
            )

        self.floor = floor
        self.ceiling = ceiling
        self.logits = nn.Parameter(torch.zeros(components))
        self.loc = nn.Parameter(spread * torch.randn(components, *self.event_shape))
        self.rho = nn.Parameter(torch.zeros(components, *self.event_shape))
        check_bounds(floor, ceiling)

        self.full: FullRankNormal | None = None
        if covariance == "full":
            self.full = FullRankNormal(self.event_shape, floor, ceiling)
            rest = self.full.param_shape[0] - 2 * self.event_shape[0]
            self.below = nn.Parameter(torch.zeros(components, rest))

    def forward(self) -> dist.TorchDistribution:
        weights = dist.Categorical(logits=self.logits)
        return dist.MixtureSameFamily(weights, self._components())

    def _components(self) -> dist.TorchDistribution:
        if self.full is not None:
            return self.full(torch.cat([self.loc, self.rho, self.below], dim=-1))

        normal = dist.Normal(self.loc, bounded(self.rho, self.floor, self.ceiling))
        return normal.to_event(len(self.event_shape))
