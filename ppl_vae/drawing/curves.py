r"""Learning curves: how training went."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..fit import judged
from .canvas import BOUND, MARK, MODEL, Row, blank, column, frame, styled, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["learning_curves"]

TERMS = {"bound": "bound", "elbo": "ELBO", "reconstruction": "reconstruction", "kl": "KL"}
SPLITS = {"train": ("training", MODEL, "-"), "validation": ("validation", BOUND, "--")}

Curves = Mapping[str, np.ndarray]


@styled
def learning_curves(history: Sequence[Row], *, dpi: float = 100) -> Figure:
    r"""ELBO, reconstruction and KL by epoch, of training and validation.

    Where an objective has no bound to tell, its loss stands in place of one. The frame leaves out
    first epochs that would flatten the rest, and says so.

    Example:
        >>> rows = [{"epoch": i, "train_elbo": -30.0 - 9 / i} for i in range(1, 9)]
        >>> [axes.get_title() for axes in learning_curves(rows).axes]
        ['ELBO']

    Arguments:
        history: The rows of :func:`ppl_vae.fit.fit`, whose keys may be missing and values NaN.
        dpi: The number of pixels per inch.

    Raises:
        ValueError: If no row has a finite loss.
    """
    panels = {term: _curves(history, term) for term in TERMS}
    if not panels["bound"] and not panels["elbo"]:
        panels = {"loss": _curves(history, "loss"), **panels}
    panels = {term: curves for term, curves in panels.items() if curves}
    if not panels:
        raise ValueError("There are no learning curves to draw: no row has a finite loss.")

    epoch, best = column(history, "epoch"), _best(history)
    figure = blank("Learning curves", 3.6, dpi=dpi)

    for i, (term, curves) in enumerate(panels.items()):
        axes = figure.add_subplot(1, len(panels), i + 1)
        axes.set_title(TERMS.get(term, term))
        axes.set_ylabel("nats per datum")
        _shade(axes, epoch, column(history, "kl_weight"))
        _draw(axes, epoch, curves, best)

    # A split may lack a term, so that no single panel shows all there is.
    entries = [axes.get_legend_handles_labels() for axes in figure.axes]
    legend = {
        label: h for handles, labels in entries for h, label in zip(handles, labels, strict=True)
    }
    figure.legend(legend.values(), legend, loc="outside lower center", ncols=len(legend))
    return figure


def _curves(history: Sequence[Row], term: str) -> Curves:
    curves = {split: column(history, f"{split}_{term}") for split in SPLITS}
    return {split: y for split, y in curves.items() if np.isfinite(y).any()}


def _best(history: Sequence[Row]) -> float | None:
    scores: dict[float, float] = {}

    for row in history:
        terms = {k: float(v) for k, v in row.items() if v not in (None, "")}
        if "epoch" in terms and any(k.endswith(("_elbo", "_loss")) for k in terms):
            scores[terms["epoch"]] = judged(terms)

    scores = {epoch: score for epoch, score in scores.items() if math.isfinite(score)}
    return max(scores, key=lambda epoch: scores[epoch]) if scores else None


def _draw(axes: Axes, epoch: np.ndarray, curves: Curves, best: float | None) -> None:
    for split, y in curves.items():
        name, colour, line = SPLITS[split]
        marker = "o" if len(epoch) < 10 else ""
        axes.plot(epoch, y, line, marker=marker, markersize=4, color=colour, label=name)

    if best is not None:
        axes.axvline(best, color=MARK, linestyle=":", label=f"best epoch ({best:.0f})")

    pairs = np.concatenate([np.stack([epoch, y]) for y in curves.values()], axis=1)
    at, value = pairs[:, np.isfinite(pairs).all(0)]
    low, high = frame(value, 0.2, kept=value[at >= (at.max() if best is None else best)])
    outside = at[(value < low) | (value > high)]
    pad = 0.06 * (high - low)

    axes.set_ylim(low - pad, high + pad)
    axes.set_xlabel(
        "epoch" + (f"\n(the first {outside.max():.0f} off scale)" if len(outside) else "")
    )
    whole_numbers(axes)
    axes.grid()


def _shade(axes: Axes, epoch: np.ndarray, weight: np.ndarray) -> None:
    # Where the KL weight is not yet at its end, the loss is not the negative ELBO.
    below = epoch[weight < np.nanmax(weight)] if np.isfinite(weight).any() else epoch[:0]
    if len(below):
        axes.axvspan(epoch[0], below[-1], color="#ececec", zorder=0, label="KL weight rises")
