r"""The family of normal vectors with a covariance of low rank, and a diagonal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor

from ..distributions.multivariate_normal import LowRankMultivariateNormal
from .base import Family, check_vector
from .scale import bounded, check_bounds

__all__ = ["LIMIT", "LowRankNormal"]

LIMIT = 30.0
r"""The largest length of a column of the factor, in scales of the diagonal, whatever its number of
elements. The density is a difference of terms of the square of that: in single precision, this
close to singular, it is still within a few hundredths of a nat for each column."""


class LowRankNormal(Family):
    r"""A normal vector of :math:`d` elements that depend on each other along :math:`r` directions.

    .. math:: p_h(y) = \mathcal{N} \big( y \mid \mu,
        \operatorname{diag}(\sigma) (I + V V^\top) \operatorname{diag}(\sigma) \big)

    where :math:`V` is a matrix of :math:`d` rows and :math:`r` columns with elements within
    :math:`\pm 30 / \sqrt{d}`: :math:`d (r + 2)` parameters in all, where
    :class:`~ppl_vae.families.FullRankNormal` has :math:`d (d + 3) / 2`.

    Example:
        >>> family = LowRankNormal((8,), rank=2)
        >>> family.param_shape
        torch.Size([4, 8])
        >>> family(torch.zeros(5, 4, 8)).cov_factor.shape
        torch.Size([5, 8, 2])

    References:
        | Gaussian Variational Approximation with a Factor Covariance Structure (Ong et al., 2018)
        | https://arxiv.org/abs/1701.03208

    Arguments:
        event_shape: The shape ``(d,)`` of one draw.
        rank: The number :math:`r` of directions.
        floor: The smallest scale :math:`\sigma`.
        ceiling: The largest scale :math:`\sigma`.

    Raises:
        ValueError: If a draw is not a vector, the rank is not positive, or the bounds are not
            ``0 < floor < 1 < ceiling``.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        rank: int = 2,
        floor: float = 1e-4,
        ceiling: float = 1e3,
    ) -> None:
        super().__init__(event_shape, features=2 + rank)
        check_vector(self)

        if rank < 1:
            raise ValueError(f"The rank of LowRankNormal must be positive, got {rank}.")

        self.floor = floor
        self.ceiling = ceiling
        check_bounds(floor, ceiling)

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        loc, rho, *columns = self.unbind(h)
        scale = bounded(rho, self.floor, self.ceiling)
        limit = LIMIT / math.sqrt(self.event_shape[0])
        factor = limit * (torch.stack(columns, dim=-1) / limit).tanh()
        return LowRankMultivariateNormal(loc, scale.unsqueeze(-1) * factor, scale.square())

    def at_mean(self, mean: Tensor) -> Tensor:
        h = super().at_mean(mean)
        h[0] = mean
        return h
