r"""Bounds on the evidence: from both sides, by rate, and what a guide costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .canvas import BOUND, MARK, MODEL, Array, as_tensor, blank, frame, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["gaps", "rate_distortion", "sandwich", "tails"]

MOST = 200
r"""The number of data that are drawn one by one, at most."""


@styled
def sandwich(
    lower: Array,
    upper: Array,
    importance: Array | None = None,
    cubo: Array | None = None,
    *,
    dpi: float = 100,
) -> Figure:
    r"""Estimates of :math:`\log p(x)` from below and from above, datum by datum.

    Example:
        >>> sandwich(np.array([-3.0, -2.0]), np.array([-2.9, -1.8])).axes[0].get_ylabel()
        'nats below the upper bound'

    Arguments:
        lower: The estimates from below, in nats, with shape ``(n,)``.
        upper: Those from above, with shape ``(n,)``.
        importance: Those of importance weighting, with shape ``(n,)``.
        cubo: The chi-squared values of its weights, of which the mean is drawn, with shape
            ``(n,)``.
        dpi: The number of pixels per inch.
    """
    low, high = as_tensor(lower).numpy(), as_tensor(upper).numpy()
    order = np.argsort(high)
    order = order[np.linspace(0, len(order) - 1, min(len(order), MOST)).round().astype(int)]
    rows = np.arange(len(order))

    figure = blank("log p(x) of simulated data, from both sides", 4.4, dpi=dpi)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    left.axhline(0, color=BOUND, label="upper bound, chains backward")
    if importance is not None:
        short = as_tensor(importance).numpy() - high
        left.plot(rows, short[order], "+", color=MARK, label="importance weighting")
    left.plot(rows, (low - high)[order], ".", color=MODEL, label="lower bound, chains forward")
    bottom = frame(np.concatenate([line.get_ydata() for line in left.lines[1:]]), 0.01)[0]
    left.set_ylim(min(bottom, -0.1) * 1.05, max(-0.06 * bottom, 0.05))
    left.set_xlabel("data, the least likely first")
    left.set_ylabel("nats below the upper bound")
    figure.legend(loc="outside lower center", ncols=3)

    means = {"lower": low.mean(), "upper": high.mean()}
    if importance is not None:
        means = {"importance\nweighting": as_tensor(importance).numpy().mean(), **means}
    colors = [MARK, MODEL, BOUND][-len(means) :]
    if cubo is not None:
        # No edge: an upper bound for ever more particles alone.
        means, colors = {**means, "CUBO": as_tensor(cubo).numpy().mean()}, [*colors, "none"]
    at = np.arange(len(means))
    edges = [MARK if color == "none" else color for color in colors]
    right.scatter(at, [*means.values()], color=colors, edgecolors=edges, s=60, zorder=3)
    for x, value in zip(at, means.values(), strict=True):
        above: dict[str, Any] = {"xytext": (0, 8), "textcoords": "offset points", "fontsize": 9}
        right.annotate(f"{value:.2f}", (x, value), ha="center", **above)
    right.set_xticks(at, [*means])
    right.set_xlim(-0.6, len(means) - 0.4)
    right.margins(y=0.25)
    right.grid(axis="y")
    right.set_ylabel("mean, nats per datum")
    return figure


@styled
def rate_distortion(
    rate: Array,
    distortion: Array,
    guide: tuple[float, float] | None = None,
    *,
    dpi: float = 100,
) -> Figure:
    r"""What a decoder can do at each rate, and what its guide does.

    Example:
        >>> figure = rate_distortion(np.array([0.0, 5.0]), np.array([30.0, 20.0]), (6.0, 21.0))
        >>> figure.axes[0].get_xlabel()
        'rate: KL(q(z) || p(z)), nats per datum'

    Arguments:
        rate: Mean rates in nats, with shape ``(m,)``.
        distortion: Mean distortions in nats, with shape ``(m,)``.
        guide: The mean rate and distortion of the guide.
        dpi: The number of pixels per inch.
    """
    R, D = as_tensor(rate).numpy(), as_tensor(distortion).numpy()
    figure = blank("Rate and distortion", 4.4, dpi=dpi)
    axes = figure.add_subplot()
    axes.plot(R, D, ".-", color=MODEL, label="this decoder and prior, with the best encoder")
    total = R[-1] + D[-1]
    axes.plot(R[-1], D[-1], "o", color=MODEL, label=f"its posterior: sum {total:.2f}, -log p(x)")
    if guide is not None:
        label = f"the guide: sum {sum(guide):.2f}, -ELBO"
        axes.plot(*guide, "D", color=BOUND, fillstyle="none", markeredgewidth=2, label=label)
    # Points of one sum lie on a line.
    edge = np.array(axes.get_xlim())
    axes.plot(edge, total - edge, ":", color=MARK, label="points of the same sum")
    axes.set_xlim(*edge)
    # Where next to nothing is coded, distortion is out of all proportion.
    low = min(D[-1], guide[1] if guide else D[-1])
    extent = max(R[-1], 0.01 * abs(D[-1]), 0.1)
    axes.set_ylim(low - 0.1 * extent, D[-1] + 3 * extent)
    axes.set_xlabel("rate: KL(q(z) || p(z)), nats per datum")
    axes.set_ylabel("distortion: -E[log p(x | z)], nats per datum")
    axes.legend()
    return figure


@styled
def gaps(amortization: Array, family: Array, *, dpi: float = 100) -> Figure:
    r"""What the encoder and the family of the posterior cost, for each datum and on average.

    Example:
        >>> gaps(np.array([1.0, 2.0]), np.array([0.5, 0.6])).axes[1].get_ylabel()
        'number of data'

    Arguments:
        amortization: What the encoder costs, in nats, with shape ``(n,)``.
        family: What the family costs, in nats, with shape ``(n,)``.
        dpi: The number of pixels per inch.
    """
    parts = {"amortization": as_tensor(amortization).numpy(), "family": as_tensor(family).numpy()}
    figure = blank("log p(x) - ELBO, and whose part it is", 4.2, dpi=dpi)
    bars, axes = figure.subplots(1, 2, width_ratios=(1, 2))
    bottom = 0.0

    for (name, values), color in zip(parts.items(), (MODEL, BOUND), strict=True):
        mean = float(values.mean())
        bars.bar(0, mean, 0.5, bottom=bottom, color=color)
        bars.annotate(
            f"{name}\n{mean:.2f}", (0.32, bottom + mean / 2), va="center", fontsize=9, color=color
        )
        bottom += max(mean, 0.0)
    bars.set_xlim(-0.4, 1.2)
    bars.set_xticks([])
    bars.set_ylabel("mean, nats per datum")

    low, high = frame(np.concatenate([*parts.values()]), 0.005)
    edges = np.linspace(low, high, 40).tolist()
    for (name, values), color in zip(parts.items(), (MODEL, BOUND), strict=True):
        style: dict[str, Any] = {"histtype": "step", "color": color, "linewidth": 1.6}
        axes.hist(np.clip(values, low, high), edges, label=name, **style)
    axes.axvline(0, color=MARK, linestyle=":")
    axes.set_xlabel("nats of each datum")
    axes.set_ylabel("number of data")
    axes.legend()
    return figure


@styled
def tails(ess: Array, khat: Array, particles: int, *, dpi: float = 100) -> Figure:
    r"""The effective sample size of each datum against the tail of its weights.

    Example:
        >>> tails(np.array([50.0, 2.0]), np.array([0.3, 1.2]), 100).axes[0].get_xlabel()
        'k-hat: the tail of the weights'

    Arguments:
        ess: Effective sample sizes, with shape ``(n,)``.
        khat: Shapes of the tails, with shape ``(n,)``; those that are not finite are left out.
        particles: The number of particles.
        dpi: The number of pixels per inch.

    Raises:
        ValueError: If no tail is known.
    """
    k, size = as_tensor(khat).numpy(), as_tensor(ess).numpy()
    known = np.isfinite(k)
    if not known.any():
        raise ValueError("There is no tail to draw: k-hat is known of no datum.")

    figure = blank(
        f"How {particles:,} particles count, for each of {known.sum()} data", 4.2, dpi=dpi
    )
    axes = figure.add_subplot()
    over = float((k[known] > 0.7).mean())
    _zones(axes, *frame(k[known], 0.02))
    axes.semilogy(k[known], size[known], ".", color=MODEL, alpha=0.4, markersize=4)
    axes.axhline(particles, color=MARK, linestyle=":")
    axes.annotate(
        "all particles count alike",
        (1, particles),
        xycoords=("axes fraction", "data"),
        xytext=(0, -4),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=9,
    )
    axes.set_ylim(0.8, particles * 1.5)
    axes.set_xlabel("k-hat: the tail of the weights")
    axes.set_ylabel("effective sample size")
    axes.set_title(f"{over:.0%} of the data lie above 0.7, where the estimate is not reliable")
    return figure


def _zones(axes: Axes, low: float, high: float) -> None:
    low, high = min(low, 0.4), max(high, 0.8)
    axes.set_xlim(low, high)
    axes.axvspan(0.7, high, color=BOUND, alpha=0.1, linewidth=0)
    axes.axvspan(0.5, 0.7, color="#e69f00", alpha=0.12, linewidth=0)
