r"""The elements of a site: their divergences and means."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.distributions import Independent, kl_divergence

from ...weights import Site

__all__ = ["element_kl", "factors", "mean_of"]


def factors(law: Any) -> Any:
    r"""The law of the elements, if a law is a product of such; None if it is not.

    Example:
        >>> import torch
        >>> from torch.distributions import MultivariateNormal, Normal
        >>> factors(Independent(Normal(torch.zeros(3), 1.0), 1)).batch_shape
        torch.Size([3])
        >>> factors(MultivariateNormal(torch.zeros(3), torch.eye(3))) is None
        True
    """
    while isinstance(law, Independent):
        law = law.base_dist

    return None if law.event_shape else law


def element_kl(site: Site, *, analytic: bool) -> Tensor | None:
    r"""The divergence of each element of a site, with the shape of its draws, in nats.

    .. math:: \mathrm{KL}(q(z_{sd} \mid x, \dots) \| p(z_{sd} \mid \dots))

    Arguments:
        site: The site.
        analytic: Whether a closed form may be taken where one is registered, as it may if the
            guide draws the sites in the model's order; else :math:`\log q - \log p` is.

    Returns:
        None where one of both laws does not factorize over the elements.
    """
    q, p = factors(site.q), factors(site.p)

    if q is None or p is None:
        return None
    if analytic:
        try:
            # Of one shape: some closed forms do not broadcast.
            exact: Tensor = kl_divergence(*(law.expand(site.value.shape) for law in (q, p)))
            return exact
        except NotImplementedError:
            pass

    difference: Tensor = q.log_prob(site.value) - p.log_prob(site.value)
    return difference.expand(site.value.shape)


def mean_of(site: Site) -> Tensor:
    r"""The mean of the guide's law, with the shape of the draws; these where it has none."""
    try:
        mean: Tensor = site.q.mean
    except (NotImplementedError, AttributeError):
        return site.value

    # A category has no mean: torch says NaN.
    return mean.expand(site.value.shape) if bool(mean.isfinite().all()) else site.value
