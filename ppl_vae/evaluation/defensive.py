r"""Defensive importance weighting: some draws come from the prior, so that no weight is large.

Of :math:`K` draws for a datum, :math:`\alpha K` come from the prior and the others from the guide;
how many is fixed, not drawn. All of them, whatever they came from, are weighted by the density of
the mixture (the balance heuristic),

.. math:: w_k = \frac{p(x \mid z_k) \, p(z_k)}{\alpha \, p(z_k) + (1 - \alpha) \, q(z_k \mid x)}
    \le \frac{p(x \mid z_k)}{\alpha}

so that their mean is :math:`p(x)` on average. Where the guide is far too narrow, plain weights have
no variance; these always have one if the likelihood is bounded. What a guide never draws, the prior
does, and nothing is left out. The price is the share of draws that the prior wastes.

The squared standard error adds up over the two strata, with the variance within each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..modules import preserving
from ..weights import Program, log_weights, score_guide
from ..weights.traces import particle_plate, run_traced, sites_of
from .blocks import BLOCK, Draw, Terms, drawn, fields, scored
from .within import Everywhere

__all__ = ["defended", "draw_prior", "prior_draws", "prior_sites"]


def prior_draws(particles: int, defensive: float) -> int:
    r"""How many of the draws come from the prior: one or more, and not all.

    Example:
        >>> prior_draws(5000, 0.1), prior_draws(3, 0.1), prior_draws(5000, 0.0)
        (500, 1, 0)

    Arguments:
        particles: The number :math:`K` of draws.
        defensive: The share :math:`\alpha` that was asked for; zero for none.

    Raises:
        ValueError: If the share is not in :math:`[0, 1)`, or there are fewer draws than two.
    """
    if not 0 <= defensive < 1:
        raise ValueError(
            f"The share of defensive draws must be at least 0 and less than 1, got {defensive}."
        )
    if defensive > 0 and particles < 2:
        raise ValueError(
            "Defensive draws take two particles or more, one of the prior and one of the guide; "
            f"got {particles}."
        )

    return min(max(round(defensive * particles), 1), particles - 1) if defensive > 0 else 0


def prior_sites(model: Program, guide: Program, row: Any) -> tuple[str, ...]:
    r"""The latent sites, in the guide's order.

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`.
        row: A batch of one datum.

    Raises:
        ValueError: If the prior has no density of its own, since what it is given is summed out.
    """
    with preserving(model, guide), torch.no_grad():
        weights = log_weights(model, guide, row)

    for name in weights.guide_order:
        if name not in weights.sites:
            raise ValueError(
                f"Site {name!r} depends on a site that the model enumerates, so that its prior has "
                "no density of its own, which defensive draws need; draw that site in the guide, "
                "or take defensive=0."
            )

    return weights.guide_order


def draw_prior(
    model: Program,
    guide: Program,
    batch: Any,
    particles: int,
    *,
    sites: Sequence[str],
    depth: int,
    budget: int,
    vectorized: bool,
) -> Terms:
    r"""The terms of draws from the prior: likelihood, prior and guide, each with shape ``(K, n)``.

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`.
        batch: The data of the block.
        particles: The number :math:`K` of draws for each datum.
        sites: The latent sites.
        depth: The number of nested plates of the programs.
        budget: The number of draws that the model scores at once.
        vectorized: Whether draws are made at once.
    """
    if particles > 1 and not vectorized:
        options: Any = {"sites": sites, "depth": depth, "budget": budget, "vectorized": True}
        parts = [draw_prior(model, guide, batch, 1, **options) for _ in range(particles)]
        likelihood, prior, log_q = (torch.cat(terms) for terms in zip(*parts, strict=True))
        return likelihood, prior, log_q

    with particle_plate(particles, depth):
        # The model is left before it decodes what it drew: that comes in parts.
        nodes = sites_of(run_traced(model, batch, until=sites))

    values = {name: nodes[name]["value"] for name in sites}
    values = values if particles > 1 else {name: z.unsqueeze(0) for name, z in values.items()}
    log_q = score_guide(Everywhere(guide), batch, values, depth=depth)
    step = max(budget // log_q.shape[1], 1)
    return *scored(model, batch, values, depth=depth, step=step), log_q


def defended(
    draw: Draw, prior: Draw, batch: Any, particles: int, seeds: tuple[int, int], own: int
) -> dict[str, Tensor]:
    r"""As :func:`~ppl_vae.evaluation.blocks.estimates`, with draws from the prior among them.

    The draws of the guide are the first of those without; of them alone are ELBO, reconstruction
    and KL.

    Arguments:
        draw: The function that draws a block from the guide.
        prior: The function that draws a block from the prior.
        batch: The data.
        particles: The number :math:`K` of all draws for each datum.
        seeds: The seed of all draws and the number of the data's block.
        own: How many of the draws come from the prior.
    """
    rest = particles - own
    guided = drawn(draw, batch, rest, seeds)
    free = drawn(prior, batch, own, seeds, first=-(-rest // BLOCK[0]))
    log_w = torch.cat([_weighted(terms, own / particles) for terms in (guided, free)])
    return fields(guided, log_w, partial(_stratified, sizes=(rest, own)))


def _weighted(terms: Terms, alpha: float) -> Tensor:
    likelihood, prior, guide = terms
    mixture = torch.logaddexp(prior + math.log(alpha), guide + math.log1p(-alpha))
    return likelihood + prior - mixture


def _stratified(shares: Tensor, sizes: tuple[int, int]) -> Tensor:
    # One draw tells no variance: about the mean of all, it tells more than it should.
    return sum(
        part.var(0) * len(part) if len(part) > 1 else (part[0] - 1 / len(shares)).square()
        for part in shares.split(sizes)
    )
