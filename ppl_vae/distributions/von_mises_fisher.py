r"""The distribution of von Mises and Fisher."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.distributions import register_kl

from .numerics.angle import Grid, widest
from .rotational import Rotational
from .sphere import log_area
from .spherical_uniform import SphericalUniform

__all__ = ["PROPOSALS", "VonMisesFisher"]

PROPOSALS = 24
r"""How many proposals are made for a draw. One is accepted with a probability of 0.65 or more
(the least, at d = 2 and a concentration without bound): none is, once in 1e11 draws. Such a draw
keeps its first proposal."""


class VonMisesFisher(Rotational):
    r"""Unit vectors about a direction, as a normal distribution is about its mean.

    .. math:: p(y) = \frac{1}{Z(\kappa)} \exp \big( \kappa (\mu^\top y - 1) \big)
        \qquad Z(\kappa) = \frac{(2 \pi)^{d/2} \, I_{d/2 - 1}(\kappa)}{\kappa^{d/2 - 1} e^\kappa}

    in any dimension. The integral :math:`Z` and its derivative are taken by quadrature over the
    angle, exact to rounding, in place of the Bessel function. Draws of the angle are rejected
    from a fixed number of proposals, made at once.

    Example:
        >>> p = VonMisesFisher(torch.tensor([0.0, 0.6, 0.8]), torch.tensor(10.0))
        >>> p.mean
        tensor([0.0000, 0.5400, 0.7200])
        >>> p.rsample((5,)).shape
        torch.Size([5, 3])

    References:
        | Simulation of the von Mises Fisher Distribution (Wood, 1994)
        | https://doi.org/10.1080/03610919408813161

        | Hyperspherical Variational Auto-Encoders (Davidson et al., 2018)
        | https://arxiv.org/abs/1804.00891

    Arguments:
        loc: The direction :math:`\mu`, of unit length, with shape ``(*, d)``, where
            :math:`d \geq 2`.
        concentration: The concentration :math:`\kappa > 0`, with shape ``(*)``.
    """

    def statistic(self, sin2: Tensor, cos2: Tensor) -> Tensor:
        return -2 * sin2

    def log_normalizer(self) -> Tensor:
        _, terms = self._terms()
        return log_area(self.event_shape[0] - 1) + terms.logsumexp(-1)

    def mean_statistic(self) -> Tensor:
        grid, terms = self._terms()
        return -2 * (terms.softmax(-1) * grid.sin2).sum(-1)

    def mean_cosine(self) -> Tensor:
        return 1 + self.mean_statistic()

    def mean_square_sine(self) -> Tensor:
        grid, terms = self._terms()
        return (terms.softmax(-1) * (2 * grid.log_sin).exp()).sum(-1)

    def draw_squares(self, shape: torch.Size) -> tuple[Tensor, Tensor]:
        kappa = self.concentration.expand(shape).unsqueeze(-1)
        d, many = self.event_shape[0], (*shape, PROPOSALS)
        # The envelope's density is that of (1 - w) / 2 = b e / (1 - (1 - b) e), with e from a
        # beta distribution, hence of a ratio of two draws of one gamma distribution.
        b = (d - 1) / (2 * kappa + (4 * kappa.square() + (d - 1) ** 2).sqrt())
        e, f = torch._standard_gamma(kappa.new_full((2, *many), (d - 1) / 2))
        total = b * e + f
        sin2, cos2 = b * e / total, f / total
        log_ratio = 2 * kappa * (b / (1 + b) - sin2)
        log_ratio = log_ratio + (d - 1) * ((1 + b) / 2 * (e + f) / total).log()
        accepted = torch.rand_like(sin2).log() < log_ratio
        first = accepted.to(torch.uint8).argmax(-1, keepdim=True)
        return sin2.gather(-1, first).squeeze(-1), cos2.gather(-1, first).squeeze(-1)

    def _terms(self) -> tuple[Grid, Tensor]:
        # Logarithms of the terms of the integral over the angle. The grid is held fixed: what
        # its end leaves out has no derivative either.
        (d,) = self.event_shape
        stop = widest(self.concentration.detach(), d)
        grid = Grid(torch.zeros_like(stop), stop, d)
        exponent = -2 * self.concentration.unsqueeze(-1) * grid.sin2
        return grid, exponent + (d - 2) * grid.log_sin + grid.log_weight


@register_kl(Rotational, VonMisesFisher)
def _kl_to_von_mises_fisher(p: Rotational, q: VonMisesFisher) -> Tensor:
    between = (p.loc - q.loc).square().sum(-1) / 2  # 1 - cos of the angle between them
    shortfall = 1 - p.mean_cosine() * (1 - between)
    return q.log_normalizer() + q.concentration * shortfall - p.entropy()


@register_kl(SphericalUniform, VonMisesFisher)
def _kl_from_uniform(p: SphericalUniform, q: VonMisesFisher) -> Tensor:
    return q.log_normalizer() + q.concentration - log_area(p.event_shape[0])
