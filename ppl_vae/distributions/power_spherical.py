r"""The power spherical distribution."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .numerics.gamma_ratio import digamma_difference, lgamma_difference
from .rotational import Rotational

__all__ = ["PowerSpherical"]


class PowerSpherical(Rotational):
    r"""Unit vectors about a direction, of which normalizer, entropy and draws are elementary.

    .. math:: p(y) = \frac{1}{Z(\kappa)} \left( \frac{1 + \mu^\top y}{2} \right)^\kappa
        \qquad Z(\kappa) = (4 \pi)^\beta \frac{\Gamma(\beta + \kappa)}{\Gamma(2 \beta + \kappa)}
        \qquad \beta = \frac{d - 1}{2}

    With :math:`w = \mu^\top y`, the number :math:`(1 + w) / 2` follows a beta distribution, of
    the concentrations :math:`\beta + \kappa` and :math:`\beta`.

    Example:
        >>> p = PowerSpherical(torch.tensor([0.0, 0.6, 0.8]), torch.tensor(18.0))
        >>> p.mean
        tensor([0.0000, 0.5400, 0.7200])
        >>> p.rsample((5,)).shape
        torch.Size([5, 3])

    References:
        | The Power Spherical Distribution (De Cao & Aziz, 2020)
        | https://arxiv.org/abs/2006.04437

    Arguments:
        loc: The direction :math:`\mu`, of unit length, with shape ``(*, d)``, where
            :math:`d \geq 2`.
        concentration: The concentration :math:`\kappa > 0`, with shape ``(*)``.
    """

    @property
    def beta(self) -> float:
        r"""Half the dimension of the sphere, :math:`\beta = (d - 1) / 2`."""
        return (self.event_shape[0] - 1) / 2

    def statistic(self, sin2: Tensor, cos2: Tensor) -> Tensor:
        # log cos^2 (t/2) = log(1 - sin^2 (t/2)), from the smaller of both.
        tiny = torch.finfo(sin2.dtype).tiny
        near, far = (-sin2.clamp(max=0.5)).log1p(), cos2.clamp(min=tiny).log()
        return torch.where(sin2 < 0.5, near, far)

    def log_normalizer(self) -> Tensor:
        ratio = lgamma_difference(self.concentration + self.beta, self.beta)
        return self.beta * math.log(4 * math.pi) - ratio

    def mean_statistic(self) -> Tensor:
        return -digamma_difference(self.concentration + self.beta, self.beta)

    def mean_cosine(self) -> Tensor:
        return self.concentration / (self.concentration + 2 * self.beta)

    def mean_square_sine(self) -> Tensor:
        # sin^2 t = 4 sin^2 (t/2) cos^2 (t/2), a product of both beta variables.
        alpha, total = self.concentration + self.beta, self.concentration + 2 * self.beta
        return 4 * alpha * self.beta / (total * (total + 1))

    def draw_squares(self, shape: torch.Size) -> tuple[Tensor, Tensor]:
        # A beta variable; torch's gradients of one are off by up to 1e-3 of themselves.
        alpha = (self.concentration + self.beta).expand(shape)
        e = torch._standard_gamma(torch.full_like(alpha, self.beta))
        f = torch._standard_gamma(alpha)
        return e / (e + f), f / (e + f)
