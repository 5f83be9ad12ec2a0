r"""Blocks of draws: some particles of some data, weighted together from one seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ..staging import Staged, choose
from ..weights import Program, draw_guide, log_joint, log_weights
from .pareto import khat
from .seeds import mix

__all__ = [
    "BLOCK",
    "Draw",
    "Terms",
    "draw_weights",
    "drawn",
    "estimates",
    "fields",
    "scored",
    "staged",
]

BLOCK = (100, 50)
r"""Particles and data of a block, drawn together from one seed."""

FEW = 50
r"""The number of blocks below which programs are run as they are."""

Terms = tuple[Tensor, Tensor, Tensor]
r"""The terms of the log weights: likelihood, prior and guide, each with shape ``(K, n)``."""

Draw = Callable[..., Terms]
r"""From a batch and a number of particles to the terms of their log weights."""


def draw_weights(
    model: Program,
    guide: Program,
    batch: Any,
    particles: int,
    *,
    depth: int,
    budget: int,
    vectorized: bool,
) -> Terms:
    r"""The terms of the log weights: likelihood, prior and guide, each with shape ``(K, n)``.

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`.
        batch: The data of the block.
        particles: The number :math:`K` of draws for each datum.
        depth: The number of nested plates of the programs.
        budget: The number of draws that the model scores at once.
        vectorized: Whether draws are made at once.
    """
    n = len(next(iter(batch.values())) if isinstance(batch, Mapping) else batch)

    if not vectorized or particles * n <= budget:
        weights = log_weights(model, guide, batch, particles, vectorized=vectorized, depth=depth)
        return weights.likelihood, weights.prior, weights.guide

    # The same draws, scored by the model a few particles at a time.
    values, log_q = draw_guide(guide, batch, particles, depth=depth)
    return *scored(model, batch, values, depth=depth, step=max(budget // n, 1)), log_q


def scored(
    model: Program, batch: Any, values: Mapping[str, Tensor], *, depth: int, step: int
) -> tuple[Tensor, Tensor]:
    r"""The likelihood and the prior of given draws, each with shape ``(K, n)``.

    Arguments:
        model: The program :math:`p(x, z)`.
        batch: The data of the block.
        values: The values of all latent sites, each with shape ``(K, n, *event_shape)``.
        depth: The number of nested plates of the programs.
        step: The number of particles that the model scores at once.
    """
    particles = len(next(iter(values.values())))
    parts = [
        log_joint(model, batch, {k: v[i : i + step] for k, v in values.items()}, depth=depth)
        for i in range(0, particles, step)
    ]
    likelihood, prior = (torch.cat(terms) for terms in zip(*parts, strict=True))
    return likelihood, prior


def staged(
    draw: Draw,
    programs: tuple[Program, Program],
    compile: str,
    first: tuple[Any, Any],
    blocks: int,
) -> Draw:
    r"""The same function, replayed from a graph where that pays.

    Arguments:
        draw: The function that draws a block.
        programs: The model and the guide.
        compile: How blocks are run, as for :func:`~ppl_vae.evaluation.log_evidence`.
        first: The arguments of the first block.
        blocks: The number of blocks.
    """
    # A few blocks are not worth a graph; the decision is one of numbers, never of a clock.
    if compile == "off" or (compile == "auto" and blocks < FEW):
        return draw

    replayed = Staged(draw, programs, backend="fx" if compile == "auto" else compile)

    if compile == "auto":
        entry = replayed.entry(*first)
        graph = None if entry is None else entry.graph
        if graph is not None and (backend := choose([graph], blocks, graph.device)) != "fx":
            replayed = Staged(draw, programs, backend=backend)

    return replayed


def estimates(draw: Draw, batch: Any, particles: int, seeds: tuple[int, int]) -> dict[str, Tensor]:
    r"""The fields of :class:`~ppl_vae.evaluation.Evidence` for the data of a block.

    Arguments:
        draw: The function that draws a block.
        batch: The data.
        particles: The number :math:`K` of draws for each datum, which come in blocks.
        seeds: The seed of all draws and the number of the data's block, which tell the seed of
            each block.
    """
    terms = drawn(draw, batch, particles, seeds)
    likelihood, prior, guide = terms
    return fields(terms, likelihood + prior - guide)


def drawn(draw: Draw, batch: Any, particles: int, seeds: tuple[int, int], first: int = 0) -> Terms:
    r"""The terms of all draws for the data of a block, on the CPU.

    Arguments:
        draw: The function that draws a block.
        batch: The data.
        particles: The number :math:`K` of draws for each datum, which come in blocks.
        seeds: As for :func:`estimates`.
        first: The number of the first block of draws.
    """
    parts = []

    for k, start in enumerate(range(0, particles, BLOCK[0])):
        torch.manual_seed(mix(*seeds, first + k))
        parts.append(draw(batch, min(BLOCK[0], particles - start)))

    # The sums are small and want double precision, which not every device has.
    likelihood, prior, guide = (torch.cat(terms).cpu() for terms in zip(*parts, strict=True))
    return likelihood, prior, guide


def fields(
    terms: Terms, log_w: Tensor, error: Callable[[Tensor], Tensor] | None = None
) -> dict[str, Tensor]:
    r"""The fields of :class:`~ppl_vae.evaluation.Evidence`, from draws and their weights.

    Arguments:
        terms: The terms of the guide's own draws, of which ELBO, reconstruction and KL are means.
        log_w: The log weights of all draws, with shape ``(K, n)``.
        error: From the shares of the draws in the sum of the weights, with shape ``(K, n)``, to
            the squared standard error of the logarithm; by default that of independent draws.
    """
    likelihood, prior, guide = terms
    particles = len(log_w)
    log_p = log_w.logsumexp(0) - math.log(particles)
    shares = log_w.double().softmax(0)
    share = shares.square().sum(0)
    if error is not None:
        squared = error(shares)
    else:  # one draw tells no error
        squared = share - 1 / particles if particles > 1 else torch.full_like(share, torch.nan)
    return {
        "log_evidence": log_p,
        "standard_error": squared.clamp(min=0).sqrt().to(log_p),
        "elbo": (likelihood + prior - guide).mean(0),
        "reconstruction": likelihood.mean(0),
        "kl": (guide - prior).mean(0),
        "ess": (1 / share).to(log_p),
        "khat": khat(log_w),
    }
