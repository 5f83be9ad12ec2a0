r"""The evidence lower bound."""

from __future__ import annotations

from torch import Tensor

from ..weights import Weights
from .base import Objective
from .terms import with_gradient

__all__ = ["ELBO"]


class ELBO(Objective):
    r"""The evidence lower bound, by Monte Carlo.

    .. math:: \mathcal{L}(x) = \mathbb{E}_{q(z \mid x)} \big[ \log p(x \mid z)
        + \beta ( \log p(z) - \log q(z \mid x) ) \big] \leq \log p(x) \text{ for } \beta = 1

    A lower bound of :math:`\log p(x)`, estimated without bias. Latent sites that are not
    reparameterized get the score-function gradient. It is the estimator of
    :class:`pyro.infer.Trace_ELBO`: same draws, same loss, same gradient, but for sites in a plate
    within that of the data that are not reparameterized: their rewards are those of a whole datum
    here, of more variance.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> loss = ELBO(particles=8).loss(model, Amortized(model.posterior), model(n=10))
        >>> loss.shape
        torch.Size([])

    References:
        | Auto-Encoding Variational Bayes (Kingma & Welling, 2014)
        | https://arxiv.org/abs/1312.6114

        | Black Box Variational Inference (Ranganath et al., 2014)
        | https://arxiv.org/abs/1401.0118

    Arguments: those of :class:`~ppl_vae.objectives.Objective`.
    """

    lenient = True
    bound = "lower"

    def loss_of(self, weights: Weights) -> Tensor:
        K, scale, beta = self.particles, weights.scale, self.beta
        local = weights.likelihood + beta * (weights.prior - weights.guide)
        total = scale * local.sum(1)

        if weights.global_term is not None:
            total = total + beta * weights.global_term.squeeze(1)

        surrogate = total

        for site in weights.sites.values():
            if not site.reparameterized:
                # E[grad log q] = 0: the density itself is left out, its score is weighted.
                reward = total.unsqueeze(1)
                if site.local:
                    reward = scale * local
                    if weights.global_term is not None:
                        reward = reward + beta * weights.global_term
                weight = scale if site.local else 1.0
                entropy = beta * weight * site.log_q
                surrogate = surrogate + (entropy + reward.detach() * site.log_q).sum(1)

        return -with_gradient(total.sum(), surrogate.sum()) / K
