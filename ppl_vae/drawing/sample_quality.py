r"""How samples compare with held-out data, and how other real data do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .canvas import BOUND, MARK, MODEL, Array, as_tensor, blank, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["MEASURES", "sample_quality"]

MEASURES = ("precision", "recall", "density", "coverage")
r"""The measures, in the order of their columns."""


@styled
def sample_quality(
    scores: Array, drawn: Array, measures: Array, errors: Array, *, dpi: float = 100
) -> Figure:
    r"""What a classifier says of samples and of data, beside precision, recall and their like.

    Example:
        >>> scores, drawn = np.linspace(0, 1, 20), np.arange(20) > 9
        >>> figure = sample_quality(scores, drawn, np.full((2, 4), 0.9), np.full((2, 4), 0.02))
        >>> figure.axes[1].get_ylabel()
        'share (density: ratio)'

    Arguments:
        scores: For each row the probability, by the classifier, of being a sample, with shape
            ``(n,)``.
        drawn: Whether it is one, with shape ``(n,)``.
        measures: Precision, recall, density and coverage: of samples, then of other real data,
            with shape ``(2, 4)``.
        errors: Their standard errors, with shape ``(2, 4)``.
        dpi: The number of pixels per inch.

    Raises:
        ValueError: If there is no sample or no datum among the rows.
    """
    scores, drawn = as_tensor(scores).numpy(), as_tensor(drawn).numpy() > 0.5
    measures, errors = as_tensor(measures).numpy(), as_tensor(errors).numpy()

    if drawn.all() or not drawn.any():
        raise ValueError("The scores of samples and of data are needed; one of them is missing.")

    figure = blank("Samples of the model against held-out data", 4.4, dpi=dpi)
    left, right = figure.subplots(1, 2)
    _scores(left, scores, drawn)
    _bars(right, measures, errors)
    return figure


def _scores(axes: Axes, scores: np.ndarray, drawn: np.ndarray) -> None:
    edges = np.linspace(0, 1, 21).tolist()
    accuracy = ((scores > 0.5) == drawn).mean()

    for rows, color, name in ((drawn, MODEL, "samples"), (~drawn, BOUND, "held-out data")):
        weights = np.full(rows.sum(), 100 / rows.sum())
        axes.hist(scores[rows], edges, weights=weights, color=color, alpha=0.2)
        outline: dict[str, Any] = {
            "histtype": "step",
            "color": color,
            "linewidth": 1.6,
            "label": name,
        }
        axes.hist(scores[rows], edges, weights=weights, **outline)

    axes.axvline(0.5, color=MARK, linestyle=":")
    axes.set_xlim(0, 1)
    axes.set_title(
        f"The classifier is right for {accuracy:.0%} of {len(scores)} rows (chance: 50%)"
    )
    axes.set_xlabel("probability of being a sample, by the classifier")
    axes.set_ylabel("% of the samples, or of the data")
    axes.legend()


def _bars(axes: Axes, measures: np.ndarray, errors: np.ndarray) -> None:
    at, width = np.arange(len(MEASURES)), 0.38
    labels = ("samples", "other real data: attainable")

    for i, (color, label) in enumerate(zip((MODEL, "#9a9a9a"), labels, strict=True)):
        place = at + (i - 0.5) * width
        bars: dict[str, Any] = {"color": color, "label": label, "capsize": 3, "ecolor": MARK}
        axes.bar(place, measures[i], width * 0.94, yerr=errors[i], **bars)
        for x, value, error in zip(place, measures[i], np.nan_to_num(errors[i]), strict=True):
            above: dict[str, Any] = {"xytext": (0, 3), "textcoords": "offset points", "fontsize": 9}
            axes.annotate(f"{value:.2f}", (x, value + error), ha="center", **above)

    top = max(1.0, float(np.nanmax(measures + np.nan_to_num(errors))))
    axes.set_ylim(0, 1.28 * top)
    axes.set_xticks(at, MEASURES)
    axes.set_title("By nearest neighbours (bars: standard errors)")
    axes.set_ylabel("share (density: ratio)")
    axes.legend(loc="upper center", ncols=2)
