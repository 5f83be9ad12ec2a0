r"""The family of von Mises and Fisher."""

from __future__ import annotations

import torch
from torch import Tensor

from ..distributions.von_mises_fisher import VonMisesFisher as Distribution
from .spherical import Spherical

__all__ = ["VonMisesFisher"]


class VonMisesFisher(Spherical):
    r"""Unit vectors about a direction, as a normal distribution is about its mean.

    .. math:: p_h(y) \propto \exp(\kappa \, \mu^\top y) \quad \|y\| = 1

    The parameters are those of :class:`~ppl_vae.families.spherical.Spherical`; the distribution is
    :class:`ppl_vae.distributions.VonMisesFisher`, reparameterized in any dimension. Its
    divergence from the uniform prior :class:`ppl_vae.priors.SphericalUniform` does not depend on
    :math:`\mu`: it never pulls codes together.

    Example:
        >>> family = VonMisesFisher((3,))
        >>> family.param_shape
        torch.Size([4])
        >>> torch.allclose(family(torch.zeros(5, 4)).rsample().norm(dim=-1), torch.ones(5))
        True

    References:
        | Hyperspherical Variational Auto-Encoders (Davidson et al., 2018)
        | https://arxiv.org/abs/1804.00891

    Arguments:
        event_shape: The shape ``(d,)`` of one draw, where :math:`d \geq 2`.
        floor: The smallest concentration :math:`\kappa`.
        ceiling: The largest concentration :math:`\kappa`.

    Raises:
        ValueError: If a draw is not a vector of two elements or more, or the bounds are not
            ``0 < floor < 1 < ceiling``.
    """

    def of(self, loc: Tensor, concentration: Tensor) -> Distribution:
        return Distribution(loc, concentration)

    def concentration_of(self, length: Tensor) -> Tensor:
        # By bisection of the logarithm: the length of the mean grows with the concentration.
        (d,) = self.event_shape
        loc = torch.ones(d, dtype=length.dtype, device=length.device) / d**0.5
        low = torch.full_like(length, self.floor).log()
        high = torch.full_like(length, self.ceiling).log()

        for _ in range(60):
            middle = (low + high) / 2
            short = self.of(loc, middle.exp()).mean_cosine() < length
            low, high = torch.where(short, middle, low), torch.where(short, high, middle)

        return ((low + high) / 2).exp()
