r"""How the latent variables are used: what each dimension costs, and where the codes lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .canvas import BOUND, MARK, MODEL, Array, as_tensor, blank, frame, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["aggregate_posterior", "dimensions"]

PANELS = 8
r"""The number of marginals of a figure."""


@styled
def dimensions(
    elements: Array | None,
    activity: Array,
    active: Array,
    *,
    site: str = "z",
    threshold: float = 0.01,
    dpi: float = 100,
) -> Figure:
    r"""What each dimension of a code costs, and how much of it moves with the data.

    Example:
        >>> figure = dimensions(np.array([2.0, 0.0]), np.array([0.9, 0.0]), np.array([True, False]))
        >>> figure.axes[0].get_ylabel()
        'KL (nats per datum)'

    Arguments:
        elements: The KL of each dimension in nats per datum, with shape ``(d,)``; None where it is
            not a sum over dimensions, and only the activity is drawn.
        activity: The variance of the posterior means, with the same shape.
        active: Whether each is active, with the same shape.
        site: The name of the site.
        threshold: The activity over which a dimension is active.
        dpi: The number of pixels per inch.

    Raises:
        ValueError: If there are no dimensions.
    """
    variance, used = as_tensor(activity).numpy(), np.asarray(active, dtype=bool)
    if len(variance) == 0:
        raise ValueError("There are no dimensions to draw.")

    kl = None if elements is None else as_tensor(elements).numpy()
    order = np.argsort(-(variance if kl is None else kl), kind="stable")
    title = f"Use of {site}: {used.sum()} of {len(used)} dimensions are active"
    figure = blank(title, 3.2 if kl is None else 5.2, dpi=dpi)
    panels = figure.subplots(1 if kl is None else 2, sharex=True, squeeze=False)[:, 0]

    if kl is not None:
        _bars(panels[0], kl[order], used[order])
        panels[0].set_ylabel("KL (nats per datum)")
        if (kl < 0).any():
            panels[0].axhline(0, color=MARK, linewidth=0.8)

    # On a logarithmic axis nothing is zero: what is under the axis shows as a stub.
    floor = threshold / 1000
    _bars(panels[-1], np.maximum(variance[order], 1.5 * floor), used[order])
    panels[-1].axhline(threshold, color=MARK, linestyle="--", label=f"threshold {threshold:g}")
    panels[-1].set_yscale("log")
    panels[-1].set_ylim(floor, 2 * max(variance.max(), 10 * threshold))
    panels[-1].set_ylabel("variance of the mean\n(share of the prior's)")
    _name_dimensions(panels[-1], order, "activity" if kl is None else "KL")
    handles, labels = panels[-1].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return figure


def _bars(axes: Axes, height: np.ndarray, used: np.ndarray) -> None:
    x = np.arange(len(height))

    for chosen, colour, label in ((used, MODEL, "active"), (~used, BOUND, "unused")):
        if chosen.any():
            axes.bar(x[chosen], height[chosen], color=colour, width=0.8, label=label)

    axes.grid(axis="y")


def _name_dimensions(axes: Axes, order: np.ndarray, by: str) -> None:
    if len(order) <= 40:
        axes.set_xticks(np.arange(len(order)), [str(i) for i in order])
        axes.set_xlabel(f"dimension (counted from 0, ordered by {by})")
    else:
        axes.set_xlabel(f"rank of the dimension by {by}, of {len(order)}")


@styled
def aggregate_posterior(
    posterior: Array, prior: Array, *, site: str = "z", dpi: float = 100
) -> Figure:
    r"""The marginals of the aggregate posterior beside those of the prior.

    Of more than eight dimensions those are drawn that differ most: by the largest distance of both
    distribution functions.

    Example:
        >>> z = np.linspace(-2, 2, 50)[:, None]
        >>> aggregate_posterior(z, z).axes[0].get_title()
        'distance 0.00'

    Arguments:
        posterior: Draws of :math:`q(z)`, one for each datum, with shape ``(n, d)``.
        prior: Draws of :math:`p(z)`, with shape ``(m, d)``.
        site: The name of the site.
        dpi: The number of pixels per inch.

    Raises:
        ValueError: If there are no draws of the same dimensions, or they are not finite.
    """
    q, p = as_tensor(posterior).numpy(), as_tensor(prior).numpy()
    if q.ndim != 2 or p.ndim != 2 or q.shape[1] != p.shape[1] or 0 in (*q.shape, len(p)):
        raise ValueError(f"Draws have shapes (n, d) and (m, d), got {q.shape} and {p.shape}.")
    if not (np.isfinite(q).all() and np.isfinite(p).all()):
        raise ValueError("The draws hold NaN or infinite values; drop those rows.")

    d = q.shape[1]
    distance = np.array([_distance(q[:, i], p[:, i]) for i in range(d)])
    shown = np.argsort(-distance, kind="stable")[:PANELS]
    columns = min(4, len(shown))
    rows = -(-len(shown) // columns)
    which = f", where they differ most ({len(shown)} of {d} dimensions)" if d > PANELS else ""
    title = f"{site}: codes of the data and draws of the prior{which}"
    figure = blank(title, 1 + 2.4 * rows, dpi=dpi)
    panels = figure.subplots(rows, columns, squeeze=False)

    for axes, i in zip(panels.flat, shown, strict=False):
        _marginals(axes, q[:, i], p[:, i])
        axes.set_title(f"distance {distance[i]:.2f}")
        axes.set_xlabel(f"dimension {i} of {site}")
    for axes in panels.flat[len(shown) :]:
        axes.set_axis_off()
    for axes in panels[:, 0]:
        axes.set_ylabel("density")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    return figure


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    # Of Kolmogorov and Smirnov.
    at = np.concatenate([a, b])
    below = [np.searchsorted(np.sort(t), at, side="right") / len(t) for t in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


def _marginals(axes: Axes, q: np.ndarray, p: np.ndarray) -> None:
    limits = frame(np.concatenate([q, p]), 0.002)
    bins = int(np.clip(2.5 * min(len(q), len(p)) ** (1 / 3), 8, 40))
    edges = np.linspace(*limits, bins + 1)
    width = edges[1] - edges[0]

    codes: dict[str, Any] = {"color": MODEL, "alpha": 0.7, "label": "codes of the data, q(z)"}
    prior: dict[str, Any] = {"color": BOUND, "histtype": "step", "label": "prior, p(z)"}

    for x, look in ((q, codes), (p, {**prior, "linewidth": 1.6})):
        # Of all draws, those off scale too.
        weights = np.full(len(x), 1 / (len(x) * width))
        axes.hist(x, edges.tolist(), weights=weights, **look)

    axes.set_xlim(*limits)
