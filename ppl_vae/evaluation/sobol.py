r"""Sobol points: draws that fill the space more evenly than independent ones.

A point set of :math:`m` points in the unit cube is scrambled, by a random matrix for each block of
data and a random shift for each datum, so that every point by itself is uniform: an average over
them is unbiased, and those of different data are uncorrelated. Its error falls faster than
:math:`m^{-1/2}` where the integrand is smooth, the faster the fewer of its dimensions matter.

The points of one scrambling depend on each other, so the spread of the weights tells nothing of the
error, and no delta method for independent draws applies. :math:`R` independent scramblings of
:math:`m = K / R` points do tell it: with :math:`\bar{w}_r` the mean weight of each,

.. math:: \mathrm{se}^2 = \frac{1}{R (R - 1)} \sum_r \Big( \frac{\bar{w}_r}{\bar{w}} - 1 \Big)^2

for :math:`\log \bar{w}`, with :math:`R - 1` degrees of freedom.

References:
    | Randomly Permuted (t, m, s)-Nets and (t, s)-Sequences (Owen, 1995)
    | https://doi.org/10.1007/978-1-4612-2552-2_19

    | On the L2-Discrepancy for Anchored Boxes (Matousek, 1998)
    | https://doi.org/10.1006/jcom.1998.0489

    | Quasi-Monte Carlo Variational Inference (Buchholz et al., 2018)
    | https://arxiv.org/abs/1807.01604
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from ..weights import Program, draw_guide
from .blocks import Draw, Terms, fields, scored
from .noise import Ask, Noise
from .seeds import mix

__all__ = ["REPLICATES", "check_points", "draw_points", "points", "quasi"]

REPLICATES = 8
r"""The number :math:`R` of independent scramblings."""

SIZE = 128
r"""The largest number of points of a block."""

BITS = 30
r"""The digits of a Sobol point, in torch."""


def check_points(particles: int) -> None:
    r"""Raises a ValueError unless the particles come in equal scramblings of two points or more."""
    if particles % REPLICATES or particles < 2 * REPLICATES:
        raise ValueError(
            f"Sobol points come in {REPLICATES} scramblings of equally many, so take a multiple of "
            f"{REPLICATES} particles, {2 * REPLICATES} or more, best {REPLICATES} times a power of "
            f"two; got {particles}."
        )


def points(m: int, n: int, dims: int, seed: int) -> Iterator[Tensor]:
    r"""Yields the points of one scrambling in blocks, each with shape ``(k, n, dims)``.

    Each point of each datum is uniform in the open unit cube, in double precision.

    Example:
        >>> u = torch.cat([*points(256, 3, 2, seed=0)])
        >>> u.shape, [len(part) for part in points(256, 3, 2, seed=0)]
        (torch.Size([256, 3, 2]), [128, 128])
        >>> (u * 256).long().sort(0).values[:, 0, 0].equal(torch.arange(256))  # one in each cell
        True

    Arguments:
        m: The number of points.
        n: The number of data.
        dims: The number of dimensions.
        seed: The seed of the scrambling.
    """
    engine = torch.quasirandom.SobolEngine(dims, scramble=True, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    shift = torch.randint(2**BITS, (n, dims), generator=generator)
    count = -(-m // SIZE)

    for i in range(count):
        size = m * (i + 1) // count - m * i // count
        digits = (engine.draw(size, dtype=torch.float64) * 2**BITS).round().long()
        # The first point is made in single precision, and may be rounded up to one.
        digits = digits & (2**BITS - 1)
        cells = digits.unsqueeze(1) ^ shift
        # What comes after the digits is independent.
        rest = torch.rand(cells.shape, generator=generator, dtype=torch.float64)
        yield ((cells + rest) / 2**BITS).clamp(2.0**-54, 1 - 2.0**-53)


def draw_points(
    model: Program,
    guide: Program,
    batch: Any,
    noise: list[Tensor],
    *,
    asks: list[Ask],
    depth: int,
    budget: int,
) -> Terms:
    r"""The terms of the log weights of draws that given noise makes, each with shape ``(K, n)``.

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`.
        batch: The data of the block.
        noise: What the guide gets for each noise that it asks for.
        asks: What it asks for.
        depth: The number of nested plates of the programs.
        budget: The number of draws that the model scores at once.
    """
    particles = noise[0].shape[asks[0].particle_axis]

    with Noise(noise) as told:
        values, log_q = draw_guide(guide, batch, particles, depth=depth)

    told.check()
    step = max(budget // log_q.shape[1], 1)
    return *scored(model, batch, values, depth=depth, step=step), log_q


def quasi(
    draw: Draw,
    asks: list[Ask],
    batch: Any,
    n: int,
    particles: int,
    seeds: tuple[int, int],
    device: torch.device | None,
) -> dict[str, Tensor]:
    r"""As :func:`~ppl_vae.evaluation.blocks.estimates`, by Sobol points.

    Arguments:
        draw: The function that draws a block from noise.
        asks: The noise that the guide asks for.
        batch: The data.
        n: The number of data.
        particles: The number :math:`K` of draws for each datum.
        seeds: The seed of all draws and the number of the data's block.
        device: Where the noise goes.
    """
    dims, parts = sum(ask.size for ask in asks), []

    for r in range(REPLICATES):
        for u in points(particles // REPLICATES, n, dims, mix(*seeds, r)):
            columns = u.split([ask.size for ask in asks], -1)
            noise = [ask.shaped(c).to(device) for ask, c in zip(asks, columns, strict=True)]
            parts.append(draw(batch, noise))

    likelihood, prior, guide = (torch.cat(terms).cpu() for terms in zip(*parts, strict=True))
    terms = likelihood, prior, guide
    return fields(terms, likelihood + prior - guide, _replicated)


def _replicated(shares: Tensor) -> Tensor:
    # The share of each scrambling in the sum of the weights; all are equal without error.
    each = shares.unflatten(0, (REPLICATES, -1)).sum(1)
    return REPLICATES / (REPLICATES - 1) * (each - 1 / REPLICATES).square().sum(0)
