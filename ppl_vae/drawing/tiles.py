r"""Pictures side by side: tensors of pixels, tiled into one image.

Notation: pictures have shape ``(..., H, W)`` or ``(..., C, H, W)``; as red, green and blue in
[0, 1] they have shape ``(..., H, W, 3)``; a grid of them, ``(rows, columns, H, W, 3)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .canvas import WIDTH, blank

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["grids", "is_picture", "pixel_range", "pixels", "scale", "wrap"]

MISSING = (0.95, 0.62, 0.25)
r"""The colour of a pixel that is NaN."""
BESIDE = 1.3
r"""Inches beside a grid, for labels."""
TALLEST = 11.0
r"""The greatest height of a grid, in inches."""


def is_picture(event_shape: Sequence[int]) -> bool:
    r"""Whether data of this shape are pictures."""
    return len(event_shape) in (2, 3)


def pixel_range(x: Tensor, vmin: float | None, vmax: float | None) -> tuple[float, float]:
    r"""The values of black and white: those given, or the extremes."""
    finite = x[x.isfinite()]
    low = vmin if vmin is not None else finite.min().item() if len(finite) else 0.0
    high = vmax if vmax is not None else finite.max().item() if len(finite) else 1.0
    return low, high if high > low else low + 1


def scale(x: Tensor, vmin: float, vmax: float) -> str:
    r"""What the shades mean, in words."""
    missing = ", orange missing" if x.isnan().any() else ""
    # What is next to nothing beside the range is nothing.
    black, white = (0.0 if abs(v) < 1e-3 * (vmax - vmin) else v for v in (vmin, vmax))
    return f"pixel values: black {black:.3g}, white {white:.3g}{missing}"


def pixels(x: Tensor, rank: int, vmin: float, vmax: float) -> Tensor:
    r"""Pictures as red, green and blue; channels that are no colours stand side by side.

    Example:
        >>> pixels(torch.rand(5, 1, 8, 6), 3, 0.0, 1.0).shape
        torch.Size([5, 8, 6, 3])
        >>> pixels(torch.rand(5, 2, 8, 6), 3, 0.0, 1.0).shape
        torch.Size([5, 8, 12, 3])

    Arguments:
        x: The pictures.
        rank: The number of dimensions of one, 2 or 3.
        vmin: The value of black.
        vmax: The value of white.
    """
    if rank == 2:
        x = x.unsqueeze(-3)
    elif x.shape[-3] not in (1, 3):
        x = x.movedim(-3, -2).flatten(-2).unsqueeze(-3)

    shade = ((x - vmin) / (vmax - vmin)).clamp(0, 1).movedim(-3, -1)
    shade = shade.expand(*shade.shape[:-1], 3)
    return torch.where(shade.isnan().any(-1, keepdim=True), shade.new_tensor(MISSING), shade)


def wrap(pictures: Tensor, columns: int) -> Tensor:
    r"""A row of pictures as a grid, with fewer columns where they are wide, filled up in white."""
    n, H, W, _ = pictures.shape
    columns = max(1, min(n, round(columns * H / W))) if W > H else min(n, columns)
    lacking = -n % columns
    pictures = torch.cat([pictures, pictures.new_ones(lacking, H, W, 3)])
    return pictures.unflatten(0, (-1, columns))


def grids(
    tiles: Sequence[Tensor], title: str, dpi: float, *, around: float
) -> tuple[Figure, list[Axes]]:
    r"""Grids of pictures side by side; an axis counts pictures.

    Arguments:
        tiles: The grids, each with shape ``(rows, columns, H, W, 3)``.
        title: The title of the figure.
        dpi: The number of pixels per inch.
        around: Inches above and below, for titles and labels.
    """
    rows, _, H, W, _ = tiles[0].shape
    # The line between two pictures is a pixel wide, or some in large ones.
    gap = max(1, W // 14)
    ratio = (H + gap) / (W + gap)
    wide = sum(t.shape[1] for t in tiles)
    cell = min((WIDTH - BESIDE) / wide, 1.2 / min(ratio, 1), TALLEST / (rows * ratio))
    width = min(WIDTH, max(wide * cell + BESIDE, 5.0))
    figure = blank(title, rows * cell * ratio + around, width=width, dpi=dpi)
    figure.set_layout_engine("compressed")
    axes = [figure.add_subplot(1, len(tiles), i + 1) for i in range(len(tiles))]

    for one, grid in zip(axes, tiles, strict=True):
        _show(one, grid, gap, ratio)

    return figure, axes


def _show(axes: Axes, grid: Tensor, gap: int, ratio: float) -> None:
    rows, columns, H, W, _ = grid.shape
    paper = grid.new_ones(rows, columns, H + gap, W + gap, 3)
    paper[:, :, :H, :W] = grid
    image = paper.movedim(2, 1).flatten(2, 3).flatten(0, 1)
    # Whole numbers are the middles of pictures, not of pictures and the lines after them.
    x, y = 0.5 * W / (W + gap), 0.5 * H / (H + gap)
    extent = (-x, columns - x, rows - y, -y)
    axes.imshow(image.numpy(), extent=extent, aspect=ratio, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
