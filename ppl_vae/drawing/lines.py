r"""The numbers of learning curves: what a group of runs is drawn by, and in which frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import product

import numpy as np

from .canvas import Row, column

__all__ = ["BOUNDS", "TERMS", "Line", "limits", "lines_of"]

BOUNDS = "bound", "elbo"
TERMS = {"bound": "bound", "elbo": "ELBO", "reconstruction": "reconstruction"}

Run = dict[str, np.ndarray]
r"""Of one run, ``epoch``, ``seconds`` and ``value``, each of all epochs with a finite value."""


@dataclass(frozen=True)
class Line:
    r"""What a group of runs is drawn by."""

    group: Row
    split: str
    term: str
    runs: list[Run]

    @property
    def name(self) -> str:
        return str(self.group["name"])

    @property
    def ranked(self) -> bool | None:
        r"""Whether the group is ranked; None where nobody says."""
        return self.group.get("ranked")

    @property
    def seeds(self) -> str:
        r"""The number of its runs in words; of how many, where others lack the term."""
        count, total = len(self.runs), len(self.group["histories"])
        return f"{count} of {total}" if count < total else str(total)

    @property
    def end(self) -> float:
        r"""The last value of the mean over runs."""
        return float(self.mean("epoch")[1][-1])

    def mean(self, abscissa: str) -> tuple[np.ndarray, np.ndarray]:
        r"""The means over runs, of what lies below and of the value, at the epochs of all runs."""
        shared = reduce(np.intersect1d, (run["epoch"] for run in self.runs))
        rows = [np.searchsorted(run["epoch"], shared) for run in self.runs]
        x, y = (
            np.mean([run[key][i] for run, i in zip(self.runs, rows, strict=True)], 0)
            for key in (abscissa, "value")
        )
        known = np.isfinite(x)
        return x[known], y[known]


def lines_of(groups: Sequence[Row], terms: Sequence[str]) -> list[Line]:
    r"""The lines of groups, by the first of some terms that each has; validation before training.

    Example:
        >>> rows = [{"epoch": 1, "train_elbo": -3.0}, {"epoch": 2, "train_elbo": -2.0}]
        >>> (line,) = lines_of([{"name": "a", "histories": [rows]}], BOUNDS)
        >>> line.split, line.term, line.end
        ('train', 'elbo', -2.0)
    """
    found = []

    for group in groups:
        for split, term in product(("validation", "train"), terms):
            runs = [_run(history, f"{split}_{term}") for history in group["histories"]]
            line = Line(group, split, term, [run for run in runs if len(run["value"])])
            if line.runs and len(line.mean("epoch")[1]):
                found.append(line)
                break

    return found


def _run(history: Sequence[Row], name: str) -> Run:
    run = {
        "epoch": column(history, "epoch"),
        "seconds": column(history, "seconds").cumsum(),
        "value": column(history, name),
    }
    known = np.isfinite(run["value"]) & np.isfinite(run["epoch"])
    return {key: values[known] for key, values in run.items()}


def limits(lines: Sequence[Line]) -> tuple[float, float]:
    r"""The frame of the values in which the ends of lines are told apart.

    It begins at the lowest value after a third of the longest training, or higher where the ends
    lie close to each other. Lines that end much further below the best than most do not count.
    """
    best = max(line.end for line in lines)
    gaps = np.sort([best - line.end for line in lines])
    usual = float(np.median(gaps[1:]) if len(gaps) > 1 else 0) or float(gaps[-1])
    kept = [line for line in lines if best - line.end <= 10 * usual]
    runs = [run["value"] for line in kept for run in line.runs]

    third = max(run["epoch"].max() for line in kept for run in line.runs) / 3
    means = [line.mean("epoch") for line in kept]
    deep = best - min(y[x >= third].min(initial=y[-1]) for x, y in means)
    low = best - (min(deep, max(8 * usual, deep / 4)) if usual > 0 else deep)
    low, high = min(low, *(y[-1] for y in runs)), max(y.max() for y in runs)
    pad = 0.05 * (high - low) or 0.5
    return float(low - pad), float(high + pad)
