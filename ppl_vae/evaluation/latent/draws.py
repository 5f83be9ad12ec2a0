r"""Draws of the guide for all data, block by block, and what its distributions say of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...weights import Program, Site, Weights, log_weights
from ...weights.layout import vectors
from ..rows import Rows
from ..seeds import mix
from .elements import element_kl, mean_of

__all__ = ["ROWS", "Draws", "draw"]

ROWS = 50
r"""The number of data that are drawn for, or scored, together from one seed."""


@dataclass(frozen=True)
class Draws:
    r""":math:`S` draws for each of :math:`n` data; sites by name."""

    values: dict[str, Tensor]
    r"""The draws, with shape ``(S, *event_shape)``, plates between them; see ``axes``."""
    axes: dict[str, int]
    r"""Which dimension of ``values`` holds the data."""
    likelihood: Tensor
    r""":math:`\log p(x \mid z)`, with shape ``(S, n)``."""
    prior: Tensor
    r""":math:`\log p(z)`, with shape ``(S, n)``."""
    guide: Tensor
    r""":math:`\log q(z \mid x)`, with shape ``(S, n)``."""
    kl: dict[str, Tensor]
    r"""The divergence of each site, with shape ``(n,)``."""
    elements: dict[str, Tensor | None]
    r"""That of each element, with shape ``(n, d)``, where both laws factorize over them."""
    means: dict[str, Tensor]
    r"""The means of :math:`q(z_s \mid x, \dots)` at each draw, with shape ``(S, n, d)``."""

    def codes(self, name: str) -> Tensor:
        r"""The draws of a site as vectors, with shape ``(S, n, d)``."""
        return vectors(self.values[name], self.axes[name])


def draw(model: Program, guide: Program, rows: Rows, draws: int, seed: int, **how: Any) -> Draws:
    r"""Draws from the guide for all data, and scores the draws under both programs.

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`.
        rows: The data, two or more.
        draws: The number :math:`S` of draws for each datum.
        seed: The seed of all draws.
        how: What else :func:`~ppl_vae.weights.log_weights` takes.

    Raises:
        ValueError: As :func:`~ppl_vae.weights.log_weights`, if a site lies outside of the plate of
            the data, or if one is masked: then data differ in what a code is.
    """
    blocks: list[Draws] = []

    for i, start in enumerate(range(0, len(rows), ROWS)):
        torch.manual_seed(mix(seed, i))
        weights = log_weights(model, guide, rows[start : start + ROWS], draws, **how)
        weights.check_local()
        blocks.append(_block(weights))

    return _joined(blocks)


def _block(weights: Weights) -> Draws:
    sites = weights.sites
    axes = {name: site.data_axis for name, site in sites.items()}
    ordered = tuple(sites) == weights.guide_order
    elements: dict[str, Tensor | None] = {}

    for name, site in sites.items():
        _check_unmasked(name, site)
        parts = [element_kl(run, analytic=ordered) for run in site.parts or (site,)]
        whole = [vectors(part, axes[name]) for part in parts if part is not None]
        elements[name] = (
            torch.cat(whole).cpu().double().mean(0) if len(whole) == len(parts) else None
        )

    return Draws(
        values={name: site.value for name, site in sites.items()},
        axes=axes,
        likelihood=weights.likelihood,
        prior=weights.prior,
        guide=weights.guide,
        kl={name: _kl(site, elements[name], ordered) for name, site in sites.items()},
        elements=elements,
        means={
            name: torch.cat([vectors(mean_of(run), axes[name]) for run in site.parts or (site,)])
            for name, site in sites.items()
        },
    )


def _kl(site: Site, elements: Tensor | None, ordered: bool) -> Tensor:
    if elements is not None:
        return elements.sum(1)

    return (site.kl() if ordered else site.log_q - site.log_p).cpu().double().mean(0)


def _check_unmasked(name: str, site: Site) -> None:
    for run in site.parts or (site,):
        counts = run.reduce(torch.ones(run.q.batch_shape, device=run.value.device))
        plates = run.value.numel() // max(run.q.event_shape.numel(), 1) // run.log_q.numel()
        if not bool((counts == plates).all()):
            raise ValueError(
                f"Site {name!r} is masked, so that data differ in what their code is, and there is "
                "no aggregate posterior; leave the data with masked codes out."
            )


def _joined(blocks: Sequence[Draws]) -> Draws:
    first = blocks[0]

    def cat(field: str, name: str, dim: int) -> Tensor:
        return torch.cat([getattr(block, field)[name] for block in blocks], dim)

    densities = {
        key: torch.cat([getattr(block, key) for block in blocks], 1).cpu().double()
        for key in ("likelihood", "prior", "guide")
    }
    return Draws(
        values={name: cat("values", name, axis) for name, axis in first.axes.items()},
        axes=first.axes,
        kl={name: cat("kl", name, 0) for name in first.kl},
        elements={
            name: None if t is None else cat("elements", name, 0)
            for name, t in first.elements.items()
        },
        means={name: cat("means", name, 1).cpu().double() for name in first.means},
        **densities,
    )
