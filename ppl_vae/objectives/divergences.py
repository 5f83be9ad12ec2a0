r"""The divergences of latent sites, and their elements."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.distributions import Independent, kl_divergence

from ..weights import Site, Weights
from ..weights.checks import kind_name

__all__ = ["check_reparameterized", "divergences", "elements", "factors"]


def check_reparameterized(name: str, weights: Weights) -> None:
    r"""Raises a ValueError if a site is not reparameterized.

    Arguments:
        name: The name of the objective that needs it.
        weights: The weights of a batch.
    """
    for key, site in weights.sites.items():
        if not site.reparameterized:
            raise ValueError(
                f"{name} follows gradients through draws, which those of site {key!r} from "
                f"{kind_name(site.q)} do not pass; take a reparameterized posterior, or an "
                "objective that needs none, such as ELBO or VIMCO."
            )


def divergences(weights: Weights) -> dict[str, Tensor]:
    r"""The divergence of each site, as an estimate for each particle.

    .. math:: \mathrm{KL}(q(z_s \mid x, \dots) \| p(z_s \mid \dots))

    In closed form where one is registered and the guide draws the sites in the model's order, so
    that the parents of a site come from the right distribution; else :math:`\log q - \log p`.

    Returns:
        By the name of the site, a tensor with shape ``(K, n)``.
    """
    ordered = tuple(weights.sites) == weights.guide_order
    return {
        name: site.kl() if ordered else site.log_q - site.log_p
        for name, site in weights.sites.items()
    }


def elements(site: Site) -> Tensor | None:
    r"""The divergence of each element of a site, where both laws are of independent elements.

    Returns:
        A tensor with shape ``(*, event_size)``, or None where the divergence is not a sum over
        elements in closed form.
    """
    q, p = factors(site.q), factors(site.p)

    if q is None or p is None:
        return None
    try:
        kl: Tensor = kl_divergence(q, p)
    except NotImplementedError:
        return None
    return kl.flatten(kl.ndim - len(site.q.event_shape))


def factors(law: Any) -> Any:
    r"""The law of the elements, if a law is a plain product of such; None if it is not."""
    whole = isinstance(law, Independent) and not law.base_dist.event_shape
    return law.base_dist if whole else None
