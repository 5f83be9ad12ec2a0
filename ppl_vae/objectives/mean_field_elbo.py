r"""The evidence lower bound, with analytic divergences."""

from __future__ import annotations

import torch
from torch import Tensor

from ..weights import Weights
from ..weights.checks import kind_name
from .base import Objective

__all__ = ["MeanFieldELBO"]


class MeanFieldELBO(Objective):
    r"""The evidence lower bound, with the divergences that are known in closed form.

    .. math:: \mathcal{L}(x) = \mathbb{E}_{q(z \mid x)} \big[ \log p(x \mid z) \big]
        - \beta \, \mathrm{KL}(q(z \mid x) \| p(z)) \leq \log p(x) \text{ for } \beta = 1

    A lower bound of :math:`\log p(x)`, estimated without bias, with less variance than
    :class:`~ppl_vae.objectives.ELBO`. Where no divergence is known it is estimated. All latent
    sites must be reparameterized, and drawn by the guide in the model's order: otherwise the
    parents of a site in the model are not drawn from the right distribution, and the divergence
    is wrong. It is the estimator of :class:`pyro.infer.TraceMeanField_ELBO`.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> loss = MeanFieldELBO().loss(model, Amortized(model.posterior), model(n=10))
        >>> loss.shape
        torch.Size([])

    References:
        | Auto-Encoding Variational Bayes (Kingma & Welling, 2014)
        | https://arxiv.org/abs/1312.6114

    Arguments: those of :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If the guide draws the sites in another order than the model, or a site is
            not reparameterized.
    """

    lenient = True
    bound = "lower"
    reparameterized = True

    def loss_of(self, weights: Weights) -> Tensor:
        check_mean_field(weights)
        likelihood = weights.scale * weights.likelihood.sum()
        divergence = torch.zeros_like(likelihood)

        for site in weights.sites.values():
            scale = weights.scale if site.local else 1.0
            divergence = divergence + scale * site.kl().sum()

        if weights.global_term is not None:
            # Sites outside of the plate of the data that are observed.
            latent = [s.log_p - s.log_q for s in weights.sites.values() if not s.local]
            observed = weights.global_term - sum(latent)
            likelihood = likelihood + observed.sum()

        return (self.beta * divergence - likelihood) / self.particles


def check_mean_field(weights: Weights) -> None:
    r"""Raises a ValueError where an analytic divergence would be wrong."""
    order = tuple(weights.sites)

    if order != weights.guide_order:
        raise ValueError(
            f"MeanFieldELBO needs a guide that draws the sites in the model's order, "
            f"{', '.join(order)}; this one draws {', '.join(weights.guide_order)}. Use ELBO."
        )

    for name, site in weights.sites.items():
        if not site.reparameterized:
            raise ValueError(
                f"MeanFieldELBO needs reparameterized sites, but {name!r} is drawn from "
                f"{kind_name(site.q)} without. Use ELBO."
            )
