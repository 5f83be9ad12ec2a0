r"""In what a guide differs from the posterior: its place, or its width.

Draws :math:`z_k \sim q(z \mid x)` whose weights are raised to a power :math:`\tau \le 1` stand for
:math:`q_\tau \propto q^{1 - \tau} p^\tau`, between the guide and the posterior. The power is as
large as leaves a quarter of the draws effective. From there, moments are extended to
:math:`\tau = 1`, each element by itself, as if all laws were normal and elements independent: with
precisions :math:`\Lambda`, and in units in which the guide has a mean of zero and a standard
deviation of one,

.. math::
    \Lambda_\tau & = 1 + \tau \, (\Lambda_1 - 1) \\
    \Lambda_\tau \, m_\tau & = \tau \, \Lambda_1 \, m_1

Where the posterior has correlations that the guide has not, what is told lies between the width of
an element given all others, at small powers, and that of an element by itself. Where the posterior
is many deviations away, the distance is told too small, and the width is not told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import pyro
import torch
from torch import Tensor

from ..modules import evaluating, home_of, preserving
from ..weights import Program, draw_guide, log_weights, plate_depth
from ..weights.layout import vectors
from ..weights.supports import limits_of
from .blocks import scored
from .memory import bytes_per_row
from .misfit import Misfit
from .rows import Rows
from .seeds import MISFIT, mix

__all__ = ["guide_misfit", "reweighted"]

DRAWS, ROWS = 50, 10
r"""The number of particles of a block, and of data."""
FEWEST = 200, 10
r"""The number of particles, and of data, under which nothing is told."""
EFFECTIVE = 0.25
r"""The share of the draws that stays effective."""


def guide_misfit(
    model: Program,
    guide: Program,
    batch: Mapping[str, Tensor] | Tensor,
    particles: int = 1000,
    *,
    limit: int = 100,
    seed: int = 0,
    memory: int = 2**29,
    vectorized: bool = True,
) -> Misfit | None:
    r"""Tells whether the guide is too narrow, too wide or shifted, by reweighting its draws.

    Sites that are not real-valued are left out.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> x = model(n=10).detach()
        >>> found = guide_misfit(model, Amortized(model.posterior), x)
        >>> found.summary()["faults"]
        []

    References:
        | Inference for Lévy-Driven Stochastic Volatility Models via Adaptive Sequential Monte Carlo
        | (Jasra et al., 2011), for powers that keep a share of the draws effective
        | https://doi.org/10.1111/j.1467-9469.2010.00723.x

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`.
        batch: The data: the observed sites by name, or the one tensor of data.
        particles: The number of draws for each datum, rounded down to a multiple of 50.
        limit: The number of data, evenly spaced among all, that are looked at.
        seed: The seed of all draws.
        memory: The number of bytes that intermediate results of the model may take. The guide
            draws 50 particles for 10 data at once whatever it is.
        vectorized: Whether draws are made at once.

    Returns:
        None where it cannot be told: no site is real-valued, there are fewer than 200 particles,
        or fewer than 10 data whose weights are finite.

    Raises:
        ValueError: As :func:`~ppl_vae.weights.log_weights`, if a site lies outside of the plate of
            the data, or the limit is not positive.
    """
    if limit < 1:
        raise ValueError(f"The number of data must be positive, got limit={limit}.")

    every = Rows(batch, home_of(model, guide))
    if len(every) < FEWEST[1] or particles < FEWEST[0]:
        return None

    step = max(len(every) // limit, 1)
    rows = Rows(every[: step * min(len(every), limit) : step], every.home)
    with evaluating(model, guide), preserving(model, guide):
        depth = plate_depth(model, guide, rows[:2])
        sites = log_weights(model, guide, rows[:2], 2, vectorized=vectorized, depth=depth).sites
        real = {k: s.data_axis for k, s in sites.items() if _real(s.parts or (s,))}
        if not real:
            return None

        at_once = max(memory // bytes_per_row(model, guide, rows[:1]) // ROWS, 1)
        draw = partial(_vectorized, step=at_once) if vectorized else _looped
        with pyro.validation_enabled(False):
            drawn = partial(draw, model, guide, depth=depth)
            blocks = _blocks(drawn, rows, particles // DRAWS, real, seed)

    precision, natural, power = (torch.cat(parts) for parts in zip(*blocks, strict=True))
    known = power > 0
    if int(known.sum()) < FEWEST[1]:
        return None

    others = tuple(name for name in sites if name not in real)
    return Misfit(precision[known], natural[known], power[known], others, int((~known).sum()))


def reweighted(z: Tensor, log_w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    r"""What draws of each datum, and their weights, tell of the posterior.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> p = torch.distributions.Normal(0.5, 0.5)
        >>> q = torch.distributions.Normal(0.0, 1.0)
        >>> z = q.sample((1000, 30, 1))
        >>> precision, natural, power = reweighted(z, (p.log_prob(z) - q.log_prob(z)).sum(-1))
        >>> round(float(precision.mean())), round(float(natural.mean()))
        (4, 4)

    Arguments:
        z: The draws, with shape ``(K, n, d)``.
        log_w: Their log weights, with shape ``(K, n)``.

    Returns:
        The precision :math:`\Lambda_1` of each element in units of the guide's and the square of
        :math:`\Lambda_1 m_1`, both with shape ``(n, d)``, and the power, zero where weights are not
        finite, with shape ``(n,)``. Neither is clipped: means over data have little bias.
    """
    top = log_w.amax(0)
    lost = ~top.isfinite() | log_w.isnan().any(0)
    log_w = (log_w - top).clamp(min=-1e6).masked_fill(lost, 0.0)
    tau = _power(log_w, EFFECTIVE * len(z))
    deviation = z.std(0)
    u = torch.where(deviation > 0, (z - z.mean(0)) / deviation, 0.0)

    w = (tau * log_w).softmax(0)
    share = w.square().sum(0)[:, None]
    mean = (w[..., None] * u).sum(0)
    variance = (w[..., None] * (u - mean).square()).sum(0) / (1 - share)
    # The inverse of a noisy variance is 1 + 2 / ess times too large on average; where all weights
    # are equal it is one, for these draws told the unit.
    ratio = (1 - 2 * share + 2 / len(z)) / variance.clamp(min=1e-30)
    precision = torch.where(deviation > 0, 1 + (ratio - 1) / tau[:, None], 1.0)

    # The halves are independent, each beside its own mean without weights.
    first, second = (
        (part.softmax(0)[..., None] * v).sum(0) - v.mean(0)
        for part, v in ((tau * log_w[i::2], u[i::2]) for i in (0, 1))
    )
    natural = first * second / (variance * tau[:, None]).square().clamp(min=1e-30)
    return precision, natural, tau.masked_fill(lost, 0.0)


Drawn = tuple[dict[str, Tensor], Tensor]
r"""The values of all latent sites, and their log weights."""


def _blocks(
    draw: Callable[[Any], Drawn], rows: Rows, count: int, axes: Mapping[str, int], seed: int
) -> list[tuple[Tensor, Tensor, Tensor]]:
    found = []

    for i, start in enumerate(range(0, len(rows), ROWS)):
        torch.manual_seed(mix(seed, i, MISFIT))
        part = rows[start : start + ROWS]
        found.append(reweighted(*_joined([draw(part) for _ in range(count)], axes)))

    return found


def _vectorized(model: Program, guide: Program, rows: Any, *, depth: int, step: int) -> Drawn:
    values, log_q = draw_guide(guide, rows, DRAWS, depth=depth)
    likelihood, prior = scored(model, rows, values, depth=depth, step=step)
    return values, likelihood + prior - log_q


def _looped(model: Program, guide: Program, rows: Any, *, depth: int) -> Drawn:
    weights = log_weights(model, guide, rows, DRAWS, vectorized=False, depth=depth)
    return {name: site.value for name, site in weights.sites.items()}, weights.log_weight


def _joined(each: list[Drawn], axes: Mapping[str, int]) -> tuple[Tensor, Tensor]:
    # Small, and in double precision, which not every device has.
    codes = [
        torch.cat([vectors(values[name], axis).cpu() for name, axis in axes.items()], -1)
        for values, _ in each
    ]
    return torch.cat(codes).double(), torch.cat([log_w.cpu() for _, log_w in each]).double()


def _power(log_w: Tensor, least: float) -> Tensor:
    # The effective size falls with the power: by bisection.
    low, high = torch.zeros_like(log_w[0]), torch.ones_like(log_w[0])

    for _ in range(40):
        middle = (low + high) / 2
        enough = 1 / (middle * log_w).softmax(0).square().sum(0) >= least
        low, high = torch.where(enough, middle, low), torch.where(enough, high, middle)

    return low.clamp(min=1e-6)


def _real(parts: Any) -> bool:
    return all(limits_of(part.q) == (-math.inf, math.inf) for part in parts)
