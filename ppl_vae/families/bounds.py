r"""Families of real numbers within bounds."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor

from .normal import Normal
from .wrapper import Builder, Wrapper

__all__ = ["Bounds"]


class Bounds(Wrapper):
    r"""The law of another family, changed by two bounds.

    To write a new one, subclass it with :meth:`bounded`, which returns the distribution.

    Arguments:
        event_shape: The shape of one draw.
        family: The family of the elements, but for its shape, which knows its ``cdf``.
        low: The lower bound, a number or minus infinity.
        high: The upper bound, a number or infinity.

    Raises:
        ValueError: If the elements of the family depend on each other, or do not know their
            ``cdf`` and its gradient, or the bounds are not in order, both infinite, or off the
            support.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        family: Builder = Normal,
        low: float = 0.0,
        high: float = math.inf,
    ) -> None:
        super().__init__(event_shape, family)
        self.low = low
        self.high = high
        self._check()

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        _, p = self.elements(h)
        return self.bounded(p).to_event(len(self.event_shape))

    def at_mean(self, mean: Tensor) -> Tensor:
        r"""The parameters at a mean, by bisection over the mean of the law without bounds.

        At one scale some laws, such as Laplace's, cannot have every mean between the bounds: they
        start at the nearest one that they can have, with their location at the bound.
        """
        ends = torch.full_like(mean, -1e3), torch.full_like(mean, 1e3)
        low, high = (end + mean for end in ends)

        try:
            reach = [self(self.family.at_mean(end)).mean for end in (low, high)]
            target = torch.minimum(torch.maximum(mean, reach[0]), reach[1])

            for _ in range(64):
                middle = (low + high) / 2
                found = self(self.family.at_mean(middle)).mean
                # Where a law keeps its mean as it moves away, the bound is as good.
                below = (found < target) | ((found == target) & (middle < self.low))
                low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        except NotImplementedError:
            return super().at_mean(mean)

        return self.family.at_mean((low + high) / 2)

    @abstractmethod
    def bounded(self, p: dist.TorchDistribution) -> dist.TorchDistribution:
        r"""
        Arguments:
            p: The distribution of the elements of the family.

        Returns:
            That between the bounds, of the same shape.
        """

    def _check(self) -> None:
        name, kind = type(self).__name__, type(self.family).__name__
        finite = [y for y in (self.low, self.high) if math.isfinite(y)]
        support: Any = self.example().support
        # Refuses bounds that are out of order.
        self.bounded(self.example())

        if support.is_discrete or not all(
            bool(support.check(torch.full(self.event_shape, y)).all()) for y in finite
        ):
            raise ValueError(
                f"{name} needs a family over real numbers whose support holds the bounds "
                f"{' and '.join(f'{y:g}' for y in finite)}, such as Normal, got {kind}."
            )
        try:
            with torch.enable_grad(), torch.random.fork_rng(devices=[]):
                h = torch.zeros(self.param_shape, requires_grad=True)
                p = self.bounded(self.elements(h)[1])
                p.sample()
                log_prob = p.log_prob(torch.full(self.event_shape, finite[0]))
                torch.autograd.grad(log_prob.sum(), h)
        except (NotImplementedError, RuntimeError):
            raise ValueError(
                f"{name} needs a family whose cdf, with its gradient, and icdf are known, such as "
                f"Normal or Laplace, got {kind}."
            ) from None
