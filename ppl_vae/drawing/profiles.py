r"""Vectors as profiles: a value for each dimension; two dimensions as points of the plane.

Notation: vectors have shape ``(n, d)``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from .canvas import BOUND, MODEL, WIDTH, blank, whole_numbers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["by_value", "in_pairs", "overlaid"]

XLABEL, YLABEL = "dimension of x", "value (unit of the model)"


def in_pairs(x: Tensor, mean: Tensor, title: str, dpi: float) -> Figure:
    r"""Each datum with its reconstruction, a panel each."""
    figure, panels = _panels(len(x), title, dpi)
    few = x.shape[1] <= 30

    for axes, a, b in zip(panels, x, mean, strict=True):
        axes.plot(_dims(a), a, "o-" if few else "-", color=MODEL, label="data", markersize=5)
        axes.plot(_dims(b), b, "x--" if few else "--", color=BOUND, label="reconstruction")

    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
    return figure


def overlaid(groups: Mapping[str, Tensor], title: str, dpi: float) -> Figure:
    r"""All vectors of a group in one panel."""
    plane = all(x.shape[1] == 2 for x in groups.values())
    width = min(WIDTH, 5.0 * len(groups)) if plane else WIDTH
    figure = blank(title, 4.8 if plane else 4.2, width=width, dpi=dpi)
    first: Axes | None = None

    for i, (name, x) in enumerate(groups.items()):
        axes = first = figure.add_subplot(1, len(groups), i + 1, sharex=first, sharey=first)
        axes.set_title(name)
        axes.grid()

        if plane:
            axes.set_aspect("equal")
            axes.plot(*x.T, "o", color=MODEL, markersize=4, alpha=0.6)
            axes.set_xlabel("x1 (unit of the model)")
            axes.set_ylabel("x2 (unit of the model)")
        else:
            marker = "." if x.shape[1] <= 30 else ""
            axes.plot(_dims(x[0]), x.T, marker=marker, color=MODEL, alpha=0.35, linewidth=1)
            _label(axes)

    return figure


def by_value(
    x: Tensor,
    values: Sequence[float],
    names: Sequence[str],
    title: str,
    value_label: str,
    dpi: float,
) -> Figure:
    r"""A panel for each name and a profile for each value, coloured by it."""
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    figure, panels = _panels(len(x), title, dpi)
    norm = Normalize(min(values), max(values))
    colours = colormaps["viridis"]
    marker = "." if x.shape[-1] <= 30 else ""

    for axes, name, row in zip(panels, names, x, strict=True):
        axes.set_title(name)
        for value, profile in zip(values, row, strict=True):
            axes.plot(_dims(profile), profile, marker=marker, color=colours(norm(value) * 0.9))

    figure.colorbar(ScalarMappable(norm, colours), ax=panels, label=value_label)
    return figure


def _panels(n: int, title: str, dpi: float) -> tuple[Figure, list[Axes]]:
    columns = min(n, 5)
    rows = -(-n // columns)
    figure = blank(title, 1.3 + 1.9 * rows, dpi=dpi)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    for axes in grid.flat[n:]:
        axes.remove()
    for i, axes in enumerate(grid.flat[:n]):
        axes.grid()
        whole_numbers(axes)
        if i % columns == 0:
            axes.set_ylabel(YLABEL)
        if i + columns >= n:  # the lowest of its column
            axes.set_xlabel(XLABEL)
            axes.tick_params(labelbottom=True)

    return figure, list(grid.flat[:n])


def _label(axes: Axes) -> None:
    axes.set_xlabel(XLABEL)
    axes.set_ylabel(YLABEL)
    whole_numbers(axes)


def _dims(x: Tensor) -> np.ndarray:
    return np.arange(1, len(x) + 1)
