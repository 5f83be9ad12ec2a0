r"""The result of :func:`latent_use`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..two_sample import TwoSample
from .clusters import Clusters
from .information import Information
from .probe import Probe
from .site import SiteUse
from .words import verdict

__all__ = ["LatentUse"]


@dataclass(frozen=True)
class LatentUse:
    r"""How the latent variables are used for :math:`n` data; numbers in nats per datum."""

    sites: Mapping[str, SiteUse]
    r"""The latent sites by name, in the model's order."""
    rate: Tensor
    r"""The guide's rate :math:`R = \mathrm{KL}(q(z \mid x) \| p(z))`, with shape ``(n,)``."""
    distortion: Tensor
    r"""Its distortion :math:`D = - \mathbb{E}_q[\log p(x \mid z)]`, with shape ``(n,)``; the ELBO
    is :math:`-(R + D)`."""
    information: Information
    r"""The rate, taken apart: the information of the codes, and the distance of their law from the
    prior."""
    test: TwoSample
    r"""The test of :math:`q(z)` against :math:`p(z)`, all sites together."""
    draws: int = 0
    r"""The number of draws for each datum."""
    given: bool = False
    r"""Whether the prior differs between data, by what the model is given beside them."""
    probe: Probe | None = None
    r"""How well a linear classifier reads the labels off the codes."""
    clusters: Clusters | None = None
    r"""How well clusters of the codes agree with the labels."""
    disentanglement: Mapping[str, float] | None = None
    r"""How the factors lie in the codes; see :mod:`ppl_vae.evaluation.latent`."""

    def __len__(self) -> int:
        return len(self.rate)

    @property
    def codes(self) -> Tensor:
        r"""The posterior means of all sites, as one vector for each datum."""
        return torch.cat([site.mean for site in self.sites.values()], 1)

    def summary(self) -> dict[str, Any]:
        r"""Means over the data.

        Returns:
            ``level`` and ``verdict``, ``n``, ``draws``, ``rate``, ``distortion`` and ``elbo`` (with
            the standard errors of the first two over the data), ``information`` and ``marginal_kl``
            (each a bracket; the first with its ``ceiling``), ``aggregate`` (the test), ``active``
            and ``dimensions``, ``sites`` (of each the same), and ``probe``, ``clusters`` and
            ``disentanglement`` where labels or factors are known.
        """
        level, sentences = verdict(self)
        mutual, marginal = self.information.mutual.told(), self.information.marginal.told()
        return {
            "level": level,
            "verdict": sentences,
            "n": len(self),
            "draws": self.draws,
            **_point("rate", self.rate),
            **_point("distortion", self.distortion),
            "elbo": -(self.rate + self.distortion).mean().item(),
            "information": {**mutual, "ceiling": self.information.ceiling},
            "marginal_kl": None if self.given else marginal,
            "aggregate": _test(self.test),
            "active": sum(int(site.active.sum()) for site in self.sites.values()),
            "dimensions": sum(len(site.active) for site in self.sites.values()),
            "sites": {name: _site(site) for name, site in self.sites.items()},
            "probe": None if self.probe is None else vars(self.probe).copy(),
            "clusters": None if self.clusters is None else vars(self.clusters).copy(),
            "disentanglement": None if self.disentanglement is None else {**self.disentanglement},
        }

    def arrays(self) -> dict[str, np.ndarray]:
        r"""What the figures are drawn from.

        Returns:
            For each datum ``rate``, ``distortion``, and the terms ``information_lower`` and
            ``information_upper``; of each site ``kl_SITE``, ``mean_SITE``, ``posterior_SITE`` and
            ``prior_SITE``, and of its elements ``elements_SITE`` (where they are known),
            ``activity_SITE`` and ``active_SITE``.
        """
        found = {
            "rate": self.rate,
            "distortion": self.distortion,
            "information_lower": self.information.inclusive,
            "information_upper": self.information.exclusive,
        }

        for name, site in self.sites.items():
            fields = ("kl", "elements", "activity", "active", "mean", "posterior", "prior")
            found |= {f"{k}_{name}": getattr(site, k) for k in fields}

        return {name: t.numpy() for name, t in found.items() if t is not None}


def _point(name: str, x: Tensor) -> dict[str, float]:
    return {name: x.mean().item(), f"{name}_error": x.std().item() / len(x) ** 0.5}


def _test(test: TwoSample) -> dict[str, Any]:
    # The verdict on all is told once.
    return {k: v for k, v in test.summary().items() if k not in ("level", "verdict")}


def _site(site: SiteUse) -> dict[str, Any]:
    return {
        **_point("kl", site.kl),
        "active": int(site.active.sum()),
        "dimensions": len(site.active),
        "unused": (~site.active).nonzero().flatten().tolist(),
        "collapsed": site.collapsed,
        "aggregate": _test(site.test),
    }
