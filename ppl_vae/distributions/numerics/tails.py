r"""Tails of symmetric laws, exact where probabilities themselves underflow.

For a law with density :math:`f(z)`, symmetric about zero, and its tail :math:`S(a) = P(Z > a)`, all
is told relative to the tail beyond some :math:`a \ge 0`, by a distance :math:`t \ge 0` from it.
Neither numbers nor gradients cancel or overflow then, however far out :math:`a` lies; the gradient
of `torch.special.log_ndtr` is wrong by a factor of six at :math:`z = -10^4` in single precision,
and that of the logarithm of `torch.special.erfcx` by more.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor

from .mills import log_mills, residual

__all__ = ["LaplaceTails", "NormalTails", "Tails", "log1mexp"]


def log1mexp(x: Tensor) -> Tensor:
    r"""Returns :math:`\log(1 - e^x)` for :math:`x \le 0`; where that is minus infinity, about -87.

    Example:
        >>> log1mexp(torch.tensor([-1e-3, -50.0]))
        tensor([-6.9083e+00, -1.9287e-22])
    """
    near = (-torch.expm1(x.clamp(min=-1))).clamp(min=torch.finfo(x.dtype).tiny).log()
    return torch.where(x > -1, near, torch.log1p(-x.clamp(max=-0.5).exp()))


class Tails(ABC):
    r"""The tails of a symmetric law.

    To write one for another law, subclass it with the five functions, and let
    :func:`ppl_vae.distributions.intervals.bounds.between` know of it.
    """

    @abstractmethod
    def drop(self, a: Tensor, t: Tensor) -> Tensor:
        r"""Returns :math:`\log S(a + t) - \log S(a)`."""

    @abstractmethod
    def undrop(self, a: Tensor, drop: Tensor) -> Tensor:
        r"""Returns the :math:`t` of a drop, its inverse; gradients are of no account."""

    @abstractmethod
    def excess(self, a: Tensor, t: Tensor) -> Tensor:
        r"""Returns :math:`\log f(a + t) - \log S(a)`."""

    @abstractmethod
    def residual(self, a: Tensor) -> Tensor:
        r"""Returns :math:`\mathbb{E}[Z - a \mid Z > a]`."""

    @abstractmethod
    def centre(self, z: Tensor) -> Tensor:
        r"""Returns :math:`P(Z < z) - 1/2`, for any :math:`z`."""

    def log_density(self, z: Tensor) -> Tensor:
        r"""Returns :math:`\log f(z)`, for any :math:`z`."""
        return self.excess(torch.zeros_like(z), z.abs()) - math.log(2)

    def log_beyond(self, z: Tensor) -> Tensor:
        r"""Returns :math:`\log P(Z > z)`, for any :math:`z`."""
        zero = torch.zeros_like(z)
        tail = self.drop(zero, z.clamp(min=0)) - math.log(2)
        below = self.drop(zero, (-z).clamp(min=0)).exp() / 2
        return torch.where(z > 0, tail, torch.log1p(-below))

    def beyond(self, z: Tensor) -> Tensor:
        r"""Returns :math:`\int_z^\infty t f(t) \, dt`, for any :math:`z`."""
        a = z.abs()
        return self.log_beyond(a).exp() * (a + self.residual(a))


class NormalTails(Tails):
    r"""The tails of the standard normal law, by Mills' ratio :math:`m(a) = S(a) / f(a) =
    \sqrt{\pi / 2} \, \mathrm{erfcx}(a / \sqrt{2})`.

    Example:
        >>> a, t = torch.tensor([0.0, 1e4]), torch.tensor([1.0, 1e-4])
        >>> NormalTails().drop(a, t)  # log(2 P(Z > 1)), and nearly -a t
        tensor([-1.1479, -1.0000])
    """

    def drop(self, a: Tensor, t: Tensor) -> Tensor:
        return -t * (a + t / 2) + log_mills(a + t) - log_mills(a)

    def undrop(self, a: Tensor, drop: Tensor) -> Tensor:
        # Where the drop were that of the density, t would be this: at least the true one. From
        # there Newton's steps fall to the root of the concave function without crossing it.
        t = -2 * drop / ((a**2 - 2 * drop).sqrt() + a).clamp(min=torch.finfo(a.dtype).tiny)

        for _ in range(8):
            t = (t + (self.drop(a, t) - drop) * log_mills(a + t).exp()).clamp(min=0)

        return t

    def excess(self, a: Tensor, t: Tensor) -> Tensor:
        return -t * (a + t / 2) - log_mills(a)

    def residual(self, a: Tensor) -> Tensor:
        return residual(a)

    def centre(self, z: Tensor) -> Tensor:
        return torch.erf(z / math.sqrt(2)) / 2


class LaplaceTails(Tails):
    r"""The tails of the standard Laplace law, :math:`S(a) = e^{-a} / 2`.

    Example:
        >>> LaplaceTails().drop(torch.tensor(3.0), torch.tensor(2.0))
        tensor(-2.)
    """

    def drop(self, a: Tensor, t: Tensor) -> Tensor:
        return -t

    def undrop(self, a: Tensor, drop: Tensor) -> Tensor:
        return -drop

    def excess(self, a: Tensor, t: Tensor) -> Tensor:
        return -t

    def residual(self, a: Tensor) -> Tensor:
        return torch.ones_like(a)

    def centre(self, z: Tensor) -> Tensor:
        left, right = torch.expm1(z.clamp(max=0)), -torch.expm1(-z.clamp(min=0))
        return torch.where(z < 0, left, right) / 2
