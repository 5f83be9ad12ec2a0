r"""The family of normal vectors with any covariance."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor

from ..distributions.multivariate_normal import MultivariateNormal
from .base import Family, check_vector
from .scale import bounded, check_bounds

__all__ = ["FullRankNormal"]


class FullRankNormal(Family):
    r"""A normal vector of :math:`d` elements with a covariance of full rank.

    .. math:: p_h(y) = \mathcal{N}(y \mid \mu, L L^\top)

    where :math:`L` is lower triangular with a positive diagonal, :math:`d (d + 3) / 2` parameters
    in all.

    Example:
        >>> family = FullRankNormal((3,))
        >>> family.param_shape
        torch.Size([9])
        >>> family(torch.zeros(5, 9)).covariance_matrix.shape
        torch.Size([5, 3, 3])

    Arguments:
        event_shape: The shape ``(d,)`` of one draw.
        floor: The smallest element on the diagonal of :math:`L`.
        ceiling: The largest element on the diagonal of :math:`L`.

    Raises:
        ValueError: If a draw is not a vector, or the bounds are not ``0 < floor < 1 < ceiling``.
    """

    rows: Tensor

    def __init__(
        self, event_shape: Sequence[int], floor: float = 1e-4, ceiling: float = 1e3
    ) -> None:
        super().__init__(event_shape)

        d = check_vector(self)
        self.param_shape = torch.Size([d * (d + 3) // 2])
        self.floor = floor
        self.ceiling = ceiling
        check_bounds(floor, ceiling)
        self.register_buffer("rows", torch.tril_indices(d, d, -1), persistent=False)

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        (d,) = self.event_shape
        loc, rho, below = h.split([d, d, d * (d - 1) // 2], dim=-1)
        scale_tril = torch.diag_embed(bounded(rho, self.floor, self.ceiling))
        i, j = self.rows
        scale_tril[..., i, j] = below
        return MultivariateNormal(loc, scale_tril=scale_tril)

    def at_mean(self, mean: Tensor) -> Tensor:
        h = super().at_mean(mean)
        h[: len(mean)] = mean
        return h
