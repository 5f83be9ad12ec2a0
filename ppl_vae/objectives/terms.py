r"""The terms of the ELBO that are told of each step, and values with gradients of their own."""

from __future__ import annotations

from torch import Tensor

from ..weights import Weights

__all__ = ["elbo_terms", "with_gradient"]


def elbo_terms(weights: Weights) -> dict[str, Tensor]:
    r"""The true ELBO and its terms: means over particles and data, detached, in nats per datum.

    A term outside of the plate of the data counts once for all :math:`N` data. Where there are
    several latent sites, ``kl_NAME`` is that of each; where there are several particles and a
    weight for each datum, ``ess`` is the effective sample size :math:`(\sum_k w_k)^2 / \sum_k
    w_k^2`. Of a guide without a density there is the reconstruction alone.
    """
    reconstruction = weights.likelihood.detach().mean()

    if weights.implicit:
        return {"reconstruction": reconstruction}

    kl = (weights.guide - weights.prior).detach().mean()

    if weights.global_term is not None:
        kl = kl - weights.global_term.detach().mean() / (weights.n * weights.scale)

    terms = {"elbo": reconstruction - kl, "reconstruction": reconstruction, "kl": kl}

    if len(weights.sites) > 1:
        for name, site in weights.sites.items():
            # A site outside of the plate of the data counts once for all of them.
            share = 1.0 if site.local else 1 / (weights.n * weights.scale)
            terms[f"kl_{name}"] = share * (site.log_q - site.log_p).detach().mean()

    if len(weights.likelihood) > 1 and not weights.global_sites:
        log_w = weights.log_weight.detach()
        terms["ess"] = (2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0)).exp().mean()

    return terms


def with_gradient(value: Tensor, surrogate: Tensor) -> Tensor:
    r"""Returns ``value``, with the gradient of ``surrogate``."""
    return value.detach() + (surrogate - surrogate.detach())
