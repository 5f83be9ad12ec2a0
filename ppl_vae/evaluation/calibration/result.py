r"""What calibration found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .bands import below, uniform_band, uniform_p_values
from .faults import Fault, fault
from .holm import holm
from .ranks import Quantity
from .verdict import judge

__all__ = ["Calibration"]

BARS = 20
r"""The largest number of bars of a histogram."""
NOMINAL = 0.9
r"""The share of true values that an interval of the guide is asked to hold, about."""


@dataclass(frozen=True)
class Calibration:
    r"""The ranks of true values among draws of a guide, and what they say."""

    ranks: Tensor
    r"""For each simulation and test quantity the number of draws below the true value, between 0
    and :math:`L`, with shape ``(S, Q)``; uniform if the guide is exact."""
    quantities: tuple[Quantity, ...]
    r"""What the columns are of: the elements of the latent sites, the densities, the distance from
    a reference, and predictions."""
    draws: int
    r"""The number :math:`L` of draws of the guide for each simulation."""
    rate: float = 0.05
    r"""The probability that at least one quantity of an exact guide is rejected, at the most."""

    def __len__(self) -> int:
        return len(self.ranks)

    @cached_property
    def p_values(self) -> Tensor:
        r"""Of the test of uniform ranks, for each quantity by itself, with shape ``(Q,)``."""
        return uniform_p_values(self.ranks, self.draws)

    @cached_property
    def adjusted(self) -> Tensor:
        r"""The same, adjusted for their number by the method of Holm, with shape ``(Q,)``."""
        return holm(self.p_values)

    @property
    def rejected(self) -> Tensor:
        r"""Which quantities are not uniform at the stated rate, with shape ``(Q,)``."""
        return self.adjusted <= self.rate

    @property
    def faults(self) -> dict[str, Fault]:
        r"""What is wrong, by the name of each quantity that is rejected."""
        return {
            q.name: fault(self.ranks[:, i], self.draws, q.kind)
            for i, q in enumerate(self.quantities)
            if self.rejected[i]
        }

    @property
    def distances(self) -> Tensor:
        r"""The largest difference between the distribution function of the ranks and the uniform
        one, with shape ``(Q,)``."""
        return self._differences().abs().amax(1)

    @property
    def detectable(self) -> float:
        r"""The difference of distribution functions beyond which any is rejected."""
        return max(float(np.abs(edge).max()) for edge in self._band())

    @property
    def nominal(self) -> float:
        r"""The share of true values that the intervals of :attr:`held` should hold."""
        return 1 - 2 * self._cut() / (self.draws + 1)

    @property
    def held(self) -> Tensor:
        r"""The share of true values in a central interval of the draws, with shape ``(Q,)``."""
        k = self._cut()
        inside = (self.ranks >= k) & (self.ranks <= self.draws - k)
        return inside.double().mean(0)

    def summary(self) -> dict[str, Any]:
        r"""The tests, and what they mean.

        Returns:
            ``simulations``, ``draws``, ``rate``; the numbers ``tests`` and ``rejected``; the
            least adjusted ``p_value``; ``distance``, the largest difference of distribution
            functions among the rejected, and ``detectable``; ``nominal``, the share that the
            guide's central intervals should hold; ``quantities``, each with ``name``, ``kind``,
            ``site``, ``p_value``, ``adjusted``, ``distance``, ``held`` and ``fault``; ``level``
            and ``verdict``.
        """
        level, verdict = judge(self)
        faults, worst = self.faults, self.distances[self.rejected]
        rows = [
            {
                **q._asdict(),
                "p_value": self.p_values[i].item(),
                "adjusted": self.adjusted[i].item(),
                "distance": self.distances[i].item(),
                "held": self.held[i].item(),
                "fault": faults[q.name].name if q.name in faults else None,
            }
            for i, q in enumerate(self.quantities)
        ]
        return {
            "simulations": len(self),
            "draws": self.draws,
            "rate": self.rate,
            "tests": len(rows),
            "rejected": len(faults),
            "p_value": self.adjusted.min().item(),
            "distance": worst.max().item() if len(worst) else 0.0,
            "detectable": self.detectable,
            "nominal": self.nominal,
            "quantities": rows,
            "level": level,
            "verdict": verdict,
        }

    def arrays(self) -> dict[str, np.ndarray]:
        r"""What figures need.

        Returns:
            ``ranks`` (S, Q); ``names``, ``kinds``, ``p_values``, ``adjusted`` (Q,); the ``levels``
            :math:`j / (L + 1)` (L,), the ``differences`` of the distribution functions of the
            ranks from them (Q, L) and their band ``low``, ``high`` (L,), which with a probability
            of ``rate`` at the most any curve of an exact guide leaves; the ``bars`` of histograms
            (Q, B), and the counts ``bar_low``, ``bar_high`` that likewise hold all of them.
        """
        low, high = self._band()
        bars, bar_low, bar_high = self._bars()
        return {
            "ranks": self.ranks.numpy(),
            "names": np.array([q.name for q in self.quantities]),
            "kinds": np.array([q.kind for q in self.quantities]),
            "p_values": self.p_values.numpy(),
            "adjusted": self.adjusted.numpy(),
            "levels": self._levels(),
            "differences": self._differences().numpy(),
            "low": low,
            "high": high,
            "bars": bars,
            "bar_low": np.array(bar_low),
            "bar_high": np.array(bar_high),
        }

    def _cut(self) -> int:
        return max(round((1 - NOMINAL) / 2 * (self.draws + 1)), 1)

    def _differences(self) -> Tensor:
        shares = torch.from_numpy(below(self.ranks.numpy(), self.draws)).double() / len(self)
        return shares - torch.from_numpy(self._levels())

    def _levels(self) -> np.ndarray:
        return np.arange(1, self.draws + 1) / (self.draws + 1)

    def _band(self) -> tuple[np.ndarray, np.ndarray]:
        # Of all quantities together, by Bonferroni's bound.
        low, high = uniform_band(len(self), self.draws, self.rate / len(self.quantities))
        return low / len(self) - self._levels(), high / len(self) - self._levels()

    def _bars(self) -> tuple[np.ndarray, int, int]:
        from scipy.stats import binom

        L, S = self.draws + 1, len(self)
        # Bars of equal width; draws for which there are none have one for each rank.
        B = max((b for b in range(5, BARS + 1) if L % b == 0), default=L)
        bars = np.stack([np.bincount(r // (L // B), minlength=B) for r in self.ranks.numpy().T])
        tail = self.rate / (2 * bars.size)
        return bars, int(binom.ppf(tail, S, 1 / B)), int(binom.isf(tail, S, 1 / B))
