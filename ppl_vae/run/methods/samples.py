r"""Draws of the model against held-out data."""

from __future__ import annotations

from typing import Any

from ...evaluation.samples import sample_quality
from .task import Task

__all__ = ["samples"]


def samples(
    task: Task, draws: int = 1000, neighbours: int = 5, features: int = 16, permutations: int = 500
) -> dict[str, Any]:
    r"""Compares draws of the model with held-out data, and these with data of the training split.

    Arguments:
        task: The run, and its data.
        draws: The number of samples, held-out data and other real data, at most.
        neighbours: The number of neighbours behind precision and recall.
        features: The number of features that the Frechet distance is of.
        permutations: The number of permutations behind p-values.
    """
    run, split = task.run, task.split
    other = "train" if split != "train" and "train" in run.data else None
    reference = None if other is None else run.batch(other, 2 * draws, task.seed)
    rows = (task.batch if reference is None else reference)["index"]
    labels = run.data[other or split].labels
    found = sample_quality(
        run.model,
        _without_index(task.batch),
        reference=None if reference is None else _without_index(reference),
        labels=None if labels is None else labels[rows.cpu()],
        neighbours=neighbours,
        features=features,
        permutations=permutations,
        limit=draws,
        **task.options(3),
    )
    return task.filed({**found.summary(), "particles": found.draws}, found.arrays())


def _without_index(batch: dict[str, Any]) -> dict[str, Any]:
    return {name: t for name, t in batch.items() if name != "index"}
