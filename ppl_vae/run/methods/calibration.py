r"""Whether the guide is the posterior of its model."""

from __future__ import annotations

from typing import Any

from ...evaluation.calibration import calibration as calibrate
from .task import Task

__all__ = ["calibration"]


def calibration(task: Task, simulations: int = 1000, draws: int = 63) -> dict[str, Any]:
    r"""Tests whether the guide is the model's posterior, on data simulated by the model.

    Arguments:
        task: The run, and its data.
        simulations: The number of simulations.
        draws: The number of draws of the guide for each.
    """
    run = task.run
    found = calibrate(
        run.model, run.guide, task.batch, simulations, draws, **task.options(simulations)
    )
    return task.filed({**found.summary(), "particles": draws, "n": simulations}, found.arrays())
