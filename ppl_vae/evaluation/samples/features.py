r"""Features of data in which samples are compared: of a small net, or principal components."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Features", "fit_features"]

STEPS, BATCH, HIDDEN = 300, 100, 64
r"""How the net is trained: steps, rows of each, and units of its hidden layer."""


@dataclass(frozen=True)
class Features:
    r"""A map from rows to features, each with a variance of one over the rows it was fitted to."""

    name: str
    r"""What they are, for beside a number."""
    size: int
    r"""Their number."""
    map: Callable[[Tensor], Tensor]
    r"""From rows, with shape ``(n, *shape)``, to features, with shape ``(n, size)``."""

    def __call__(self, x: Tensor) -> Tensor:
        return self.map(x)


def fit_features(
    x: Tensor, labels: Tensor | None = None, *, size: int = 16, seed: int = 0
) -> Features:
    r"""Fits features to data: by their classes, or to their variance where there are none.

    With classes, they are the last hidden layer of a net that was trained to tell these apart;
    without, the principal components, as many as carry variance.

    Example:
        >>> x = torch.randn(100, 5, generator=torch.Generator().manual_seed(0))
        >>> features = fit_features(x, size=3)
        >>> features.name, features(x).shape
        ('3 principal components', torch.Size([100, 3]))
        >>> fit_features(x, (x[:, 0] > 0).long(), size=4).name
        '4 features of a net that tells 2 classes apart'

    Arguments:
        x: The data, with shape ``(n, *shape)``.
        labels: Their classes, with shape ``(n,)``; None where there are none.
        size: The largest number of features.
        seed: The seed of the net.

    Raises:
        ValueError: If the size is not positive, the labels are not one for each row, or all of
            one class.
    """
    x = torch.as_tensor(x).detach().cpu().double().flatten(1)

    if size < 1:
        raise ValueError(f"The number of features must be positive, got {size}.")

    if labels is None:
        return _components(x, size)

    classes, y = torch.as_tensor(labels).detach().cpu().unique(return_inverse=True)

    if y.shape != (len(x),) or len(classes) < 2:
        raise ValueError(
            "Labels are one for each row, of two classes or more; got the shape "
            f"{tuple(y.shape)} and {len(classes)} for {len(x)} rows."
        )

    name = f"{size} features of a net that tells {len(classes)} classes apart"
    return _scaled(name, x, _net(x, y, len(classes), size, seed))


def _components(x: Tensor, size: int) -> Features:
    loc = x.mean(0)
    _, values, vectors = torch.linalg.svd(x - loc, full_matrices=False)
    # Rounding, that of single precision too, is no variance.
    kept = int((values[:size] > 1e-5 * values[0]).sum())

    if kept == 0:
        raise ValueError("The data have no variance: all rows are equal.")

    map = vectors[:kept].mT
    return _scaled(f"{kept} principal components", x, lambda rows: (rows - loc) @ map)


def _net(x: Tensor, y: Tensor, classes: int, size: int, seed: int) -> Callable[[Tensor], Tensor]:
    loc, scale = x.mean(0), x.std(0)
    scale[scale == 0] = 1

    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        body = nn.Sequential(
            nn.Linear(x.shape[1], HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, size), nn.Tanh()
        ).double()
        head = nn.Linear(size, classes).double()
        parameters = [*body.parameters(), *head.parameters()]
        optimizer = torch.optim.Adam(parameters, lr=3e-3)

        for _ in range(STEPS):
            rows = torch.randint(len(x), (BATCH,))
            loss = nn.functional.cross_entropy(head(body((x[rows] - loc) / scale)), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    body.requires_grad_(False)
    return lambda rows: body((rows - loc) / scale)


def _scaled(name: str, x: Tensor, map: Callable[[Tensor], Tensor]) -> Features:
    spread = map(x).std(0)
    spread[spread == 0] = 1

    def scaled(rows: Any) -> Tensor:
        return map(torch.as_tensor(rows).detach().cpu().double().flatten(1)) / spread

    return Features(name, len(spread), scaled)
