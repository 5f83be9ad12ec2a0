r"""What data a model sees and draws: reconstructions, samples, traversals.

Data of shape ``(H, W)`` or ``(C, H, W)`` are pictures, and are tiled into one. Others are vectors,
and are drawn by :mod:`ppl_vae.drawing.profiles`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from . import profiles
from .canvas import Array, as_tensor, styled
from .tiles import grids, is_picture, pixel_range, pixels, scale, wrap

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["reconstructions", "samples", "traversal"]


@styled
def reconstructions(
    x: Array,
    mean: Array,
    n: int = 10,
    *,
    vmin: float | None = None,
    vmax: float | None = None,
    dpi: float = 100,
) -> Figure:
    r"""Data above their reconstructions, the means of :math:`p(x \mid z)`.

    Example:
        >>> x = torch.rand(5, 8, 8)
        >>> reconstructions(x, x).axes[0].get_xlabel()
        'pixel values: black ..., white ...'

    Arguments:
        x: Data, with shape ``(n, *event_shape)``.
        mean: Their reconstructions, with the same shape.
        n: The largest number of data.
        vmin: The value of black, by default the least of the data.
        vmax: The value of white, by default the largest of the data.
        dpi: The number of pixels per inch.

    Raises:
        ValueError: If there are no data, or the shapes differ.
    """
    x, mean = as_tensor(x)[:n], as_tensor(mean)[:n]
    title = "Data and their reconstructions, the means of p(x | z)"

    if x.shape != mean.shape or x.numel() == 0:
        raise ValueError(
            "Data and reconstructions must have one shape and a row at least, got "
            f"{tuple(x.shape)} and {tuple(mean.shape)}."
        )
    if not is_picture(x.shape[1:]):
        return profiles.in_pairs(x.reshape(len(x), -1), mean.reshape(len(x), -1), title, dpi)

    vmin, vmax = pixel_range(x, vmin, vmax)
    tiles = pixels(torch.stack([x, mean]), x.dim() - 1, vmin, vmax)
    figure, (axes,) = grids([tiles], title, dpi, around=0.75)
    axes.set_yticks([0, 1], ["data", "reconstruction"])
    axes.set_xlabel(scale(x, vmin, vmax))
    return figure


@styled
def samples(
    x: Array,
    n: int = 64,
    *,
    draws: Array | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    dpi: float = 100,
) -> Figure:
    r"""Samples of the model: for :math:`z \sim p(z)`, the means of :math:`p(x \mid z)`.

    Arguments:
        x: The means (of a Bernoulli, the probabilities), with shape ``(n, *event_shape)``.
        n: The largest number of samples.
        draws: Draws :math:`x \sim p(x \mid z)` for the same z, shown beside the means.
        vmin: The value of black, by default the least.
        vmax: The value of white, by default the largest.
        dpi: The number of pixels per inch.

    Raises:
        ValueError: If there are no samples.
    """
    panels = {"means of p(x | z)": as_tensor(x)[:n]}
    if draws is not None:
        panels["draws from p(x | z)"] = as_tensor(draws)[:n]

    title, first = "Samples of the model, z ~ p(z)", next(iter(panels.values()))
    if not all(panel.numel() for panel in panels.values()):
        raise ValueError(f"There are no samples to draw, got shape {tuple(first.shape)}.")
    if not is_picture(first.shape[1:]):
        return profiles.overlaid({k: v.reshape(len(v), -1) for k, v in panels.items()}, title, dpi)

    vmin, vmax = pixel_range(torch.cat([p.flatten() for p in panels.values()]), vmin, vmax)
    pictures = [pixels(panel, first.dim() - 1, vmin, vmax) for panel in panels.values()]
    figure, all_axes = grids([wrap(p, 16 // len(panels)) for p in pictures], title, dpi, around=1.0)

    for axes, name, panel in zip(all_axes, panels, panels.values(), strict=True):
        axes.set_title(name)
        axes.set_xlabel(scale(panel, vmin, vmax))

    return figure


@styled
def traversal(
    images: Array,
    values: Sequence[float] | None = None,
    names: Sequence[str] | None = None,
    *,
    value_label: str = "value of the latent dimension",
    vmin: float | None = None,
    vmax: float | None = None,
    dpi: float = 100,
) -> Figure:
    r"""What changes in x when one dimension of z moves and the others stay.

    Arguments:
        images: Means of :math:`p(x \mid z)`, with shape ``(rows, columns, *event_shape)``, a row
            for each dimension and a column for each value.
        values: The value of each column, by default its number.
        names: The name of each row, by default ``z1``, ``z2``, ...
        value_label: What the values are, with their unit.
        vmin: The value of black, by default the least.
        vmax: The value of white, by default the largest.
        dpi: The number of pixels per inch.

    Raises:
        ValueError: If there is nothing to draw, or names or values do not fit the shape.
    """
    x = as_tensor(images)
    if x.dim() < 2 or x.numel() == 0:
        raise ValueError(f"A traversal has rows and columns, got shape {tuple(x.shape)}.")

    values = list(range(1, x.shape[1] + 1)) if values is None else [float(v) for v in values]
    names = [f"z{i + 1}" for i in range(len(x))] if names is None else list(names)
    if (len(names), len(values)) != x.shape[:2]:
        raise ValueError(
            f"A traversal of shape {tuple(x.shape)} takes {len(x)} names and {x.shape[1]} values, "
            f"got {len(names)} and {len(values)}."
        )

    title = "Latent traversal: one dimension moves, the others stay"
    if not is_picture(x.shape[2:]):
        return profiles.by_value(
            x.reshape(*x.shape[:2], -1), values, names, title, value_label, dpi
        )

    vmin, vmax = pixel_range(x, vmin, vmax)
    figure, (axes,) = grids([pixels(x, x.dim() - 2, vmin, vmax)], title, dpi, around=1.2)
    axes.set_xticks(range(len(values)), [f"{v:.3g}" for v in values])
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel(f"{value_label}\n{scale(x, vmin, vmax)}")
    axes.set_ylabel("latent dimension")
    return figure
