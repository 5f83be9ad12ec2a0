r"""Data that a model draws in the place of real ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..weights import Program, distributions, dream

__all__ = ["in_place", "repeated"]


def repeated(
    given: Mapping[str, Any], n: int, start: int, size: int, home: torch.device | None
) -> dict[str, Any]:
    r"""Rows of a batch, used over again where there are too few, on the device of the programs.

    Example:
        >>> repeated({"x": torch.arange(3)}, 3, 2, 4, None)["x"]
        tensor([2, 0, 1, 2])

    Arguments:
        given: The batch by name.
        n: The number of its rows.
        start: The number of the first row.
        size: The number of rows to return.
        home: The device of the programs, if they have one.
    """
    at = (start + torch.arange(size)) % n
    return {
        name: t[at.to(t.device)].to(home or t.device)
        if isinstance(t, Tensor) and t.ndim > 0 and len(t) == n
        else t
        for name, t in given.items()
    }


def in_place(
    model: Program, rows: Mapping[str, Any], n: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    r"""Draws data in the place of real ones, with their missing entries (NaN).

    Arguments:
        model: The program :math:`p(x, z)`, which takes the number of data as ``n``.
        rows: Rows of real data by name, :math:`n` of them.
        n: The number of data.

    Returns:
        As :func:`~ppl_vae.weights.dream`.

    Raises:
        ValueError: If the model takes no ``n``, or data cannot be drawn in the place of an observed
            site.
    """
    batch, latent = dream(model, rows, n)
    seen = [name for name, (_, _, observed) in distributions(model, batch).items() if observed]

    for name in seen:
        if name not in batch:
            raise ValueError(
                f"The model observes site {name!r}, but takes no argument of that name, so data "
                "cannot be drawn in its place; name the argument as the site."
            )
        if len(batch[name]) != n:
            raise ValueError(
                f"The model draws site {name!r} with shape {tuple(batch[name].shape)}, but the "
                f"rows of data, here {n}, come first; put inner plates' elements into the event."
            )

        real = rows[name]
        if real.is_floating_point() and real.isnan().any():
            batch[name] = torch.where(real.isnan(), torch.nan, batch[name].to(real))

    return batch, latent
