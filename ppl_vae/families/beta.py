r"""The family of independent elements between 0 and 1, by two concentrations."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor

from ..distributions.numerics import ends
from .base import Family
from .scale import bounded, check_bounds, unbounded

__all__ = ["Beta"]

TERMS = 6
r"""The number of terms of the power series of masses at the ends."""


class Beta(Family):
    r"""Independent elements in :math:`(0, 1)`, such as shares and probabilities.

    .. math:: p_h(y) = \prod_i \frac{\Gamma(a_i + b_i)}{\Gamma(a_i) \Gamma(b_i)}
        y_i^{a_i - 1} (1 - y_i)^{b_i - 1}

    At :math:`h = 0` it is uniform. At the ends, closer to zero or one than numbers are told apart,
    all draws are one number, and the density is the mean one there, also of exact zeros and ones:
    see :mod:`~ppl_vae.distributions.numerics.ends`. Divergences in closed form are those of the law
    as it is above; what two laws differ in beyond an end, no draw can tell.

    Example:
        >>> Beta((3,))(torch.zeros(5, 2, 3)).event_shape
        torch.Size([3])

    Arguments:
        event_shape: The shape of one draw.
        floor: The smallest concentration :math:`a` or :math:`b`; with much smaller ones, draws
            are at an end in single precision.
        ceiling: The largest concentration; above 50,000, the mass at an end of single precision
            is not exact.

    Raises:
        ValueError: Unless ``0 < floor < 1 < ceiling``.
    """

    def __init__(
        self, event_shape: Sequence[int], floor: float = 0.1, ceiling: float = 1e3
    ) -> None:
        super().__init__(event_shape, features=2)
        self.floor = floor
        self.ceiling = ceiling
        check_bounds(floor, ceiling)

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        a, b = (bounded(rho, self.floor, self.ceiling) for rho in self.unbind(h))
        return _Beta(a, b).to_event(len(self.event_shape))

    def at_mean(self, mean: Tensor) -> Tensor:
        mean = mean.clamp(1e-3, 1 - 1e-3)
        # Uniform at one half; far from it, the sum of both grows, lest the smaller meets its floor.
        total = (1.01 * self.floor / mean.minimum(1 - mean)).clamp(min=2)
        shares = torch.stack([total * mean, total * (1 - mean)])
        return unbounded(shares, self.floor, self.ceiling)


class _Beta(dist.Beta):
    # Pyro's, with a cell at either end, in which small concentrations have much of their mass.
    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))
        a, b = (c.expand(shape) for c in (self.concentration1, self.concentration0))
        # Ratios of Gamma numbers, by their logarithms: those of small ones would underflow.
        return ends.draw(_log_gamma(a) - _log_gamma(b), *self._log_ends(a.dtype))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)

        return ends.log_density(value, self._log_inside, *self._log_ends(value.dtype))

    def _log_inside(self, value: Tensor) -> Tensor:
        a, b = self.concentration1, self.concentration0
        return (a - 1) * value.log() + (b - 1) * (-value).log1p() - self._log_beta()

    def _log_ends(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        a, b = self.concentration1, self.concentration0
        low, high = ends.ends(dtype)
        constant = self._log_beta()
        return _log_power(a, b, low) - constant, _log_power(b, a, 1 - high) - constant

    def _log_beta(self) -> Tensor:
        a, b = self.concentration1, self.concentration0
        return a.lgamma() + b.lgamma() - (a + b).lgamma()


def _log_gamma(a: Tensor) -> Tensor:
    # The logarithm of a Gamma number, which is one of a + 1, times a uniform one to the 1 / a.
    tiny = torch.finfo(a.dtype).tiny
    return dist.Gamma(a + 1, torch.ones_like(a)).rsample().log() - (
        torch.empty_like(a).exponential_().clamp(min=tiny) / a
    )


def _log_power(a: Tensor, b: Tensor, x: float) -> Tensor:
    # The logarithm of the integral of t^(a - 1) (1 - t)^(b - 1) up to a small x, by its power
    # series: the terms fall as ((a + b) x / (a + 1))^n, here below 1e-8 up to b = 5e4.
    term = total = torch.ones_like(a)
    for n in range(TERMS):
        term = term * (a + b + n) / (a + 1 + n) * x
        total = total + term

    return a * math.log(x) + b * math.log1p(-x) - a.log() + total.log()
