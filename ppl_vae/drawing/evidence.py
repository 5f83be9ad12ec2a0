r"""The evidence: over the data of a run, and of several runs."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .canvas import BOUND, MARK, MODEL, Array, Row, as_tensor, blank, column, frame, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["comparison", "evidence_histogram"]


@styled
def evidence_histogram(
    log_evidence: Array, elbo: Array | None = None, *, dpi: float = 100
) -> Figure:
    r"""How :math:`\log p(x)` differs between data, with its mean and the tails.

    Example:
        >>> x = np.linspace(-40, -20, 50)
        >>> evidence_histogram(x).axes[0].get_xlabel()
        'log p(x) (nats per datum)\n1 % of the data lie below -39.8, the lowest at -40.0'

    Arguments:
        log_evidence: :math:`\log p(x)` of each datum in nats, with shape ``(n,)``.
        elbo: The ELBO of each, drawn as an outline.
        dpi: The number of pixels per inch.

    Raises:
        ValueError: If no value is finite.
    """
    x = as_tensor(log_evidence).flatten().numpy()
    finite = np.isfinite(x)
    missing, x = int((~finite).sum()), x[finite]
    if len(x) == 0:
        raise ValueError("There is no finite log p(x) to draw.")

    figure = blank(f"log p(x) of each of {len(x)} data", 4.2, dpi=dpi)
    axes = figure.add_subplot()
    low, high = frame(x, 0.005)
    bins = int(np.clip(2 * len(x) ** 0.5, 10, 60))
    edges = np.linspace(low, high, bins + 1).tolist()
    axes.hist(x, edges, color=MODEL, alpha=0.7, label="log p(x)")

    if elbo is not None:
        bound = as_tensor(elbo).flatten().numpy()
        axes.hist(bound, edges, histtype="step", color=BOUND, linewidth=1.6, label="ELBO")

    mean, error = x.mean(), x.std(ddof=1) / len(x) ** 0.5 if len(x) > 1 else math.nan
    label = f"mean {mean:.2f}" + (f" ± {error:.2f} (standard error)" if error == error else "")
    axes.axvline(mean, color=MARK, linestyle="--", label=label)
    if math.isfinite(error):
        axes.axvspan(mean - error, mean + error, color=MARK, alpha=0.25, linewidth=0)

    axes.set_xlim(low, high)
    axes.set_xlabel(f"log p(x) (nats per datum)\n{_tails(x, low, high, missing)}")
    axes.set_ylabel("number of data")
    figure.legend(loc="outside lower center", ncols=3)
    return figure


def _tails(x: np.ndarray, low: float, high: float, missing: int) -> str:
    outside = int(((x < low) | (x > high)).sum())
    notes = [f"1 % of the data lie below {np.quantile(x, 0.01):.1f}, the lowest at {x.min():.1f}"]
    if outside:
        notes.append(f"{outside} of {len(x)} lie off scale")
    if missing:
        notes.append(f"not finite: {missing} more")
    return "; ".join(notes)


@styled
def comparison(records: Sequence[Row], *, dpi: float = 100) -> Figure:
    r"""log p(x) of several runs with its standard error, the best on top.

    Arguments:
        records: For each run its ``name`` and ``log_evidence``, and where they are known its
            ``standard_error`` and ``elbo``, in nats per datum.
        dpi: The number of pixels per inch.

    Raises:
        ValueError: If there are no records.
    """
    if not records:
        raise ValueError("There are no runs to compare.")

    records = sorted(records, key=lambda record: float(record["log_evidence"]))
    mean, elbo = column(records, "log_evidence"), column(records, "elbo")
    error, rows = np.nan_to_num(column(records, "standard_error")), np.arange(len(records))

    figure = blank("log p(x) by run: the higher, the better", 1.7 + 0.5 * len(records), dpi=dpi)
    axes = figure.add_subplot()
    if np.isfinite(elbo).any():
        axes.plot(elbo, rows, "D", color=BOUND, fillstyle="none", label="ELBO")
    label = "log p(x) ± standard error" if error.any() else "log p(x)"
    axes.errorbar(mean, rows, xerr=error, fmt="o", color=MODEL, capsize=4, label=label)
    for row, value in zip(rows, mean, strict=True):
        above: dict[str, Any] = {"xytext": (0, 6), "textcoords": "offset points", "fontsize": 9}
        axes.annotate(f"{value:.2f}", (value, row), ha="center", color=MODEL, **above)

    names = [textwrap.shorten(str(record["name"]), 80, placeholder=" ...") for record in records]
    axes.set_yticks(rows, [textwrap.fill(name, 32) for name in names])
    axes.set_ylim(-0.5, len(records) - 0.3)
    axes.margins(x=0.08)
    axes.grid(axis="x")
    axes.set_xlabel("nats per datum")
    figure.legend(loc="outside lower center", ncols=2)
    return figure
