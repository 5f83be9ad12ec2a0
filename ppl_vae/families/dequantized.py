r"""Families of counts by densities over real numbers."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from pyro.distributions import Independent
from torch import Tensor

from ..distributions import dequantized
from .base import Family
from .normal import Normal
from .wrapper import Builder, built

__all__ = ["Dequantized"]


class Dequantized(Family):
    r"""Counts whose probability is the mass of a density over their unit cells.

    .. math:: P_h(y) = \int_{[0, 1)^D} p_h(y + u) \, du

    The mass is estimated by one draw of uniform noise at each call, unbiased, fresh for each
    particle: bounds on :math:`\log P(y)` stay bounds, which importance weights tighten. The family
    may be any over real numbers or vectors. With a normal one, negative counts have a probability;
    positive families, such as LogNormal, have none.

    Example:
        >>> p = Dequantized((3,))(torch.zeros(2, 3))
        >>> p.log_prob(torch.zeros(3)).shape
        torch.Size([])

    References:
        | RNADE: The Real-Valued Neural Autoregressive Density-Estimator (Uria et al., 2013)
        | https://arxiv.org/abs/1306.0186

        | Flow++: Improving Flow-Based Generative Models with Variational Dequantization and
        | Architecture Design (Ho et al., 2019)
        | https://arxiv.org/abs/1902.00275

    Arguments:
        event_shape: The shape of one draw.
        family: The family of the density, but for its shape.

    Raises:
        ValueError: If the family is discrete, or holds no unit cell, from 0 to 1 or above.
    """

    def __init__(self, event_shape: Sequence[int], family: Builder = Normal) -> None:
        super().__init__(event_shape)
        self.family = built("Dequantized", family, self.event_shape)
        self.param_shape = self.family.param_shape

        with torch.no_grad():
            support = self.family(torch.zeros(self.param_shape)).support
        cell = [torch.full(self.event_shape, y) for y in (0.5, 1.5)]

        if support.is_discrete or not all(bool(support.check(y).all()) for y in cell):
            raise ValueError(
                "Dequantized needs a family over real or positive numbers, such as Normal or "
                f"LogNormal, got {type(self.family).__name__}."
            )

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        p = self.family(h)
        dims = len(self.event_shape)

        # Where elements are independent, their counts are.
        if isinstance(p, Independent) and p.reinterpreted_batch_ndims == dims:
            return dequantized.Dequantized(p.base_dist).to_event(dims)

        return dequantized.Dequantized(p)

    def at_mean(self, mean: Tensor) -> Tensor:
        return self.family.at_mean(mean + 0.5)
