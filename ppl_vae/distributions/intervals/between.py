r"""Laws between two bounds: what lies within, below and above."""

from __future__ import annotations

from abc import ABC, abstractmethod

import pyro.distributions as dist
from torch import Tensor

__all__ = ["Between"]


class Between(ABC):
    r"""A law and two bounds, one of which may be infinite.

    Arguments:
        base: The law, over single numbers.
        low: The lower bound.
        high: The upper bound.
    """

    def __init__(self, base: dist.TorchDistribution, low: float, high: float) -> None:
        self.base = base
        self.low = low
        self.high = high

    @property
    @abstractmethod
    def like(self) -> Tensor:
        r"""A tensor of the dtype and on the device of draws."""

    @abstractmethod
    def log_density(self, y: Tensor) -> Tensor:
        r"""Returns :math:`\log p(y \mid \text{low} \le Y \le \text{high})`."""

    @abstractmethod
    def quantile(self, u: Tensor) -> Tensor:
        r"""Returns the quantile of that law, with a gradient in the parameters of the base."""

    @abstractmethod
    def mean(self) -> Tensor:
        r"""Returns :math:`\mathbb{E}[Y \mid \text{low} \le Y \le \text{high}]`."""

    @abstractmethod
    def log_ends(self) -> tuple[Tensor, Tensor]:
        r"""Returns :math:`\log P(Y \le \text{low})` and :math:`\log P(Y \ge \text{high})`."""

    @abstractmethod
    def clamped_mean(self) -> Tensor:
        r"""Returns the mean of :math:`\min(\max(Y, \text{low}), \text{high})`."""
