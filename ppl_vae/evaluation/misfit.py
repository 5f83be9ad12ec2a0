r"""In what a guide differs from the posterior: its place, or its width.

Draws :math:`z_k \sim q(z \mid x)` whose weights are raised to a power :math:`\tau \le 1` stand for
:math:`q_\tau \propto q^{1 - \tau} p^\tau`, between the guide and the posterior. The power is as
large as leaves a quarter of the draws effective, so that moments are to be trusted however heavy
the tail of the weights is. From there they are extended to :math:`\tau = 1`, element by element,
as if all laws were normal: with precisions :math:`\Lambda`, and in units in which the guide has a
mean of zero and a standard deviation of one,

.. math::
    \Lambda_\tau & = 1 + \tau \, (\Lambda_1 - 1) \\
    \Lambda_\tau \, m_\tau & = \tau \, \Lambda_1 \, m_1
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyro
import torch
from torch import Tensor

from ..modules import evaluating, home_of, preserving
from ..weights import Program, log_weights
from ..weights.supports import limits_of
from .rows import Rows
from .seeds import mix

__all__ = ["Misfit", "guide_misfit", "refit"]

DRAWS, ROWS = 20, 50
r"""The number of particles of a block, and of data."""
EFFECTIVE = 0.25
r"""The share of the draws that stays effective."""
WIDTH, SHIFT = 1.2, 0.25
r"""A factor of the standard deviation, and a distance in standard deviations, from which on a
guide is off: for normal laws, either costs 0.03 nats per element."""


@dataclass(frozen=True)
class Misfit:
    r"""What the posterior of :math:`n` data is beside the guide, each field with shape ``(n,)``."""

    width: Tensor
    r"""The posterior's standard deviation over the guide's: over one, the guide is too narrow."""
    shift: Tensor
    r"""The mean square over elements of the distance between both means, in standard deviations
    of the guide; without bias, so that noise may bring it under zero."""
    power: Tensor
    r"""The power :math:`\tau` of the weights that this was told from."""
    left_out: tuple[str, ...] = ()
    r"""The sites of which this tells nothing: those that are not real-valued."""

    def __len__(self) -> int:
        return len(self.width)

    def summary(self) -> dict[str, Any]:
        r"""Medians over the data with their standard errors, and what is at fault.

        Returns:
            ``width`` and ``shift`` (a root mean square) with ``width_error`` and ``shift_error``,
            ``power``, ``n``, ``left_out``, a ``verdict``, and ``faults``: any of ``"too narrow"``,
            ``"too wide"`` and ``"shifted"``, where the median is off by much and by three standard
            errors.
        """
        width, width_error = _median(self.width)
        square, error = _median(self.shift)
        shift = max(square, 0.0) ** 0.5
        faults = []

        if abs(math.log(width)) > math.log(WIDTH) and abs(width - 1) > 3 * width_error:
            faults.append("too narrow" if width > 1 else "too wide")
        if shift > SHIFT and square > 3 * error:
            faults.append("shifted")

        found: dict[str, Any] = {
            "n": len(self),
            "width": width,
            "width_error": width_error,
            "shift": shift,
            "shift_error": error / (2 * max(shift, SHIFT)),
            "power": float(self.power.double().quantile(0.5)),
            "left_out": list(self.left_out),
            "faults": faults,
        }
        return {**found, "verdict": _told(found)}

    def arrays(self) -> dict[str, np.ndarray]:
        r"""The numbers of each datum."""
        return {k: v.cpu().numpy() for k, v in vars(self).items() if isinstance(v, Tensor)}


def guide_misfit(
    model: Program,
    guide: Program,
    batch: Mapping[str, Tensor] | Tensor,
    particles: int = 1000,
    *,
    limit: int = 100,
    seed: int = 0,
    **how: Any,
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
        particles: The number of draws for each datum.
        limit: The number of data that it is told of, the first ones.
        seed: The seed of all draws.
        how: What else :func:`~ppl_vae.weights.log_weights` takes.

    Returns:
        None where it cannot be told: no site is real-valued, or there are fewer than two data or
        100 particles.

    Raises:
        ValueError: As :func:`~ppl_vae.weights.log_weights`, or if a site lies outside of the plate
            of the data.
    """
    rows = Rows(batch, home_of(model, guide))
    n = min(len(rows), limit)
    if n < 2 or particles < 100:
        return None

    with evaluating(model, guide), preserving(model, guide), torch.no_grad():
        sites = log_weights(model, guide, rows[:2], **how).sites
        real = [name for name, site in sites.items() if _real(site.parts or (site,))]
        if not real:
            return None

        with pyro.validation_enabled(False):
            blocks = []
            for i, start in enumerate(range(0, n, ROWS)):
                part = rows[start : min(start + ROWS, n)]
                blocks.append(_drawn(model, guide, part, real, particles, (seed, i), **how))

    found = refit(*(torch.cat(parts, 1) for parts in zip(*blocks, strict=True)))
    return replace(found, left_out=tuple(name for name in sites if name not in real))


def _drawn(
    model: Program,
    guide: Program,
    rows: Any,
    sites: list[str],
    particles: int,
    seed: tuple[int, int],
    **how: Any,
) -> tuple[Tensor, Tensor]:
    codes, log_w = [], []

    for i in range(particles // DRAWS):
        torch.manual_seed(mix(*seed, i))
        weights = log_weights(model, guide, rows, DRAWS, **how)
        codes.append(torch.cat([weights.sites[name].vectors() for name in sites], -1))
        log_w.append(weights.log_weight)

    return torch.cat(codes).cpu().double(), torch.cat(log_w).cpu().double()


def refit(z: Tensor, log_w: Tensor) -> Misfit:
    r"""What draws and their weights tell.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> p = torch.distributions.Normal(0.5, 0.5)
        >>> q = torch.distributions.Normal(0.0, 1.0)
        >>> z = q.sample((1000, 30, 1))
        >>> found = refit(z, (p.log_prob(z) - q.log_prob(z)).sum(-1)).summary()
        >>> found["faults"], round(found["width"], 1), round(found["shift"], 1)
        (['too wide', 'shifted'], 0.5, 0.5)

    Arguments:
        z: The draws, with shape ``(K, n, d)``.
        log_w: Their log weights, with shape ``(K, n)``.
    """
    log_w = (log_w - log_w.amax(0)).clamp(min=-1e6)
    tau = _power(log_w, EFFECTIVE * len(z))
    u = (z - z.mean(0)) / z.std(0).clamp(min=1e-30)
    _, variance, ess = _moments(u, (tau * log_w).softmax(0))
    # Of the inverse of a noisy variance, 1 + 2 / ess times the inverse is the mean.
    precision = (1 + ((1 - 2 / ess) / variance - 1).mean(-1) / tau).clamp(1e-4, 1e8)
    halves = [_moments(part, w.softmax(0))[0] for part, w in _halves(u, tau * log_w)]
    first, second = ((1 + tau * (precision - 1)) * m.mT / (tau * precision) for m in halves)
    return Misfit(precision.rsqrt(), (first * second).mean(0), tau)


def _told(found: Mapping[str, Any]) -> str:
    width = f"posterior standard deviations are {found['width']:.2g} times the guide's"
    shift = f"posterior means are {found['shift']:.2g} of its standard deviations away, per element"
    told = [shift if fault == "shifted" else width for fault in found["faults"]]

    if told:
        return f"The guide is {' and '.join(found['faults'])}: {', and '.join(told)}."
    if found["left_out"]:
        return ""
    return (
        "Neither the place nor the width of the guide is off by much: if it costs much, it lacks "
        "correlation or shape, which a posterior of a richer family has."
    )


def _moments(u: Tensor, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    share = w.square().sum(0)[:, None]
    mean = (w[..., None] * u).sum(0)
    variance = (w[..., None] * (u - mean).square()).sum(0) / (1 - share)
    return mean, variance.clamp(min=1e-30), 1 / share


def _halves(u: Tensor, log_w: Tensor) -> list[tuple[Tensor, Tensor]]:
    return [(u[i::2], log_w[i::2]) for i in (0, 1)]


def _power(log_w: Tensor, least: float) -> Tensor:
    # The effective size falls with the power: by bisection.
    low, high = torch.zeros_like(log_w[0]), torch.ones_like(log_w[0])

    for _ in range(40):
        middle = (low + high) / 2
        enough = 1 / (middle * log_w).softmax(0).square().sum(0) >= least
        low, high = torch.where(enough, middle, low), torch.where(enough, high, middle)

    return low.clamp(min=1e-6)


def _median(values: Tensor) -> tuple[float, float]:
    # Its standard error is that of a normal sample with the same deviations.
    median = values.double().quantile(0.5)
    deviation = 1.4826 * (values.double() - median).abs().quantile(0.5)
    return float(median), float(1.2533 * deviation / len(values) ** 0.5)


def _real(parts: Any) -> bool:
    return all(limits_of(part.q) == (-math.inf, math.inf) for part in parts)
