r"""Calibration: ranks of true values among draws of a guide, beside what chance allows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .canvas import BOUND, MARK, MODEL, blank, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["coverage_curve", "pit_histograms", "rank_differences", "rank_histograms"]

MOST = 12
r"""The largest number of histograms, or of curves with a name."""
COLUMNS = 4


@styled
def rank_histograms(
    bars: np.ndarray,
    names: Sequence[str],
    adjusted: np.ndarray,
    bar_low: float,
    bar_high: float,
    *,
    rate: float = 0.05,
    title: str = "Ranks of true values among draws of the guide",
    label: str = "share of draws below",
    dpi: float = 100,
) -> Figure:
    r"""Histograms of ranks, those that are the farthest from uniform if there are many.

    Example:
        >>> figure = rank_histograms(np.full((1, 8), 50), ["z"], np.ones(1), 30, 70)
        >>> figure.axes[0].get_title(loc="left")
        'z'

    Arguments:
        bars: The number of simulations in each bar, with shape ``(Q, B)``.
        names: The names of the quantities.
        adjusted: Their adjusted p-values, with shape ``(Q,)``.
        bar_low: The least number that chance allows.
        bar_high: The largest.
        rate: The rate at which quantities are rejected.
        title: The title of the figure.
        label: What the ranks are shares of.
        dpi: The number of pixels per inch.

    Raises:
        ValueError: If there is nothing to draw.
    """
    if len(bars) == 0:
        raise ValueError("There are no ranks to draw.")

    chosen = _chosen(adjusted)
    more = f" ({len(chosen)} of {len(bars)}, the least uniform)" if len(chosen) < len(bars) else ""
    columns = min(len(chosen), COLUMNS)
    rows = math.ceil(len(chosen) / columns)
    figure = blank(title + more, 1.4 + 1.7 * rows, dpi=dpi)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).flatten()
    top = 1.08 * max(bars[chosen].max(), bar_high)

    for axes, i in zip(grid, chosen, strict=False):
        _bars(axes, bars[i], (bar_low, bar_high), BOUND if adjusted[i] <= rate else MODEL)
        axes.set_title(str(names[i]), loc="left", fontsize=10)
        axes.set_ylim(0, top)
    for axes in grid[len(chosen) :]:
        axes.remove()
    for axes in grid[max(len(chosen) - columns, 0) : len(chosen)]:
        axes.set_xlabel(label, fontsize=9)
    for axes in grid[: len(chosen) : columns]:
        axes.set_ylabel("simulations")

    _legend(figure, rate, bars=True)
    return figure


@styled
def pit_histograms(
    bars: np.ndarray,
    names: Sequence[str],
    adjusted: np.ndarray,
    bar_low: float,
    bar_high: float,
    *,
    rate: float = 0.05,
    dpi: float = 100,
) -> Figure:
    r"""Histograms of where new data lie among predictions: probability integral transforms.

    Example:
        >>> figure = pit_histograms(np.full((1, 8), 50), ["new x"], np.ones(1), 30, 70)
        >>> figure.axes[0].get_xlabel()
        'share of predictions below'

    Arguments:
        bars: As for :func:`rank_histograms`, of the predictive quantities.
        names: As there.
        adjusted: As there.
        bar_low: As there.
        bar_high: As there.
        rate: As there.
        dpi: The number of pixels per inch.

    Raises:
        ValueError: As there.
    """
    title = "New data of the model among the guide's predictions"
    text = {"title": title, "label": "share of predictions below"}
    return rank_histograms(bars, names, adjusted, bar_low, bar_high, rate=rate, dpi=dpi, **text)


@styled
def rank_differences(
    levels: np.ndarray,
    differences: np.ndarray,
    names: Sequence[str],
    adjusted: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    *,
    rate: float = 0.05,
    dpi: float = 100,
) -> Figure:
    r"""Distribution functions of ranks, less that of uniform ones, with a simultaneous band.

    Example:
        >>> levels = np.arange(1, 8) / 8
        >>> figure = rank_differences(
        ...     levels, np.zeros((1, 7)), ["z"], np.ones(1), levels * 0 - 0.1, levels * 0 + 0.1
        ... )
        >>> len(figure.axes[0].lines)
        2

    Arguments:
        levels: The shares :math:`u` at which the functions are compared, with shape ``(L,)``.
        differences: The differences, with shape ``(Q, L)``.
        names: The names of the quantities.
        adjusted: Their adjusted p-values, with shape ``(Q,)``.
        low: The lower edge of the band, with shape ``(L,)``.
        high: The upper one.
        rate: The rate at which quantities are rejected.
        dpi: The number of pixels per inch.

    Raises:
        ValueError: If there is nothing to draw.
    """
    if len(differences) == 0:
        raise ValueError("There are no ranks to draw.")

    figure = blank("Distribution of ranks less the uniform one", 4.6, dpi=dpi)
    axes = figure.add_subplot()
    u = np.concatenate([[0.0], levels, [1.0]])
    axes.fill_between(u, _ends(low), _ends(high), color=MARK, alpha=0.18, linewidth=0)
    axes.axhline(0.0, color=MARK, linestyle="--", linewidth=1)

    named = np.flatnonzero(adjusted <= rate)[np.argsort(adjusted[adjusted <= rate])][:MOST]
    colours = _colours(len(named))
    for i in np.setdiff1d(np.arange(len(differences)), named):
        colour = BOUND if adjusted[i] <= rate else MODEL
        axes.plot(u, _ends(differences[i]), color=colour, alpha=0.45, linewidth=1)
    for i, colour in zip(np.sort(named), colours, strict=True):
        axes.plot(u, _ends(differences[i]), color=colour, linewidth=1.8, label=str(names[i]))

    axes.set_xlim(0, 1)
    axes.set_xlabel("share of the draws below the true value, u")
    axes.set_ylabel("P(share < u) − u")
    if len(named):
        axes.legend(title="rejected", loc="center left", bbox_to_anchor=(1.0, 0.5))
    _legend(figure, rate, passed=len(named) < len(differences))
    return figure


@styled
def coverage_curve(
    levels: np.ndarray,
    differences: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
    *,
    rejected: np.ndarray | None = None,
    rate: float = 0.05,
    dpi: float = 100,
) -> Figure:
    r"""The share of true values within balls around reference points, against their credibility.

    Example:
        >>> levels = np.arange(1, 8) / 8
        >>> figure = coverage_curve(levels, levels * 0, levels * 0 - 0.1, levels * 0 + 0.1)
        >>> figure.axes[0].get_xlabel()
        'credibility: share of the draws in the ball'

    Arguments:
        levels: The credibility levels, with shape ``(L,)``.
        differences: The coverage less them, with shape ``(L,)``.
        low: The lower edge of the band of these differences, with shape ``(L,)``.
        high: The upper one.
        rejected: Whether the curve is rejected, with shape ``()``; orange then.
        rate: The rate of the band.
        dpi: The number of pixels per inch.
    """
    figure = blank("Coverage around random points (TARP)", 5.2, width=5.6, dpi=dpi)
    axes = figure.add_subplot()
    u = np.concatenate([[0.0], levels, [1.0]])
    axes.fill_between(u, u + _ends(low), u + _ends(high), color=MARK, alpha=0.18, linewidth=0)
    axes.plot(u, u, color=MARK, linestyle="--", linewidth=1)
    colour = BOUND if rejected is not None and bool(rejected) else MODEL
    axes.plot(u, u + _ends(differences), color=colour, linewidth=1.8)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_aspect("equal")
    axes.set_xlabel("credibility: share of the draws in the ball")
    axes.set_ylabel("coverage: share of true values in it")
    _legend(figure, rate, passed=colour == MODEL, rejected=colour == BOUND)
    return figure


def _chosen(adjusted: np.ndarray) -> np.ndarray:
    # The least uniform, in their own order.
    return np.sort(np.argsort(adjusted, kind="stable")[:MOST])


def _ends(curve: np.ndarray) -> np.ndarray:
    # At the ends there is no difference.
    return np.concatenate([[0.0], curve, [0.0]])


def _colours(count: int) -> list[Any]:
    from matplotlib import colormaps

    return [colormaps["plasma"](0.1 + 0.75 * i / max(count - 1, 1)) for i in range(count)]


def _bars(axes: Axes, counts: np.ndarray, band: tuple[float, float], colour: str) -> None:
    B = len(counts)
    axes.bar((np.arange(B) + 0.5) / B, counts, 1 / B, color=colour, edgecolor="white", alpha=0.8)
    axes.axhspan(*band, color=MARK, alpha=0.2, linewidth=0, zorder=3)
    axes.axhline(counts.sum() / B, color=MARK, linestyle="--", linewidth=1, zorder=4)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])


def _legend(
    figure: Figure,
    rate: float,
    *,
    bars: bool = False,
    passed: bool = True,
    rejected: bool = False,
) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    what = "bars" if bars else "curves"
    marks: list[Any] = [
        Patch(color=MARK, alpha=0.2, label=f"holds all {what} of an exact guide, {1 - rate:.0%}"),
        Line2D([], [], color=MARK, linestyle="--", label="expected of an exact guide"),
    ]
    if passed:
        marks.append(Line2D([], [], color=MODEL, linewidth=3 + 3 * bars, label="not rejected"))
    if rejected or bars:
        marks.append(Line2D([], [], color=BOUND, linewidth=3 + 3 * bars, label="rejected"))
    figure.legend(
        handles=marks, loc="outside lower center", ncols=2 if figure.get_figwidth() < 7 else 4
    )
