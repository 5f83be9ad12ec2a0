r"""What the guide costs, split into encoder and family."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...evaluation.gap import inference_gap
from .task import Task

__all__ = ["gap"]


def gap(
    task: Task, particles: int = 1000, refine: int = 200, steps: int = 1000, chains: int = 16
) -> dict[str, Any]:
    r"""Splits log p(x) - ELBO into what the encoder and what the posterior's family cost.

    Arguments:
        task: The run, and its data.
        particles: The number of draws that ELBOs are means of.
        refine: The number of steps by which the posterior of each datum is refined.
        steps: The number of steps of annealing; zero leaves it out.
        chains: The number of its chains.
    """
    run, batch = task.run, task.batch
    found = inference_gap(
        run.model,
        run.guide,
        batch,
        particles=particles,
        refinement=refine,
        steps=steps,
        chains=chains,
        memory=task.memory,
        **task.options(),
    )
    # Of the raw data.
    volumes = run.data.log_volumes(batch["x"]).cpu()
    names = ("elbo", "refined", "log_evidence", "halfway")
    found = replace(found, **{k: getattr(found, k).double() + volumes for k in names})
    return task.filed(
        {**found.summary(), "particles": particles, "refine": refine, "steps": steps},
        found.arrays(),
    )
