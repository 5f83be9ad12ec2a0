r"""The evidence by importance weighting."""

from __future__ import annotations

from typing import Any, Literal

import torch

from ...evaluation import guide_misfit, log_evidence
from ...evaluation import refine as refined_guide
from ...evaluation.judgement import judge
from ..evaluations import dimensions
from .task import Task

__all__ = ["importance"]


def importance(
    task: Task,
    particles: int = 5000,
    *,
    defensive: float = 0.0,
    draws: Literal["random", "sobol"] = "random",
    refine: int = 0,
    compile: Literal["auto", "off", "fx", "inductor", "cudagraph"] = "auto",
    vectorized: bool = True,
) -> dict[str, Any]:
    r"""Estimates log p(x) by importance weighting: a lower bound on average.

    Arguments:
        task: The run, and its data.
        particles: The number of draws for each datum.
        defensive: The share of them that come from the prior.
        draws: random, or sobol for points that fill space more evenly.
        refine: The number of steps by which the guide is refined for each datum first.
        compile: How blocks are run.
        vectorized: Whether draws are made at once.
    """
    run, batch, guide = task.run, task.batch, task.run.guide
    given: dict[str, Any] = {"compile": compile, "vectorized": vectorized}
    rows, kept = batch, None

    if refine:
        guide = refined_guide(run.model, guide, batch, refine, seed=task.seed)
        rows = {**batch, "index": torch.arange(len(batch["index"]), device=run.device)}
    else:
        kept = task.kept(particles=particles, defensive=defensive, draws=draws, **given)

    evidence = log_evidence(
        run.model,
        guide,
        rows,
        particles,
        defensive=defensive,
        draws=draws,
        memory=task.memory,
        kept=kept,
        **given,
        **task.options(),
    )
    # Of the raw data.
    evidence = evidence.shifted(run.data.log_volumes(batch["x"]))
    summary = evidence.summary(dimensions(batch["x"]), population=len(run.data[task.split]))

    misfit = guide_misfit(
        run.model,
        guide,
        rows,
        min(particles, 1000),
        seed=task.seed,
        memory=task.memory,
        vectorized=vectorized,
    )
    arrays = evidence.arrays()
    summary["misfit"] = None if misfit is None else misfit.summary()

    if refine:
        # Those of the run's own guide are others.
        for found in (summary, arrays):
            found["refined_elbo"] = found.pop("elbo")
            del found["reconstruction"], found["kl"]
        summary["estimator"] += f", guide refined by {refine} steps for each datum"
    # The misfit and the split are known here alone.
    summary["level"], summary["verdict"] = judge({**summary, "split": task.split})
    return task.filed(summary, arrays, kept)
