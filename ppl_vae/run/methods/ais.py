r"""The evidence by annealed importance sampling."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...evaluation.annealing import annealed_evidence
from ...evaluation.annealing.path import Start
from ...evaluation.annealing.schedule import Spacing
from ..evaluations import dimensions
from .task import Task

__all__ = ["ais"]


def ais(
    task: Task,
    steps: int = 1000,
    chains: int = 16,
    leapfrog: int = 2,
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
    summary, arrays = found.summary(dimensions(batch["x"])), found.arrays()

    if (above := _above(task, arrays["log_evidence"])) is not None:
        summary["above_importance"] = above
        if summary["level"] == "good" and _behind(above):
            summary["level"] = "fair"
        summary["verdict"] += f" {_told(above)}"
    return task.filed(summary, arrays, kept)


def _above(task: Task, annealed: np.ndarray) -> dict[str, Any] | None:
    # Both are lower bounds on average: what one is above the other by, the other falls short by.
    found = (_beside(task, record, annealed) for record in task.run.evidence)
    return max(filter(None, found), key=lambda d: (d["n"], d["particles"]), default=None)


def _beside(task: Task, record: dict[str, Any], annealed: np.ndarray) -> dict[str, Any] | None:
    same = "importance", task.split, task.run.weights
    if (record["method"], record["split"], record.get("weights")) != same:
        return None

    arrays = task.run.arrays_of(record)
    if arrays is None:
        return None

    _, mine, theirs = np.intersect1d(
        task.batch["index"].cpu().numpy(), arrays["index"], return_indices=True
    )
    differences = annealed[mine] - arrays["log_evidence"][theirs]
    if len(mine) < 2 or not np.isfinite(differences).all():
        return None
    return {
        "estimator": record["estimator"],
        "particles": record["particles"],
        "n": len(mine),
        "difference": float(differences.mean()),
        "standard_error": float(differences.std(ddof=1) / len(mine) ** 0.5),
    }


def _behind(above: dict[str, Any]) -> bool:
    return above["difference"] < -2 * above["standard_error"]


def _told(above: dict[str, Any]) -> str:
    apart, error = above["difference"], above["standard_error"]
    other = f"{above['estimator']} with {above['particles']} particles"
    side = "above" if apart >= 0 else "below"
    told = (
        f"On {above['n']} of the same data it is {abs(apart):.2f} ± {error:.2f} nats {side} {other}"
    )
    if _behind(above):
        return f"{told}, the better bound here: chains need more steps."
    return f"{told}."
