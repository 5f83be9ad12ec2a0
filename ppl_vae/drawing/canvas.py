r"""The paper that figures are drawn on: size, style, and the way to a file.

Figures are drawn to be read at 100 pixels per inch, where no text is smaller than 9 points; a
larger ``dpi`` gives the same figure with finer dots. Neither pyplot nor any global setting is used,
and the settings of the user do not change how a figure looks.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "Array",
    "Row",
    "as_tensor",
    "blank",
    "column",
    "frame",
    "png",
    "styled",
    "whole_numbers",
]

P = ParamSpec("P")
Array = Tensor | np.ndarray
Row = Mapping[str, Any]

WIDTH = 9.0
r"""The width of a figure in inches: 900 pixels at 100 pixels per inch."""
STYLE = {
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.title_fontsize": 9,
    "figure.titlesize": 12,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.8,
    "legend.frameon": False,
}
MODEL, BOUND, MARK = "#0072b2", "#d55e00", "#444444"
r"""Blue and orange, of Okabe and Ito, and grey: told apart with any colour vision."""


def styled(draw: Callable[P, Any]) -> Callable[P, Any]:
    r"""Lets a function draw in the style of this library, whatever the user's settings are.

    The layout of a figure is settled here, once: it would move a little with each drawing.
    """

    @wraps(draw)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Any:
        from matplotlib import style

        with style.context(["default", STYLE]):
            result = draw(*args, **kwargs)
            return result if isinstance(result, bytes) else _settled(result)

    return wrapper


def _settled(figure: Figure) -> Figure:
    engine = figure.get_layout_engine()

    # The second time knows how wide the labels have become.
    for _ in range(2 if engine else 0):
        figure.draw_without_rendering()

    figure.set_layout_engine("none")
    return figure


def blank(title: str, height: float, *, width: float = WIDTH, dpi: float) -> Figure:
    r"""An empty figure, of so many inches, on an Agg canvas."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title)
    return figure


@styled
def png(figure: Figure, dpi: float | None = None) -> bytes:
    r"""A figure as the bytes of a PNG file, the same for the same figure.

    Example:
        >>> from ppl_vae.plots import comparison
        >>> png(comparison([{"name": "a", "log_evidence": -80.0}]))[1:4]
        b'PNG'

    Arguments:
        figure: The figure.
        dpi: The number of pixels per inch, by default the figure's own.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi or "figure", metadata={"Software": None})
    return buffer.getvalue()


def whole_numbers(axes: Axes) -> None:
    r"""Lets an axis of epochs or dimensions tick at whole numbers alone."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=6, integer=True, min_n_ticks=1))


def as_tensor(x: Array) -> Tensor:
    r"""Anything like an array in double precision, on the CPU, without gradient."""
    return torch.as_tensor(x).detach().cpu().double()


def column(rows: Sequence[Row], name: str) -> np.ndarray:
    r"""The values of a key, NaN where a row has none."""
    values = [row.get(name) for row in rows]
    return np.array([math.nan if v in (None, "") else float(v) for v in values], dtype=float)


def frame(x: np.ndarray, tail: float, *, kept: np.ndarray | None = None) -> tuple[float, float]:
    r"""Limits that a few extreme values do not spoil.

    They are the quantiles at both tails, and half their distance more, but no further than the
    values go; what must be seen stays inside.
    """
    q0, q1 = np.quantile(x, [tail, 1 - tail])
    must = x[:0] if kept is None else kept
    low = min(max(q0 - 0.5 * (q1 - q0), x.min()), must.min(initial=np.inf))
    high = max(min(q1 + 0.5 * (q1 - q0), x.max()), must.max(initial=-np.inf))
    return (float(low), float(high)) if high > low else (float(low) - 0.5, float(high) + 0.5)
