r"""The latent space: where the posterior puts the data."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .canvas import WIDTH, Array, as_tensor, blank, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["latent_space"]

# Petroff's ten colours, chosen by how well people with any colour vision tell them apart.
COLOURS = (
    *("#3f90da", "#ffa90e", "#bd1f01", "#94a4a2", "#832db6"),
    *("#a96b59", "#e76300", "#b9ac70", "#717581", "#92dadd"),
)
MARKERS = "o^sDvP*X<"

Groups = dict[str | None, np.ndarray]


@styled
def latent_space(
    z: Array,
    labels: Array | None = None,
    class_names: Sequence[str] | None = None,
    *,
    dpi: float = 100,
) -> Figure:
    r"""The posterior means of data, coloured by class.

    Of more than two dimensions, the first two principal components are drawn, with their shares of
    the variance; of one dimension, a histogram. Rows that are not finite are left out.

    Example:
        >>> latent_space(torch.randn(20, 8)).axes[0].get_xlabel()
        'principal component 1 (... % of the variance)'

    Arguments:
        z: The means of :math:`q(z \mid x)`, with shape ``(n, *z_shape)``.
        labels: The class of each datum, an integer, with shape ``(n,)``.
        class_names: The name of each class.
        dpi: The number of pixels per inch.

    Raises:
        ValueError: If no row is finite, or there is not one label for each.
    """
    z = as_tensor(z).reshape(len(z), -1)
    classes = torch.zeros(len(z)) if labels is None else as_tensor(labels).flatten()
    if len(classes) != len(z):
        raise ValueError(f"There are {len(z)} codes, but {len(classes)} labels.")

    finite = z.isfinite().all(1)
    z, classes = z[finite], classes[finite]
    if z.numel() == 0:
        raise ValueError("There are no codes to draw: no row of z is finite.")

    points, xlabel, ylabel = _project(z)
    groups: Groups = {None: points.numpy()}
    if labels is not None:
        groups = {_name(c, class_names): points[classes == c].numpy() for c in classes.unique()}

    flat = points.shape[1] == 1
    title = f"Latent space: means of q(z | x) of {len(z)} data"
    ncols = -(-len(groups) // 20)
    width, height = (WIDTH, 4.2) if flat else (6.6 + 0.8 * min(ncols, 3), 6.2)
    figure = blank(title, height, width=width, dpi=dpi)
    axes = figure.add_subplot()
    (_histogram if flat else _scatter)(axes, groups)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)

    if labels is not None and len(groups) <= 60:
        large = (30 / _area(len(points))) ** 0.5
        look: dict[str, Any] = {"title": "class", "ncols": ncols, "markerscale": large}
        figure.legend(loc="outside right center", **look)

    return figure


def _name(c: Tensor, names: Sequence[str] | None) -> str:
    i = int(c)
    name = str(i) if names is None or not 0 <= i < len(names) else str(names[i])
    return textwrap.shorten(name, 24, placeholder="...")


def _project(z: Tensor) -> tuple[Tensor, str, str]:
    if z.shape[1] == 1:
        return z, "z (no unit)", "number of data"
    if z.shape[1] == 2:
        return z, "z1 (no unit)", "z2 (no unit)"

    centred = z - z.mean(0)
    _, scales, directions = torch.linalg.svd(centred, full_matrices=False)
    share = scales.square() / scales.square().sum().clamp(min=1e-300)
    # A single datum has a single direction.
    share, directions = torch.cat([share, share]), torch.cat([directions, 0 * directions])
    labels = [
        f"principal component {i + 1} ({100 * share[i]:.0f} % of the variance)" for i in range(2)
    ]
    return centred @ directions[:2].mT, labels[0], labels[1]


def _area(n: int) -> float:
    # Of a marker among n, in square points.
    return float(np.clip(20_000 / n, 5, 30))


def _scatter(axes: Axes, groups: Groups) -> None:
    size = _area(sum(map(len, groups.values())))

    for i, (name, points) in enumerate(groups.items()):
        # The marker changes too, every few colours.
        marker = MARKERS[i // 5 % len(MARKERS)]
        look: dict[str, Any] = {"color": COLOURS[i % len(COLOURS)], "marker": marker}
        x, y = points.T
        axes.scatter(x, y, s=size, alpha=0.8, linewidths=0, label=name, **look)

    axes.grid()
    axes.set_aspect("equal", adjustable="datalim")


def _histogram(axes: Axes, groups: Groups) -> None:
    columns = [points[:, 0] for points in groups.values()]
    edges = np.histogram_bin_edges(np.concatenate(columns), 50)
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(columns))]
    names = [name or "" for name in groups]
    axes.hist(columns, edges.tolist(), stacked=True, color=colours, label=names)
