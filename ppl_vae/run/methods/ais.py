r"""The evidence by annealed importance sampling."""

from __future__ import annotations

from typing import Any

from ...evaluation.annealing import annealed_evidence
from ...evaluation.annealing.path import Start
from ...evaluation.annealing.schedule import Spacing
from ..evaluations import dimensions
from .task import Task

__all__ = ["ais"]


def ais(
    task: Task,
    steps: int = 500,
    chains: int = 16,
    leapfrog: int = 10,
    start: Start = "prior",
    spacing: Spacing = "sigmoid",
) -> dict[str, Any]:
    r"""Estimates log p(x) by annealed importance sampling, a lower bound that needs no guide.

    Arguments:
        task: The run, and its data.
        steps: The number of steps from the start to the posterior.
        chains: The number of chains of each datum.
        leapfrog: The number of leapfrog steps of each transition.
        start: What chains start from: prior, or guide.
        spacing: How the powers of the likelihood are spaced: sigmoid, linear or geometric.
    """
    run, batch = task.run, task.batch
    options: dict[str, Any] = {
        "steps": steps,
        "chains": chains,
        "leapfrog": leapfrog,
        "start": start,
        "spacing": spacing,
    }
    kept = task.kept(**options)
    found = annealed_evidence(
        run.model, task.guide, batch, **options, memory=task.memory, kept=kept, **task.options()
    )
    # Of the raw data.
    found = found.shifted(run.data.log_volumes(batch["x"]))
    return task.filed(found.summary(dimensions(batch["x"])), found.arrays(), kept)
