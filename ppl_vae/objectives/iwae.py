r"""The importance-weighted bound."""

from __future__ import annotations

import math

from torch import Tensor

from .multi_sample import MultiSample

__all__ = ["IWAE", "log_mean_exp"]


class IWAE(MultiSample):
    r"""The importance-weighted bound of :math:`K` particles.

    .. math:: \mathcal{L}_K(x) = \mathbb{E}_{z_{1:K} \sim q(z \mid x)}
        \left[ \log \frac{1}{K} \sum_{k=1}^K w_k \right] \leq \log p(x)

    where :math:`w_k = p(x, z_k) / q(z_k \mid x)`. A lower bound of :math:`\log p(x)` for each
    datum, estimated without bias, which rises with :math:`K` to :math:`\log p(x)`. The scale of a
    minibatch stays outside of the logarithm. Sites that are not reparameterized get the
    score-function gradient, the variance of which :class:`VIMCO` lowers. For :math:`\beta \neq 1`
    the terms of the latent variables in :math:`\log w` are weighted, and it is no bound.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> loss = IWAE(particles=8).loss(model, Amortized(model.posterior), model(n=10))
        >>> loss.shape
        torch.Size([])

    References:
        | Importance Weighted Autoencoders (Burda et al., 2016)
        | https://arxiv.org/abs/1509.00519

        | Variational Inference for Monte Carlo Objectives (Mnih & Rezende, 2016)
        | https://arxiv.org/abs/1602.06725

    Arguments: those of :class:`~ppl_vae.objectives.Objective`; eight particles by default, since
        with one it is the ELBO.

    Raises:
        ValueError: If a site lies outside of the plate of the data.
    """

    bound = "lower"

    def value_of(self, log_w: Tensor) -> Tensor:
        return log_mean_exp(log_w)


def log_mean_exp(log_w: Tensor) -> Tensor:
    r"""The logarithm of the mean of the weights along the first dimension."""
    return log_w.logsumexp(0) - math.log(len(log_w))
