r"""What the shape of a histogram of ranks says of a guide.

Ranks high at both ends (a U) mean that true values lie outside of the draws too often: the guide
is too narrow. Ranks high in the middle (a hump) mean that it is too wide; ranks high at one end,
that it is shifted to the other side.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Fault", "fault", "moments"]


class Fault(NamedTuple):
    r"""What is wrong with a guide, and what that means."""

    name: str
    r"""Two or three words, such as ``"too narrow"``."""
    meaning: str
    r"""Half a sentence, which follows "the guide"."""


NARROW = Fault("too narrow", "is too narrow (over-confident), or off by more than it admits")
WIDE = Fault("too wide", "is too wide (under-confident)")
LOW = Fault("too low", "is shifted: its draws lie too low")
HIGH = Fault("too high", "is shifted: its draws lie too high")
SHAPE = Fault("wrong shape", "has the wrong shape, though its place and width are about right")

MISFIT = Fault(
    "fits too badly",
    "draws values that fit the data worse than those that made them: it is off, too wide, or uses "
    "too little of the data",
)
OVERFIT = Fault(
    "fits too well",
    "draws values that fit the data better than those that made them: it is too narrow",
)
BEYOND = Fault(
    "too narrow or shifted", "leaves the true values farther from what similar data have than draws"
)
WITHIN = Fault(
    "ignores data or too wide",
    "draws values farther from what similar data have than the true ones: it is off, too wide, or "
    "uses too little of the data",
)
UNEVEN = Fault("uneven", "has the wrong spread of them, though their mean is about right")

# Ranks: a U, a hump, high, low, or of another shape.
FAULTS: dict[str, dict[str, Fault]] = {
    "latent": {"U": NARROW, "hump": WIDE, "high": LOW, "low": HIGH, "other": SHAPE},
    "density": {"U": UNEVEN, "hump": UNEVEN, "high": MISFIT, "low": OVERFIT, "other": UNEVEN},
    "coverage": {"U": UNEVEN, "hump": UNEVEN, "high": BEYOND, "low": WITHIN, "other": UNEVEN},
    "predictive": {"U": NARROW, "hump": WIDE, "high": LOW, "low": HIGH, "other": SHAPE},
}


def moments(ranks: Tensor, draws: int) -> tuple[float, float]:
    r"""The z-scores of the mean of ranks, and of their variance around that mean.

    Example:
        >>> shifted, widened = moments(torch.tensor([0, 7, 0, 7]), draws=7)
        >>> round(shifted, 2), round(widened, 2)
        (0.0, 3.06)

    Arguments:
        ranks: The ranks of true values, with shape ``(S,)``.
        draws: The number :math:`L` of draws.
    """
    levels = (torch.arange(draws + 1, dtype=torch.float64) + 0.5) / (draws + 1) - 0.5
    u, S = levels[ranks.cpu()], len(ranks)
    variance, noise = levels.square().mean(), levels.square().std(correction=0)
    # Around their own mean: all ranks at one end are a shift, however far it is from the middle.
    shifted = u.mean() / (variance / S).sqrt()
    widened = (u.var(correction=0) - variance) / (noise / S**0.5)
    return float(shifted), float(widened)


def fault(ranks: Tensor, draws: int, kind: str = "latent") -> Fault:
    r"""Names what ranks that are not uniform tell of a guide.

    Example:
        >>> fault(torch.tensor([0, 0, 0, 7, 7, 7]), draws=7).name
        'too narrow'
        >>> fault(torch.tensor([7, 7, 7, 7, 6, 6]), draws=7).name
        'too low'

    Arguments:
        ranks: The ranks of true values, with shape ``(S,)``.
        draws: The number :math:`L` of draws.
        kind: What is ranked, as in :class:`~ppl_vae.evaluation.calibration.Quantity`.
    """
    shifted, widened = moments(ranks, draws)

    if max(abs(shifted), abs(widened)) < 2:
        shape = "other"
    elif abs(shifted) >= abs(widened):
        shape = "high" if shifted > 0 else "low"
    else:
        shape = "U" if widened > 0 else "hump"

    return FAULTS[kind][shape]
