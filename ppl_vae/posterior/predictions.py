r"""Draws of the model, given its latent variables or not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pyro
import torch
from torch import Tensor

from ..weights import Program, simulate
from ..weights.simulate import distributions
from .particles import rows_first, rows_last

__all__ = ["predictions"]


def predictions(
    model: Program,
    given: Mapping[str, Any],
    n: int,
    draws: int,
    latent: Mapping[str, Tensor] | None = None,
    *,
    dims: Mapping[str, int],
    budget: int,
) -> dict[str, Tensor]:
    r"""Draws all sites of the model for each datum, under the current seed.

    Example:
        >>> from ppl_vae.models import Linear
        >>> drawn = predictions(Linear(3, 2), {}, 4, 5, dims={"z": 1, "x": 1}, budget=100)
        >>> drawn["x"].shape
        torch.Size([5, 4, 3])

    Arguments:
        model: The program :math:`p(x, z)`, which takes the number of data as ``n``.
        given: What else it is called with, such as exposures, for :math:`n` data.
        n: The number of data.
        draws: The number of draws for each datum.
        latent: The values of the latent sites, with shape ``(draws, n, *plates, *event_shape)``;
            None to draw them from the prior.
        dims: The number of dimensions of an event of each site.
        budget: The number of data that are drawn at once.

    Returns:
        By site, with shape ``(draws, n, *plates, *event_shape)``, on the CPU.
    """
    parts: list[dict[str, Tensor]] = []
    step = max(budget // n, 1)

    with pyro.validation_enabled(False):
        for start in range(0, draws, step):
            count = min(step, draws - start)
            rows = {k: _repeated(v, count, n) for k, v in given.items()}
            if latent is None:
                values = simulate(model, count * n, rows)
            else:
                held = {k: v[start : start + count].flatten(0, 1) for k, v in latent.items()}
                held = {k: rows_last(v, dims[k]).to(_device(model)) for k, v in held.items()}
                sites = distributions(model, {"n": count * n, **rows}, given=held)
                values = {name: value for name, (_, value, _) in sites.items()}
            parts.append({k: _split(v, count, dims[k]) for k, v in values.items() if k in dims})

    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _repeated(value: Any, count: int, n: int) -> Any:
    if not isinstance(value, Tensor) or value.ndim == 0 or len(value) != n:
        return value

    return value.repeat(count, *[1] * (value.ndim - 1))


def _split(value: Tensor, count: int, event: int) -> Tensor:
    return rows_first(value.cpu()[None], event)[0].unflatten(0, (count, -1))


def _device(model: Any) -> torch.device | None:
    parameters = model.parameters() if isinstance(model, torch.nn.Module) else ()
    return next((p.device for p in parameters), None)
