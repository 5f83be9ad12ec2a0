r"""The misfit of a guide, and what it is called."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["Misfit"]

WIDTH, SHIFT = 1.2, 0.25
r"""A factor of the standard deviation, and a distance in standard deviations, from which on a
guide is off: for normal laws, either costs 0.03 nats per element."""
FAR = 3.0
r"""The distance from which on no draw tells a width."""
GROUPS = 10
r"""The number of groups of data of a jackknife."""


@dataclass(frozen=True)
class Misfit:
    r"""What the posterior is beside the guide, in units in which the guide has a mean of zero and a
    standard deviation of one."""

    precision: Tensor
    r"""Estimates of the precision of each element for each datum, with shape ``(n, d)``. One alone
    is noise: a negative one, too."""
    natural: Tensor
    r"""Estimates of the square of the natural parameter, precision times mean, with shape
    ``(n, d)``."""
    power: Tensor
    r"""The power :math:`\tau` of the weights that this was told from, with shape ``(n,)``."""
    left_out: tuple[str, ...] = ()
    r"""The sites of which this tells nothing: those that are not real-valued."""
    lost: int = 0
    r"""The number of data that were left out, since their weights are not finite."""

    def __len__(self) -> int:
        return len(self.power)

    @property
    def widths(self) -> Tensor:
        r"""The posterior's standard deviation of each element over the guide's, with shape
        ``(d,)``, by the mean precision over data, which count by their power."""
        share = self.power / self.power.sum()
        return (share[:, None] * self.precision).sum(0).clamp(1e-3, 1e3).rsqrt()

    def width(self) -> float:
        r"""The median of :attr:`widths`: over one, the guide is too narrow."""
        return float(self.widths.quantile(0.5))

    def squared_shift(self, at: float = 0.5) -> float:
        r"""The squared distance of both means, a mean over elements and the median over data, or
        another quantile of them. Noise may bring it under zero."""
        # An element by itself is noisy: none is far from the others.
        precision = self.widths.square().reciprocal()
        middle = precision.quantile(0.5)
        precision = precision.clamp(middle / 4, 4 * middle)
        return float((self.natural / precision.square()).mean(-1).quantile(at))

    def summary(self) -> dict[str, Any]:
        r"""What is at fault, if anything.

        Returns:
            ``width`` (of the posterior over the guide) and ``shift`` (the root of the mean square
            over elements, in standard deviations of the guide), ``width_error`` and
            ``shift_error`` (standard errors over the data, by a jackknife), ``power`` (the median),
            ``n``, ``left_out``, ``lost``, a ``verdict``, and ``faults``: any of ``"too narrow"``,
            ``"too wide"`` and ``"shifted"``, where one is off by much and by three standard errors.
        """
        width, width_error = self._jackknife(Misfit.width)
        square, error = self._jackknife(Misfit.squared_shift)
        shift = max(square, 0.0) ** 0.5
        # Far away, what is told is large and rough.
        far = shift > FAR and self.squared_shift(0.25) > SHIFT**2
        shifted = far or (shift > SHIFT and square > 3 * error)
        off = abs(math.log(width)) > math.log(WIDTH) and abs(width - 1) > 3 * width_error
        faults = ["too narrow" if width > 1 else "too wide"] * (off and not far)
        found: dict[str, Any] = {
            "n": len(self),
            "width": width,
            "width_error": width_error,
            "shift": shift,
            "shift_error": error / (2 * max(shift, SHIFT)),
            "power": float(self.power.double().quantile(0.5)),
            "left_out": list(self.left_out),
            "lost": self.lost,
            "faults": faults + ["shifted"] * shifted,
        }
        return {**found, "verdict": self._told(found, square + 3 * error)}

    def arrays(self) -> dict[str, np.ndarray]:
        r"""The numbers of each datum, and of each element."""
        told = {"power": self.power, "widths": self.widths}
        return {name: t.cpu().numpy() for name, t in told.items()}

    def _jackknife(self, told: Callable[[Misfit], float]) -> tuple[float, float]:
        groups = torch.arange(len(self)) % GROUPS
        each = []
        for g in range(GROUPS):
            rest = groups != g
            each.append(told(Misfit(self.precision[rest], self.natural[rest], self.power[rest])))

        error = float(np.std(each)) * (GROUPS - 1) ** 0.5
        return told(self), error

    def _told(self, found: Mapping[str, Any], edge: float) -> str:
        width = f"posterior widths are about {found['width']:.2g} times the guide's"
        least = "or more " if found["shift"] > FAR else ""
        shift = f"posterior means are about {found['shift']:.2g} {least}of its widths away"
        told = [shift if fault == "shifted" else width for fault in found["faults"]]
        if told:
            each = ", element by element"
            return f"The guide is {' and '.join(found['faults'])}: {', and '.join(told)}{each}."

        low, high = self.widths.quantile(torch.tensor([0.05, 0.95], dtype=self.widths.dtype))
        close = abs(math.log(found["width"])) + 3 * found["width_error"] < math.log(WIDTH)
        even = high < WIDTH**2 and low > WIDTH**-2
        if found["left_out"] or not (close and even and edge < SHIFT**2):
            return ""
        return (
            "Neither the place nor the width of the guide's elements is off by much: if it costs "
            "much, it lacks correlation or shape, which a posterior of a richer family has."
        )
