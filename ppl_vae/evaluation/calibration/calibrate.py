r"""Simulation-based calibration of an amortized guide, without refitting.

.. math:: z^* \sim p(z) \quad x \sim p(x \mid z^*) \quad z_1, \dots, z_L \sim q(z \mid x)

If :math:`q(z \mid x) = p(z \mid x)`, then :math:`z^*` and the draws have one distribution given
:math:`x`, so the rank of :math:`f(z^*, x)` among :math:`f(z_l, x)` is uniform for every :math:`f`.
Ranks of the elements of :math:`z` alone miss a guide that ignores the data, since the prior itself
passes; quantities that depend on :math:`x` do not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pyro
import torch
from torch import Tensor

from ...modules import evaluating, home_of, preserving
from ...weights import Batch, Program
from ...weights.traces import batch_size, by_name
from ..imitation import repeated
from ..seeds import mix
from .coverage import distances, nearest
from .predictive import names, summaries
from .ranks import Quantity, ranks
from .result import Calibration
from .simulated import Simulated, simulated

__all__ = ["calibration"]

ROWS = 100
r"""The number of simulations that are made at once, from one seed."""
FEW = 20, 7
r"""The least numbers of simulations and of draws."""


def calibration(
    model: Program,
    guide: Program,
    batch: Batch,
    simulations: int = 1000,
    draws: int = 63,
    *,
    seed: int = 0,
    vectorized: bool = True,
    progress: Callable[[int], None] | None = None,
) -> Calibration:
    r"""Tests whether a guide is the posterior of its model, on data that the model draws.

    True values are ranked among draws of the guide for

    - each element of each latent site (elements depend on each other);
    - :math:`\log p(x \mid z)` and :math:`\log p(x, z)`;
    - the distance of :math:`z` from a reference point: the latent variable of a further simulation
      whose data are the nearest to :math:`x` (references that know nothing of :math:`x` would let
      the prior pass);
    - new data :math:`y \sim p(x \mid z)`: their mean, their spread over the elements, and an
      element at random.

    Ranks are tested for uniformity by the exact test of Säilynoja et al., all tests together at the
    rate 0.05 by the method of Holm. A thousand simulations find what matters. The guide is judged
    on the model's data: where they are unlike real data, it may not have learned them.

    Simulations come in blocks of fixed size, each from a seed of its own, so the first of many are
    those of few. The programs are run in evaluation mode; no parameter, buffer, flag or random
    state changes.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> x = model(n=10).detach()
        >>> found = calibration(model, Amortized(model.posterior), x, simulations=400, draws=15)
        >>> found.summary()["level"]
        'good'

    References:
        | Validating Bayesian Inference Algorithms with Simulation-Based Calibration (Talts et al.,
          2018)
        | https://arxiv.org/abs/1804.06788
        | Simulation-Based Calibration Checking for Bayesian Computation: The Choice of Test
          Quantities Shapes Sensitivity (Modrák et al., 2023)
        | https://arxiv.org/abs/2211.02383
        | Sampling-Based Accuracy Testing of Posterior Estimators for General Inference (Lemos et
          al., 2023)
        | https://arxiv.org/abs/2302.03026

    Arguments:
        model: The program :math:`p(x, z)`, which takes the number of data as ``n``.
        guide: The program :math:`q(z \mid x)`.
        batch: Real data, for what the model is given besides what it observes, such as labels or
            exposures, and for which entries are missing; rows are used over again.
        simulations: The number :math:`S` of simulations.
        draws: The number :math:`L` of draws of the guide for each. With :math:`L + 1` a power of
            two, bars of histograms are of equal width.
        seed: The seed of all draws.
        vectorized: Whether draws are made at once; guides that reshape them need False.
        progress: Called with the number of simulations of each block that is done.

    Raises:
        ValueError: If there are no data, fewer than 20 simulations or 7 draws, the model takes no
            ``n``, the guide has no density, or a site lies outside of the plate of the data.
    """
    given, n = by_name(model, batch), batch_size(batch)

    if not n:
        raise ValueError("There are no data to simulate in the place of; the batch is empty.")
    if simulations < FEW[0] or draws < FEW[1]:
        raise ValueError(
            f"Calibration takes {FEW[0]} simulations and {FEW[1]} draws or more, got "
            f"simulations={simulations} and draws={draws}."
        )

    table: list[Tensor] = []

    with evaluating(model, guide), preserving(model, guide), pyro.validation_enabled(False):
        for i, start in enumerate(range(0, simulations, ROWS)):
            rows = repeated(given, n, start, ROWS, home_of(model, guide))
            torch.manual_seed(mix(seed, i))
            # A stream of its own: ties are broken by it.
            generator = torch.Generator().manual_seed(mix(seed, i, 1))
            made = simulated(model, guide, rows, ROWS, draws, vectorized=vectorized)
            columns, values = _quantities(made, rows, generator)
            # Blocks are whole: the last leaves out what was not asked for.
            table.append(ranks(values, generator)[: simulations - start])
            if progress is not None:
                progress(len(table[-1]))

    return Calibration(torch.cat(table), tuple(columns), draws)


def _quantities(
    made: Simulated, rows: Mapping[str, Any], generator: torch.Generator
) -> tuple[list[Quantity], Tensor]:
    r"""The test quantities, and their values for truth and draws, with shape ``(1 + L, n, Q)``."""
    z = made.coordinates()
    x, near = made.others(rows)
    away = distances(z, near[nearest(made.data(), x)], near)
    columns = [
        *(Quantity(name, "latent", site) for site, name in made.labels()),
        *(Quantity(name, "density", "") for name in ("log p(x | z)", "log p(x, z)")),
        Quantity("distance from a reference", "coverage", ""),
    ]
    predictive, predicted = _predicted(made, generator)
    values = torch.cat([z, made.densities(), away[..., None], predicted], -1)
    columns += predictive

    if values.isnan().any():
        name = columns[int(values.isnan().flatten(0, 1).any(0).nonzero()[0])].name
        raise ValueError(
            f"The quantity {name!r} is NaN for data that the model draws; bound the scales of the "
            "programs' distributions."
        )
    return columns, values


def _predicted(made: Simulated, generator: torch.Generator) -> tuple[list[Quantity], Tensor]:
    columns, chosen = [], {}

    for site in made.observed:
        E = made.batch[site][0].numel()
        columns += [Quantity(name, "predictive", site) for name in names(site, E)]
        chosen[site] = (torch.rand(made.n, generator=generator) * E).long()

    rows = [
        torch.cat([summaries(y[site], chosen[site]) for site in made.observed], -1)
        for y in made.predictions()
    ]
    return columns, torch.stack(rows)
