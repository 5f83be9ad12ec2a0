r"""Draws of a program's latent sites: all of them, or one given the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Independent

from .layout import Layout
from .traces import Batch, Program, as_trace, batch_size, particle_plate, run_traced, sites_of

__all__ = ["Proposal", "draw_sites", "redraw_site"]


class Proposal(NamedTuple):
    r"""A new value of one site, drawn from its law given the sites before it."""

    value: Tensor
    r"""The new value, as in :attr:`~ppl_vae.weights.Site.value`."""
    log_new: Tensor
    r"""The log density of the law at the new value, with shape ``(K, n)``."""
    log_old: Tensor
    r"""The log density of the law at the old value, with shape ``(K, n)``."""


def draw_sites(program: Program, batch: Batch, particles: int, *, depth: int) -> dict[str, Tensor]:
    r"""Draws the latent sites of a model, from its prior, or those of a guide.

    Arguments:
        program: The program.
        batch: What it is called with.
        particles: The number :math:`K` of draws.
        depth: The number of nested plates.

    Returns:
        The value of each latent site, as in :attr:`~ppl_vae.weights.Site.value`.
    """
    with particle_plate(particles, depth):
        trace = run_traced(program, batch)

    nodes = sites_of(trace)
    layout = Layout.of(list(nodes.values()), batch_size(batch), particles, depth)
    return {k: layout.value(node) for k, node in nodes.items() if not node["is_observed"]}


def redraw_site(
    program: Program,
    batch: Batch,
    values: Mapping[str, Tensor],
    site: str,
    *,
    share: float = 1.0,
    depth: int,
) -> Proposal:
    r"""Draws one site anew from its law given the values of all others.

    Arguments:
        program: The program whose law it is.
        batch: What it is called with.
        values: The values of all latent sites, as in :attr:`~ppl_vae.weights.Site.value`.
        site: The site to draw.
        share: The probability with which each element is drawn anew, where the elements of the
            law are independent; where they are not, all are.
        depth: The number of nested plates.
    """
    particles = len(values[site])
    others = {name: value for name, value in values.items() if name != site}

    with particle_plate(particles, depth):
        trace = run_traced(program, batch, replay=as_trace(others, particles))

    nodes = sites_of(trace)
    layout = Layout.of(list(nodes.values()), batch_size(batch), particles, depth)
    node = {**nodes[site]}
    new, old = layout.value(node), values[site]

    if share < 1 and isinstance(node["fn"], Independent):
        # What the elements are independent of each other in is chosen without a look at them.
        inner = len(node["fn"].base_dist.event_shape)
        where = new.shape[: new.ndim - inner]
        chosen = torch.rand(where, device=new.device) < share
        new = torch.where(chosen.reshape(*where, *[1] * inner), new, old)

    def score(value: Tensor) -> Tensor:
        node["value"] = value[0] if particles == 1 else value
        return layout.reduce(layout.log_prob(node), node)

    return Proposal(new, score(new), score(old))
