r"""Importance weights: the one place that reads the traces of programs.

For :math:`n` data and :math:`K` draws (particles) :math:`z_{ki} \sim q(z \mid x_i)`, the log weight

.. math:: \log w_{ki} = \log p(x_i \mid z_{ki}) + \log p(z_{ki}) - \log q(z_{ki} \mid x_i)

is all that an objective or an estimator of the evidence needs to know about a pair of programs:
:math:`\mathbb{E}_q[\log w]` is the ELBO, :math:`\mathbb{E}_q[w] = p(x)`. Below :class:`Weights` all
is Pyro, above it all is tensor mathematics.

Densities are masked as the programs say, but not scaled: the scale of a minibatch belongs outside
of the logarithm of a bound, so it stands apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import kl_divergence

from .layout import vectors

__all__ = ["Observed", "Site", "Weights", "stack"]


@dataclass(frozen=True)
class Site:
    r"""A latent variable, drawn from the guide and scored by both programs."""

    value: Tensor
    r"""The draws, with shape ``(K, n, *event_shape)``, inner plates between ``K`` and ``n``."""
    p: Any
    r"""The distribution in the model."""
    q: Any
    r"""The distribution in the guide."""
    log_p: Tensor
    r""":math:`\log p(z)`, masked, with shape ``(K, n)``."""
    log_q: Tensor
    r""":math:`\log q(z \mid x)`, masked, with shape ``(K, n)``."""
    reduce: Callable[[Tensor], Tensor] = field(repr=False)
    r"""Masks a tensor of the batch shape of ``q`` and sums it to ``(K, n)``."""
    spread: Callable[[Tensor], Tensor] = field(repr=False)
    r"""Shapes a tensor of shape ``(K, n)`` so that it broadcasts to ``value``."""
    data_axis: int = 1
    r"""Which dimension of ``value`` holds the data."""
    local: bool = True
    r"""Whether the site lies in the plate of the data."""
    implicit: bool = False
    r"""Whether the guide has no density at the draws; ``log_q`` is zero then."""
    parts: tuple[Site, ...] = ()
    r"""The site in each run, where particles were looped over."""

    @property
    def reparameterized(self) -> bool:
        r"""Whether gradients flow through the draws."""
        return bool(self.q.has_rsample)

    def vectors(self) -> Tensor:
        r"""The draws as one vector for each datum, with shape ``(K, n, d)``."""
        return vectors(self.value, self.data_axis)

    def kl(self) -> Tensor:
        r"""The divergence :math:`\mathrm{KL}(q \| p)`, with shape ``(K, n)``.

        In closed form where one is registered, else the estimate :math:`\log q - \log p`.
        """
        if self.parts:
            return torch.cat([part.kl() for part in self.parts])

        try:
            return self.reduce(kl_divergence(self.q, self.p))
        except NotImplementedError:
            return self.log_q - self.log_p


class Observed(NamedTuple):
    r"""An observed site of the model."""

    law: Any
    r"""The distribution."""
    value: Tensor
    r"""The data."""
    mask: Any
    r"""What ``poutine.mask`` says of its density: a tensor, a bool, or None."""


@dataclass(frozen=True)
class Weights:
    r"""The log densities of :math:`K` draws for each of :math:`n` data, in nats."""

    likelihood: Tensor
    r""":math:`\log p(x \mid z)`, with shape ``(K, n)``."""
    prior: Tensor
    r""":math:`\log p(z)`, with shape ``(K, n)``."""
    guide: Tensor
    r""":math:`\log q(z \mid x)`, with shape ``(K, n)``."""
    scale: float = 1.0
    r"""The scale :math:`N / n` of a minibatch of :math:`n` among :math:`N` data."""
    sites: Mapping[str, Site] = field(default_factory=dict)
    r"""The latent variables, in the model's order."""
    observed: Mapping[str, Observed] = field(default_factory=dict)
    r"""The observed sites; of the first run, if it was looped."""
    guide_order: tuple[str, ...] = ()
    r"""The names of the latent variables, in the guide's order."""
    global_term: Tensor | None = None
    r"""The log weight of all sites outside of the plate of the data, with shape ``(K, 1)``."""
    global_sites: tuple[str, ...] = ()
    r"""The names of these sites."""

    @property
    def n(self) -> int:
        r"""The number of data."""
        return self.likelihood.shape[1]

    @property
    def implicit(self) -> bool:
        r"""Whether the guide draws a site without a density, so that there are no weights."""
        return any(site.implicit for site in self.sites.values())

    def check_local(self) -> None:
        r"""Raises a ValueError if a site lies outside of the plate of the data."""
        if self.global_sites:
            raise ValueError(
                f"Site {self.global_sites[0]!r} lies outside of the plate of the data, so there is "
                "no bound for each datum; move it into the plate, or use ELBO."
            )

    @property
    def log_weight(self) -> Tensor:
        r"""The log weights :math:`\log w`, with shape ``(K, n)``.

        Raises:
            ValueError: If a site lies outside of the plate of the data, since the data have no
                weights of their own then, or if the guide has no density.
        """
        self.check_local()
        if self.implicit:
            raise ValueError("A guide without a density has no weights; take one that has.")
        return self.likelihood + self.prior - self.guide


def stack(parts: Sequence[Weights]) -> Weights:
    r"""Joins the weights of several runs, one after the other along the particles."""
    first = parts[0]

    def cat(name: str) -> Tensor:
        return torch.cat([getattr(part, name) for part in parts])

    sites = {
        name: replace(
            site,
            value=torch.cat([part.sites[name].value for part in parts]),
            log_p=torch.cat([part.sites[name].log_p for part in parts]),
            log_q=torch.cat([part.sites[name].log_q for part in parts]),
            parts=tuple(part.sites[name] for part in parts),
        )
        for name, site in first.sites.items()
    }
    return replace(
        first,
        likelihood=cat("likelihood"),
        prior=cat("prior"),
        guide=cat("guide"),
        sites=sites,
        global_term=None if first.global_term is None else cat("global_term"),
    )
