r"""The rows that are compared: held-out data, other real data, and draws of the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyro
import torch
from torch import Tensor

from ...modules import modules_of, preserving
from ...weights import Program, simulate
from ...weights.simulate import distributions
from ...weights.traces import by_name

__all__ = ["Sides", "sides"]

BLOCK = 500
r"""The number of data that are drawn at once."""
FEWEST = 20
r"""The number of rows of a side below which nothing can be said."""
FITTED = 10_000
r"""The number of rows that features are fitted to at most."""

Given = Mapping[str, Any] | Tensor


@dataclass(frozen=True)
class Sides:
    r"""Matrices of rows, all of one width, on the CPU."""

    held: Tensor
    r"""Held-out data, with shape ``(m, D)``."""
    other: Tensor
    r"""Other real data, with shape ``(m, D)``."""
    drawn: Tensor
    r"""Draws of the model, with shape ``(m, D)``."""
    apart: Tensor
    r"""Real data that are compared with nothing, with shape ``(r, D)``: features are of these."""
    labels: Tensor | None
    r"""Their classes, with shape ``(r,)``."""
    rows: Tensor
    r"""Which of the batch the held-out data are, with shape ``(m,)``."""
    sites: tuple[str, ...]
    r"""The observed sites that the columns are of."""


def sides(
    model: Program,
    batch: Given,
    reference: Given | None,
    labels: Tensor | None,
    *,
    draws: int | None,
    limit: int,
    seed: int,
) -> Sides:
    r"""Shares rows out at random, and draws as many from the model, under the current seed.

    Arguments:
        model: The program.
        batch: The held-out data.
        reference: Other real data, or None to take them from the batch.
        labels: The classes of the reference, or of the batch if there is none.
        draws: The number :math:`m` of rows of each side, or None for as many as there can be.
        limit: The largest number that is taken by itself.
        seed: The seed by which rows are shared out.

    Raises:
        ValueError: If there are too few rows, a value is missing, or the model observes nothing
            that it takes.
    """
    held = by_name(model, batch)
    real = held if reference is None else by_name(model, reference)
    sites = _observed(model, held)
    n, r = (len(rows[sites[0]]) for rows in (held, real))
    m = _size(n, None if reference is None else r, draws, limit)
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(n, generator=generator)
    chosen, rows = rows[:m], rows[m:]
    rows = rows if reference is None else torch.randperm(r, generator=generator)
    apart = rows[m : m + FITTED]
    # What the model is given besides comes from the reference too, where that has it.
    given = {k: v for k, v in {**held, **real}.items() if k not in sites}
    borrowed = [k for k in given if k not in real]
    places = {k: chosen if k in borrowed else rows[:m] for k in given}
    return Sides(
        held=_matrix(held, sites, chosen),
        other=_matrix(real, sites, rows[:m]),
        drawn=_draw(model, given, places, sites, m),
        apart=_matrix(real, sites, apart),
        labels=None if labels is None else _labels(labels, r)[apart],
        rows=chosen,
        sites=sites,
    )


def _observed(model: Program, given: Mapping[str, Any]) -> tuple[str, ...]:
    few = {k: v[:2] if _has_rows(v) else v for k, v in given.items()}

    with preserving(model):
        seen = [k for k, (_, _, yes) in distributions(model, _home(model, few)).items() if yes]

    sites = tuple(k for k in seen if k in given)
    if not sites:
        raise ValueError(
            f"Samples are compared by sites that the model observes and takes by the same name; it "
            f"observes {seen} and was given {list(given)}."
        )
    return sites


def _size(n: int, r: int | None, draws: int | None, limit: int) -> int:
    # Of the batch alone, a third each is held out, real, and for the features.
    most = n // 3 if r is None else min(n, r // 2)
    m = min(most, limit) if draws is None else draws

    if m < FEWEST:
        raise ValueError(
            f"Samples are compared with {FEWEST} data or more; got {m}, from {n} held-out rows"
            f"{', a third of which is compared' if r is None else f' and {r} others'}."
        )
    if m > most:
        raise ValueError(
            f"For {m} draws there are too few data: {m} held-out rows and {2 * m} others are "
            f"needed, or {3 * m} in all; got {n}{'' if r is None else f' and {r}'}."
        )
    return m


def _draw(
    model: Program,
    given: Mapping[str, Any],
    places: Mapping[str, Tensor],
    sites: tuple[str, ...],
    m: int,
) -> Tensor:
    parts = []

    for start in range(0, m, BLOCK):
        stop = min(start + BLOCK, m)
        part = {
            k: v[places[k][start:stop].to(v.device)] if _has_rows(v) else v
            for k, v in given.items()
        }
        with pyro.validation_enabled(False):
            drawn = simulate(model, stop - start, _home(model, part))
        parts.append(torch.cat([_flat(drawn[k]) for k in sites], 1))

    return torch.cat(parts)


def _matrix(rows: Mapping[str, Any], sites: tuple[str, ...], chosen: Tensor) -> Tensor:
    x = torch.cat([_flat(rows[k][chosen.to(rows[k].device)]) for k in sites], 1)

    if not x.isfinite().all():
        raise ValueError(
            "The data hold NaN or infinite values, and samples are complete; compare them with "
            "rows in which nothing is missing."
        )
    return x


def _flat(x: Tensor) -> Tensor:
    return x.detach().cpu().double().reshape(len(x), -1)


def _labels(labels: Any, n: int) -> Tensor:
    found = torch.as_tensor(labels).detach().cpu()

    if found.shape != (n,):
        raise ValueError(
            f"Labels are one for each row, with shape ({n},), of the reference, or of the batch if "
            f"there is none; got {tuple(found.shape)}."
        )
    return found


def _has_rows(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim > 0


def _home(model: Program, given: Mapping[str, Any]) -> dict[str, Any]:
    devices = {p.device for module in modules_of(model) for p in module.parameters()}
    home = next(iter(devices)) if len(devices) == 1 else None
    return {k: v.to(home) if home and isinstance(v, Tensor) else v for k, v in given.items()}
