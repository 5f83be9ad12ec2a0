r"""Adding up the log densities of sites."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from pyro import poutine
from pyro.distributions.util import scale_and_mask
from pyro.infer.util import is_validation_enabled
from torch import Tensor

from .base import Observed, Site, Weights
from .checks import check_data, check_density, check_match, lacks_density
from .draws import check_draws
from .layout import Layout
from .traces import Batch, Node, batch_size, enumerated, latent_sites, sites_of

__all__ = ["Total", "read"]


class Total:
    r"""Adds up the log densities of sites."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.terms: dict[str, Any] = {"likelihood": 0.0, "prior": 0.0, "guide": 0.0}
        self.outside: dict[str, Tensor] = {}
        self.joint: Any = 0.0

    def add(self, term: str, node: Node, log_prob: Tensor) -> None:
        if self.layout.local(node):
            self.terms[term] = self.terms[term] + log_prob
        else:
            sign = -1 if term == "guide" else 1
            self.outside[node["name"]] = self.outside.get(node["name"], 0) + sign * log_prob

    def model(self, nodes: Mapping[str, Node]) -> dict[str, Tensor]:
        r"""Adds all sites of the model; returns the log densities of the latent ones."""
        latent = {}

        for name, node in nodes.items():
            check_density(node, marks=False)  # replay hands on those of the guide
            log_p = self.layout.log_prob(node)

            # Dimensions left of all plates are those of enumerated sites.
            if log_p.ndim > -min(self.layout.dims(node), default=0) and self.enumerates(nodes):
                self.enumerate(node, log_p)
                continue

            log_p = self.layout.reduce(log_p, node)
            self.add("likelihood" if node["is_observed"] else "prior", node, log_p)

            if not node["is_observed"]:
                latent[name] = log_p

        return latent

    @staticmethod
    def enumerates(nodes: Mapping[str, Node]) -> bool:
        return any(enumerated(node) for node in nodes.values())

    def enumerate(self, node: Node, log_prob: Tensor) -> None:
        # Terms that depend on an enumerated site are added before the sum over its values.
        if not self.layout.local(node):
            raise ValueError(
                f"Site {node['name']!r} is enumerated, or depends on an enumerated site, outside "
                "of the plate of the data; move it into the plate, or draw it in the guide."
            )
        if set(self.layout.dims(node)) - {self.layout.data_dim, self.layout.particle_dim}:
            raise ValueError(
                f"Site {node['name']!r} depends on an enumerated site and lies in a plate within "
                "that of the data; sum it out in the model, or draw it in the guide."
            )
        self.joint = self.joint + log_prob

    def weights(self, sites: dict[str, Site], order: tuple[str, ...]) -> Weights:
        K, n = self.layout.particles, self.layout.n

        if isinstance(self.joint, Tensor):
            # Plates of the model are rightmost, enumerated dimensions left of them.
            inner = -(self.layout.particle_dim or self.layout.data_dim)
            outer = self.joint.ndim - inner
            summed = self.joint.flatten(0, outer - 1).logsumexp(0)
            self.terms["likelihood"] = self.terms["likelihood"] + summed.reshape(K, n)

        zero = next(
            (t.new_zeros(K, n) for t in self.terms.values() if isinstance(t, Tensor)),
            torch.zeros(K, n),
        )
        return Weights(
            likelihood=zero + self.terms["likelihood"],
            prior=zero + self.terms["prior"],
            guide=zero + self.terms["guide"],
            scale=self.layout.scale,
            sites=sites,
            guide_order=order,
            global_term=torch.stack([*self.outside.values()]).sum(0) if self.outside else None,
            global_sites=tuple(self.outside),
        )


def read(
    p: poutine.Trace,
    q: poutine.Trace,
    batch: Batch,
    particles: int,
    depth: int | None,
    lenient: bool = False,
    implicit: bool = False,
) -> Weights:
    model, guide = sites_of(p), sites_of(q)
    latent = [name for name, node in guide.items() if not node["is_observed"]]
    check_match(latent_sites(model), latent)

    if is_validation_enabled():
        for node in model.values():
            if node["is_observed"]:
                check_data(node, lenient)
        for name in latent:
            check_draws(model[name], guide[name])

    layout = Layout.of([*model.values(), *guide.values()], batch_size(batch), particles, depth)
    if not any(node["is_observed"] for node in model.values()):
        raise ValueError(
            "The model observes nothing: pass the data on to pyro.sample(..., obs=x), and pass the "
            "model before the guide."
        )

    total = Total(layout)
    sites = {
        name: _site(layout, model[name], guide[name], log_p, implicit)
        for name, log_p in total.model(model).items()
    }

    for name, node in guide.items():
        log_q = sites[name].log_q if name in sites else None
        log_q = layout.reduce(layout.log_prob(node), node) if log_q is None else log_q
        total.add("guide", node, log_q)

    seen = {
        name: Observed(node["fn"], node["value"], node["mask"])
        for name, node in model.items()
        if node["is_observed"]
    }
    return replace(total.weights(sites, tuple(latent)), observed=seen)


def _site(layout: Layout, p: Node, q: Node, log_p: Tensor, implicit: bool) -> Site:
    absent = implicit and lacks_density(q)

    if not absent:
        check_density(q)

    def reduce(t: Tensor) -> Tensor:
        return layout.reduce(scale_and_mask(t, mask=q["mask"]), q)

    return Site(
        value=layout.value(q),
        p=p["fn"],
        q=q["fn"],
        log_p=log_p,
        log_q=torch.zeros_like(log_p) if absent else layout.reduce(layout.log_prob(q), q),
        reduce=reduce,
        spread=partial(layout.spread, node=q),
        data_axis=1 + layout.depth + layout.data_dim,
        local=layout.local(q),
        implicit=absent,
    )
