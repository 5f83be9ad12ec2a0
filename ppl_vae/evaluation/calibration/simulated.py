r"""Data that the model draws, and the guide's answers to them.

For each datum there are a true :math:`z^*` and draws :math:`z_1, \dots, z_L \sim q(z \mid x)`, in
this order along the first dimension. Programs score and predict them one by one, so that a program
sees the same shapes for the true value and for each draw: equal values have equal densities then,
bit by bit, and ties are seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import pyro
import torch
from torch import Tensor

from ...weights import (
    Program,
    distributions,
    draw_guide,
    dream,
    log_joint,
    log_weights,
    plate_depth,
)
from ..imitation import in_place

__all__ = ["Simulated", "simulated"]


@dataclass(frozen=True)
class Simulated:
    r"""Simulated data, their latent variables, and draws of the guide."""

    model: Program
    r"""The program :math:`p(x, z)`."""
    batch: Mapping[str, Any]
    r"""What both programs are called with: the simulated data, and what the model is given."""
    values: Mapping[str, Tensor]
    r"""The latent sites, true values first, with shape ``(1 + L, ..., n, *event_shape)``."""
    rows: Mapping[str, int]
    r"""The dimension of the data in the values of each site, counted from the right."""
    observed: tuple[str, ...]
    r"""The names of the sites that the model observes."""
    n: int
    r"""The number of data."""

    def data(self) -> Tensor:
        r"""The observed sites side by side, with shape ``(n, E)``, in double precision."""
        return self._beside(self.batch)

    def coordinates(self) -> Tensor:
        r"""The elements of all latent sites, in double precision, with shape ``(1 + L, n, D)``."""
        return self._elements(self.values)

    def labels(self) -> list[tuple[str, str]]:
        r"""For each of these elements the site, and a name such as ``"z[3]"``."""
        found = []

        for site, value in self.values.items():
            shape = [size for size in value.movedim(self.rows[site], 1).shape[2:] if size > 1]
            for index in product(*map(range, shape)):
                found.append((site, site + (f"[{', '.join(map(str, index))}]" if index else "")))

        return found

    def others(self, rows: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        r"""Draws further data and their latent variables, of which the guide knows nothing.

        Arguments:
            rows: As for :func:`simulated`.

        Returns:
            As :meth:`data` and as :meth:`coordinates`, with shapes ``(n, E)`` and ``(n, D)``.
        """
        batch, latent = dream(self.model, rows, self.n)
        return self._beside(batch), self._elements(latent)[0]

    def _beside(self, batch: Mapping[str, Tensor]) -> Tensor:
        parts = [batch[name].reshape(self.n, -1) for name in self.observed]
        return torch.cat([part.cpu().double() for part in parts], 1)

    def _elements(self, values: Mapping[str, Tensor]) -> Tensor:
        parts = []

        for name, row in self.rows.items():
            moved = values[name].movedim(row, 1).cpu().double()
            parts.append(moved.reshape(len(moved), self.n, -1))

        return torch.cat(parts, -1)

    def densities(self) -> Tensor:
        r""":math:`\log p(x \mid z)` and :math:`\log p(x, z)`, with shape ``(1 + L, n, 2)``."""
        rows = []

        for one in self._each():
            likelihood, prior = log_joint(self.model, self.batch, one)
            rows.append(torch.stack([likelihood[0], likelihood[0] + prior[0]], -1))

        return torch.stack(rows).cpu().double()

    def predictions(self) -> Iterator[dict[str, Tensor]]:
        r"""Yields new data of the true values, then of each draw, by observed site."""
        given = {k: v for k, v in self.batch.items() if k not in self.observed}

        for one in self._each():
            latent = {name: value[0] for name, value in one.items()}
            sites = distributions(self.model, {**given, "n": self.n}, given=latent)
            yield {name: sites[name][1] for name in self.observed}

    def _each(self) -> Iterator[dict[str, Tensor]]:
        for k in range(len(next(iter(self.values.values())))):
            yield {name: value[k : k + 1] for name, value in self.values.items()}


def simulated(
    model: Program,
    guide: Program,
    rows: Mapping[str, Any],
    n: int,
    draws: int,
    *,
    vectorized: bool = True,
) -> Simulated:
    r"""Draws :math:`z^* \sim p(z), x \sim p(x \mid z^*)` and :math:`z_l \sim q(z \mid x)`.

    Entries that are missing (NaN) in the rows are missing in the simulated data as well.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> found = simulated(model, Amortized(model.posterior), {"x": torch.zeros(4, 5)}, 4, 7)
        >>> found.data().shape, found.values["z"].shape, found.densities().shape
        (torch.Size([4, 5]), torch.Size([8, 4, 2]), torch.Size([8, 4, 2]))

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`.
        rows: Rows of real data by name, in the place of which data are drawn.
        n: The number of rows, two or more.
        draws: The number :math:`L` of draws of the guide.
        vectorized: Whether the guide draws them at once.

    Raises:
        ValueError: As :func:`~ppl_vae.weights.log_weights`, and if the model takes no ``n``, or
            data cannot be drawn in the place of an observed site.
    """
    batch, latent = in_place(model, rows, n)

    # Values are looked at before Pyro does, which would print them all.
    with pyro.validation_enabled(False):
        weights = log_weights(model, guide, batch)
    weights.check_local()
    for name, site in weights.sites.items():
        if not site.value.isfinite().all():
            raise ValueError(
                f"The guide draws values of site {name!r} that are NaN or infinite, for data that "
                "the model draws; bound the scales of its posterior, or train it longer."
            )
    with pyro.validation_enabled(True):
        log_weights(model, guide, batch)

    depth, K = plate_depth(model, guide, batch), draws if vectorized else 1
    parts = [draw_guide(guide, batch, K, depth=depth)[0] for _ in range(draws // K)]
    values, places = {}, {}

    for name, site in weights.sites.items():
        z = torch.cat([part[name] for part in parts])
        truth = latent[name][0]
        truth = truth.reshape(1, *[1] * (z.ndim - 1 - truth.ndim), *truth.shape)
        values[name] = torch.cat([truth.expand(1, *z.shape[1:]), z])
        spread = site.spread(torch.zeros(1, n))
        places[name] = spread.shape.index(n, 1) - spread.ndim

    return Simulated(model, batch, values, places, tuple(weights.observed), n)
