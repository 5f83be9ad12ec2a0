r"""How one latent site is used."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..active import active_units
from ..two_sample import TwoSample, mmd_test
from .draws import Draws

__all__ = ["ACTIVE", "COLLAPSED", "MOST", "SiteUse", "activity", "compared", "site_use", "spaced"]

ACTIVE = 0.01
r"""The variance of posterior means over which an element is active, in the prior's scale."""

COLLAPSED = 0.1
r"""The divergence of a site, in nats per datum, under which it counts as collapsed."""

MOST = 1000
r"""The number of draws of a side that are tested: what more of them find is of no account."""


@dataclass(frozen=True)
class SiteUse:
    r"""How one latent site of :math:`d` elements is used for :math:`n` data."""

    kl: Tensor
    r"""Its part of :math:`\mathrm{KL}(q(z \mid x) \| p(z))`, in nats, with shape ``(n,)``."""
    elements: Tensor | None
    r"""That of each element, a mean over the data, with shape ``(d,)``; None where the laws do not
    factorize over them."""
    activity: Tensor
    r"""The variance over the data of the posterior mean, in the prior's scale, with shape
    ``(d,)``."""
    active: Tensor
    r"""Whether each element is active, with shape ``(d,)``."""
    mean: Tensor
    r"""The posterior means, with shape ``(n, d)``."""
    posterior: Tensor
    r"""One draw of :math:`q(z \mid x)` for each datum: draws of :math:`q(z)`."""
    prior: Tensor
    r"""As many draws of :math:`p(z)`, with shape ``(n, d)``."""
    test: TwoSample
    r"""The test of both."""

    @property
    def collapsed(self) -> bool:
        r"""Whether no element is active, and the KL is under :data:`COLLAPSED`."""
        return not bool(self.active.any()) and float(self.kl.mean()) < COLLAPSED


def activity(means: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    r"""The variance over data of posterior means, and which elements are active.

    .. math:: A_d = \operatorname{Var}_x \big( \mathbb{E}_{q(z \mid x)}[z_d] \big) / s_d^2

    in the scale :math:`s` of the prior. Where the mean of :math:`q(z \mid x)` is known it is that
    of :func:`~ppl_vae.evaluation.active_units`. Else it is estimated by :math:`S` draws, the noise
    of which is taken off, and an element is active where it exceeds 0.01 by more than three
    standard errors of that noise.

    Example:
        >>> means = torch.tensor([[0.0, 1.0], [0.01, -1.0]]).expand(4, 2, 2)
        >>> activity(means, torch.ones(2))[1]
        tensor([False,  True])

    References:
        | Importance Weighted Autoencoders (Burda et al., 2016)
        | https://arxiv.org/abs/1509.00519

    Arguments:
        means: What is known of the means from each draw, with shape ``(S, n, d)``.
        scale: The scale of the prior, with shape ``(d,)``.

    Returns:
        Both, with shape ``(d,)``.
    """
    S, n, _ = means.shape
    means = means.double() / scale
    noise = means.var(0).mean(0) / S if S > 1 else torch.zeros_like(means[0, 0])
    chance = 3 * noise * (2 / (n - 1) * (1 + 1 / max(S - 1, 1))) ** 0.5
    mean = means.mean(0)
    # Var > tau + noise + chance, as a variance over tau.
    shrunk = mean / (1 + (noise + chance) / ACTIVE).sqrt()
    return (mean.var(0) - noise).clamp(min=0), active_units(shrunk, ACTIVE)


def site_use(drawn: Draws, name: str, prior: Tensor, scale: Tensor, seed: int) -> SiteUse:
    r"""Gathers what the draws tell of one site.

    Arguments:
        drawn: The draws of the guide.
        name: The name of the site.
        prior: Draws of the prior, with shape ``(n, d)``.
        scale: The scale of the prior, with shape ``(d,)``.
        seed: The seed of the test.
    """
    posterior = drawn.codes(name)[0].cpu().double()
    variance, active = activity(drawn.means[name], scale)
    elements = drawn.elements[name]
    return SiteUse(
        kl=drawn.kl[name],
        elements=None if elements is None else elements.mean(0),
        activity=variance,
        active=active,
        mean=drawn.means[name].mean(0),
        posterior=posterior,
        prior=prior,
        test=compared(spaced(posterior), spaced(prior), seed),
    )


def compared(x: Tensor, y: Tensor, seed: int) -> TwoSample:
    r"""Tests whether codes come from one law, each element in units of its standard deviation.

    Arguments:
        x: Codes, with shape ``(n, d)``.
        y: Others, with shape ``(m, d)``.
        seed: The seed of the test.
    """
    scale = torch.cat([x, y]).std(0)
    scale = torch.where(scale > 0, scale, torch.ones_like(scale))
    return mmd_test(x / scale, y / scale, kernel="imq", seed=seed)


def spaced(z: Tensor) -> Tensor:
    r"""At most :data:`MOST` rows, evenly spaced.

    Example:
        >>> len(spaced(torch.zeros(3000, 2)))
        1000
    """
    if len(z) <= MOST:
        return z

    return z[torch.linspace(0, len(z) - 1, MOST).round().long()]
