r"""Learning curves of several runs, one over the other."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from .canvas import MARK, Row, blank, styled, whole_numbers
from .lines import BOUNDS, TERMS, Line, limits, lines_of

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["overlaid_curves"]

COLOURS = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c8c8c"),
)
r"""Of Okabe and Ito, but for their yellow, which is faint on white."""
STYLES: tuple[tuple[Any, str], ...] = (("-", "o"), ("--", "s"), ((0, (1, 1)), "^"), ("-.", "D"))
r"""Lines, and markers of short ones, of the first eight, of the next eight, and so on."""


@styled
def overlaid_curves(
    groups: Sequence[Row], *, title: str = "Learning curves of several runs", dpi: float = 100
) -> Figure:
    r"""The bound by epoch, and by seconds of training, with a line for each group of runs.

    A line is the mean over the runs of a group, at the epochs that all of them have; each run is a
    thin line. The legend says of how many seeds it is, where others lack what is drawn. Values are
    those of the validation data, or of training where there are none: the objective's own bound
    where it logs one, else the true ELBO. Labels say which, wherever lines differ in it. Runs that
    logged neither are left out, and named; where that is all of them, the reconstruction is drawn.
    The frame is that of the end of training, and what is outside is told.

    Example:
        >>> rows = [{"epoch": i, "seconds": 2.0, "validation_elbo": -9 - 1 / i} for i in (1, 2, 3)]
        >>> figure = overlaid_curves([{"name": "mine", "histories": [rows]}])
        >>> [axes.get_xlabel() for axes in figure.axes], figure.axes[0].get_ylabel()
        (['epoch', 'seconds of training'], 'validation ELBO (nats per datum)')

    Arguments:
        groups: Each with its ``name`` and the ``histories`` of its runs, which are the rows of
            :func:`ppl_vae.fit.fit`, in the order of the legend; :func:`ppl_vae.compare.histories`
            makes them of folders. Where one says whether it is ``ranked``, the legend does too.
        title: The title.
        dpi: The number of pixels per inch.

    Raises:
        ValueError: If there are no groups, or none has a finite value to draw.
    """
    if not groups:
        raise ValueError("There are no runs to compare.")

    lines = lines_of(groups, BOUNDS) or lines_of(groups, ("reconstruction",))
    if not lines:
        raise ValueError(
            "There are no learning curves to draw: no run has logged a finite bound or "
            "reconstruction."
        )

    low, high = limits(lines)
    labels = [textwrap.fill(_label(line, lines, low), 30) for line in lines]
    height = max(4.2, 1.2 + 0.17 * sum(label.count("\n") + 1.3 for label in labels))
    figure = blank(title, height, dpi=dpi)
    abscissae = [k for k in ("epoch", "seconds") if any(len(line.mean(k)[0]) for line in lines)]

    for i, abscissa in enumerate(abscissae):
        axes = figure.add_subplot(1, len(abscissae), i + 1)
        handles = _draw(axes, lines, abscissa, (low, high))
        axes.set_ylabel(_unit(lines) if i == 0 else "")

    heading = "best log p(x) first" if any(group.get("ranked") for group in groups) else None
    legend = figure.legend(handles, labels, loc="outside right upper", title=heading)
    legend.set_alignment("left")
    for text in legend.get_texts():
        text.set_parse_math(False)
    if notes := list(_notes(groups, lines)):
        figure.supxlabel(textwrap.fill(" ".join(notes), 125), fontsize=9, color=MARK)
    return figure


def _draw(
    axes: Axes, lines: Sequence[Line], abscissa: str, frame: tuple[float, float]
) -> list[Artist]:
    low, high = frame
    handles: list[Artist] = []
    below = [0.0]

    for i, line in enumerate(lines):
        style, marker = STYLES[i // len(COLOURS) % len(STYLES)]
        look: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)], "linestyle": style}
        x, y = line.mean(abscissa)
        marker = marker if len(x) < 10 else ""
        handles += axes.plot(x, y, linewidth=1.7, marker=marker, markersize=4, **look)
        if len(line.runs) > 1:
            for run in line.runs:
                axes.plot(run[abscissa], run["value"], linewidth=0.8, alpha=0.4, **look)
        if len(y) and y[-1] >= low:
            below += x[y < low].tolist()

    first = f"\n(up to the first {max(below):.0f} off scale)" if max(below) > 0 else ""
    axes.set_xlabel({"epoch": "epoch", "seconds": "seconds of training"}[abscissa] + first)
    axes.set_xlim(left=0)
    axes.set_ylim(low, high)
    axes.grid()
    if abscissa == "epoch":
        whole_numbers(axes)
    return handles


def _unit(lines: Sequence[Line]) -> str:
    splits, terms = {line.split for line in lines}, {line.term for line in lines}
    term = TERMS[terms.pop()] if len(terms) == 1 else "lower bound of log p(x)"
    split = f"{_told(splits.pop())} " if len(splits) == 1 else ""
    return f"{split}{term} (nats per datum)"


def _label(line: Line, lines: Sequence[Line], low: float) -> str:
    splits, terms = ({getattr(other, k) for other in lines} for k in ("split", "term"))
    kind = [_told(line.split)] * (len(splits) > 1) + [TERMS[line.term]] * (len(terms) > 1)
    notes = [" ".join(kind)] if kind else []

    if line.ranked is False:
        notes.append("not ranked")
    if line.end < low:
        notes.append(f"off scale, ends at {line.end:.1f}")

    several = len(line.group["histories"]) > 1
    count = f", {line.seeds}\N{NO-BREAK SPACE}seeds" if several else ""
    name = textwrap.shorten(line.name, 80, placeholder=" ...")
    # Legends leave out what begins with an underscore.
    before = " " * name.startswith("_")
    return f"{before}{name}{count}" + (f" ({'; '.join(notes)})" if notes else "")


def _notes(groups: Sequence[Row], lines: Sequence[Line]) -> Iterable[str]:
    drawn = {id(line.group) for line in lines}
    if absent := [str(group["name"]) for group in groups if id(group) not in drawn]:
        what = "bound" if lines[0].term in BOUNDS else "reconstruction"
        yield f"Left out, for want of a finite {what}: {', '.join(absent)}."
    if len({line.group.get("data") for line in lines}) > 1:
        yield "The runs saw different data: the heights of their lines do not compare."


def _told(split: str) -> str:
    return "training" if split == "train" else split
