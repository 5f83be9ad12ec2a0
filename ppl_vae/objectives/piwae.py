r"""Two importance-weighted bounds, one for the model and one for the guide."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..weights import Program, Weights
from .copies import draw_copies
from .iwae import log_mean_exp
from .miwae import MIWAE
from .role import Estimate
from .terms import with_gradient

__all__ = ["PIWAE"]


class PIWAE(MIWAE):
    r"""The bound of all particles for the model, the mean bound of groups for the guide.

    .. math::
        \nabla_\theta & = \nabla_\theta \, \mathcal{L}_{M K}(x) \\
        \nabla_\phi & = \nabla_\phi \, \mathcal{L}_{M, K}(x)

    A lower bound of :math:`\log p(x)`, that of :class:`IWAE` of :math:`M K` particles, estimated
    without bias. The model learns from the tightest bound of the draws, the guide from that of
    :class:`MIWAE`, whose gradient has more signal. All sites must be reparameterized.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> objective = PIWAE(groups=2, particles=4)
        >>> objective.loss(model, Amortized(model.posterior), model(n=10)).shape
        torch.Size([])

    References:
        | Tighter Variational Bounds are Not Necessarily Better (Rainforth et al., 2018)
        | https://arxiv.org/abs/1802.04537

    Arguments:
        groups: The number :math:`M` of groups.
        particles: The number :math:`K` of draws of each.
        kl_weight: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If there is no group, a site is not reparameterized, or lies outside of the
            plate of the data.
    """

    reparameterized = True

    def tightened(self, weights: Weights) -> Tensor:
        return log_mean_exp(weights.log_weight.detach())

    def estimate(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Estimate:
        drawn = draw_copies(self, model, guide, *args, leaves=True, **kwargs)
        w = drawn.weights
        joint = w.likelihood + self.beta * w.prior
        log_w = joint - self.beta * w.guide
        f = log_w.detach()
        every = f.softmax(0)
        group = f.unflatten(0, (self.groups, -1)).softmax(1).flatten(0, 1) / self.groups
        surrogate = (every * joint).sum() - (group * self.beta * w.guide).sum()
        surrogate = surrogate + drawn.path((group * log_w).sum())
        loss = -w.scale * with_gradient(log_mean_exp(f).sum(), surrogate)
        return Estimate(loss, self.metrics_of(w), w.n * w.scale)
