r"""Whether the guide is the posterior of its model."""

from __future__ import annotations

from typing import Any

from ...evaluation.calibration import calibration as calibrate
from .task import Task

__all__ = ["calibration"]


def calibration(task: Task, simulations: int | None = None, draws: int = 63) -> dict[str, Any]:
    r"""Tests whether the guide is the model's posterior, on data simulated by the model.

    Arguments:
        task: The run, and its data.
        simulations: The number of simulations; by default as many as the limit says, or 1000.
        draws: The number of draws of the guide for each.
    """
    run, n = task.run, task.simulations(simulations, 1000)
    found = calibrate(run.model, run.guide, task.batch, n, draws, **task.options(n))
    return task.filed({**found.summary(), "particles": draws, "n": n}, found.arrays())
