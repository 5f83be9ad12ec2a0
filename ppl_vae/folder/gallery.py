r"""The figures of a run."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .. import plots
from ..predict import movable

__all__ = ["figures", "pixel_range"]

SHOWN = 64
r"""How many samples are drawn."""


def figures(run: Any, *, split: str = "test", seed: int = 0) -> dict[str, Any]:
    r"""Draws all figures that the run has what they need for.

    Arguments:
        run: The :class:`~ppl_vae.run.Run`.
        split: The split of the data that is shown; figures of data are left out where it is
            absent.
        seed: The seed of which data are shown, and of all draws.

    Returns:
        The figures by name, in the order of the report.
    """
    found: dict[str, Any] = {}
    pixels = pixel_range(run)

    if run.history:
        found["learning_curves"] = plots.learning_curves(run.history)

    draws, shown = run.sample(SHOWN, seed=seed)
    batch = _batch(run, split)

    if batch is not None:
        some = run.batch(split, 10, seed)
        means = run.reconstruct(some["x"], exposure=some.get("exposure"), seed=seed)
        found["reconstructions"] = plots.reconstructions(some["x"], means, **pixels)

    found["samples"] = plots.samples(shown, SHOWN, draws=draws, **pixels)

    if batch is not None:
        found |= _latent(run, batch, split, pixels)

    evidence = run.evidence_per_datum(split)

    if evidence is not None:
        found["evidence"] = plots.evidence_histogram(evidence["log_evidence"], evidence.get("elbo"))

    # Of each way of evaluation the last.
    for record in {r["method"]: r for r in run.evidence if r["split"] == split}.values():
        arrays = run.arrays_of(record)
        found |= {} if arrays is None else plots.judgements(record, arrays)

    return found


def pixel_range(run: Any) -> dict[str, Any]:
    r"""The range of the data's values, for pictures: from 0 where no value is negative."""
    # Scaled data have no natural range; counts and pixels start at 0.
    return {} if run.data.scaling is not None else {"vmin": 0.0, "vmax": run.data.maximum}


def _batch(run: Any, split: str) -> Tensor | None:
    try:
        batch: Tensor = run.batch(split, 2000)
    except ValueError:
        # The rows are absent; what needs none is drawn all the same.
        return None

    return batch


def _latent(run: Any, batch: Any, split: str, pixels: dict[str, float]) -> dict[str, Any]:
    codes = run.encode(batch["x"])
    name, code = next(iter(codes.items()))
    z = code["mean"].flatten(1)
    labels = run.data[split].labels
    labels = None if labels is None else labels[batch["index"].cpu()]
    found = {"latent_space": plots.latent_space(z, labels, run.data.class_names)}

    if len(codes) == 1 and code["mean"].ndim == 2 and name in movable(run.guide, batch["x"]):
        found["traversal"] = _traversal(run, name, code["mean"], pixels)

    return found


def _traversal(
    run: Any, name: str, z: Tensor, pixels: dict[str, float], rows: int = 8, columns: int = 9
) -> Any:
    # The dimensions that differ most between data, each from its 2nd to its 98th percentile.
    dims = z.var(0).argsort(descending=True)[:rows].sort().values
    levels = torch.linspace(0.02, 0.98, columns, device=z.device)
    base = z.mean(0)
    grid = base.expand(len(dims), columns, -1).clone()

    for row, dim in enumerate(dims):
        grid[row, :, dim] = z[:, dim].quantile(levels)

    images = run.decode({name: grid.flatten(0, 1)}).unflatten(0, (len(dims), columns))
    names = [f"{name}[{dim}]" for dim in dims.tolist()]
    label = "percentile of the codes"
    values = (100 * levels).round().tolist()
    return plots.traversal(images, values, names, value_label=label, **pixels)
