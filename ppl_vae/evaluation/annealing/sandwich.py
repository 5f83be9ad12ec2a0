r"""Evidence between a lower and an upper bound."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import Tensor

from .settings import Settings

__all__ = ["Sandwich"]

LEVEL = 0.95
r"""The probability with which :attr:`Sandwich.edges` hold the truth, at the least."""

ENOUGH = 0.1
r"""The gap in nats that is small beside what models differ by."""


@dataclass(frozen=True)
class Sandwich:
    r"""Bounds on :math:`\log p(x)` of :math:`n` simulated data, in nats per datum."""

    lower: Tensor
    r"""The estimate of the chains forward, with shape ``(n,)``: a lower bound on average."""
    upper: Tensor
    r"""The estimate of the chains backward, with shape ``(n,)``: an upper bound on average."""
    acceptance: Tensor
    r"""The share of moves that were accepted, with shape ``(n,)``."""
    data: Mapping[str, Tensor] = field(default_factory=dict, repr=False)
    r"""The simulated data by name."""
    importance: Tensor | None = None
    r"""The estimate of importance weighting, with shape ``(n,)``, if it was asked for."""
    cubo: Tensor | None = None
    r"""The :math:`\chi^2` value :math:`\frac{1}{2} \log \frac{1}{K} \sum_k w_k^2` of the same
    weights, with shape ``(n,)``: an upper bound only as :math:`K` grows."""
    particles: int = 0
    r"""The number of its particles."""
    settings: Settings = field(default_factory=Settings)
    r"""How chains were run."""

    def __len__(self) -> int:
        return len(self.lower)

    @property
    def edges(self) -> tuple[float, float]:
        r"""An interval that holds the mean :math:`\log p(x)` of these data with 95 %, at least.

        .. math:: \Big[ \bar{l} - t \, s / \sqrt{n}, \; \bar{u} + t \, s / \sqrt{n} \Big]

        with the standard deviation :math:`s` of :math:`u_i - l_i`, which holds the noise of both
        sides, and a quantile :math:`t` of Student's distribution. For one datum Markov's
        inequality tells as much: each side may err by :math:`\log 40` nats.
        """
        low, high = self.lower.double().mean().item(), self.upper.double().mean().item()
        margin = _margin(self.upper.double() - self.lower.double())
        return low - margin, high + margin

    def summary(self) -> dict[str, Any]:
        r"""Means over the data, in nats per datum, and a verdict."""
        gap = self.upper.double() - self.lower.double()
        low, high = self.edges
        found = {
            "estimator": "bidirectional Monte Carlo, on simulated data",
            "n": len(self),
            "particles": self.settings.chains,
            "chains": self.settings.chains,
            "steps": self.settings.steps,
            "leapfrog": self.settings.leapfrog,
            "start": self.settings.start,
            "spacing": self.settings.spacing,
            "lower": self.lower.double().mean().item(),
            "lower_error": _error(self.lower),
            "upper": self.upper.double().mean().item(),
            "edges": [low, high],
            "gap": gap.mean().item(),
            "gap_edge": gap.mean().item() + _margin(gap),
            "gap_error": _error(gap),
            "acceptance": self.acceptance.mean().item(),
        }

        if self.importance is not None:
            short = self.upper.double() - self.importance.double()
            behind = self.lower.double() - self.importance.double()
            found["importance_particles"] = self.particles
            found["importance"] = self.importance.double().mean().item()
            if self.cubo is not None:
                found["cubo"] = self.cubo.double().mean().item()
            found["importance_gap"] = short.mean().item()
            found["importance_gap_edge"] = short.mean().item() + _margin(short)
            found["importance_short"] = behind.mean().item() - _margin(behind)

        level, verdict = _judged(found)
        return {**found, "level": level, "verdict": verdict}

    def arrays(self) -> dict[str, np.ndarray]:
        r"""The numbers of each datum."""
        return {k: v.cpu().numpy() for k, v in vars(self).items() if isinstance(v, Tensor)}


def _error(values: Tensor) -> float:
    n = len(values)
    return values.double().std().item() / n**0.5 if n > 1 else math.nan


def _margin(differences: Tensor) -> float:
    from scipy.stats import t

    n, tail = len(differences), (1 - LEVEL) / 2
    if n == 1:
        return -math.log(tail)
    return float(t.ppf(1 - tail, n - 1)) * differences.std().item() / n**0.5


def _judged(found: dict[str, Any]) -> tuple[str, str]:
    gap, edge, (low, high) = found["gap"], found["gap_edge"], found["edges"]

    if not all(map(math.isfinite, (low, high))):
        return "poor", (
            "The bounds are not finite: for some data the density is zero or NaN along all chains. "
            "Bound the scales of the likelihood, or take more chains."
        )

    notes = [
        f"On {found['n']} data simulated from the model, log p(x) lies between {low:.2f} and "
        f"{high:.2f} nats with 95 %. Annealing of {found['steps']} steps leaves "
        f"{f'a gap of {gap:.2f} nats' if gap > 0 else 'no gap that shows'} on average over these, "
        f"over others at most {max(edge, 0.0):.2f} nats."
    ]
    level = "good" if edge <= 2 * ENOUGH else "fair" if edge <= 10 * ENOUGH else "poor"

    if level != "good":
        notes.append("Take more steps or data to narrow it: the gap falls as one over the steps.")
    if "importance" in found:
        notes.append(_enough(found))

    return level, " ".join(notes)


def _enough(found: dict[str, Any]) -> str:
    r"""Whether the particles of importance weighting are enough, as far as it is known."""
    edge, particles = found["importance_gap_edge"], found["importance_particles"]

    if edge <= 2 * ENOUGH:
        return f"{particles} particles are enough (gap {found['importance_gap']:.2f})."
    if found["importance_short"] > ENOUGH:
        return (
            f"{particles} particles are not enough: importance weighting is at least "
            f"{found['importance_short']:.2f} nats short, with 97.5 %. Rank models by annealing, "
            "or train a better guide."
        )
    return (
        f"Whether {particles} particles are enough is not decided: their gap is about "
        f"{found['importance_gap']:.2f} nats, and at most {edge:.2f}. More simulations decide it."
    )
