r"""How the latent variables are used."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ...evaluation.annealing import rate_distortion
from ...evaluation.latent import latent_use
from .task import Task

__all__ = ["latent"]

ROWS = 2000
r"""The number of data unless it is told: time grows with its square."""

CURVE = 100
r"""The number of data that the curve of rate and distortion is of, at most."""


def latent(task: Task, draws: int = 4, steps: int = 500, chains: int = 16) -> dict[str, Any]:
    r"""Tells which latent dimensions are used, what they hold, and if codes follow the prior.

    Arguments:
        task: The run, and its data; 2000 of them, drawn at random, unless a limit is given.
        draws: The number of draws of the guide for each datum.
        steps: The number of steps of annealing behind the curve of rate and distortion, which is
            of 100 data at most; zero leaves it out.
        chains: The number of its chains.
    """
    task.limit = ROWS if task.limit is None else task.limit
    run, batch = task.run, task.batch
    rows = {name: t for name, t in batch.items() if name != "index"}
    labels = run.data[task.split].labels
    labels = None if labels is None else labels[batch["index"].cpu()]
    found = latent_use(
        run.model,
        run.guide,
        rows,
        labels=labels,
        draws=draws,
        memory=task.memory,
        **task.options(),
    )
    # Of the raw data.
    volumes = run.data.log_volumes(batch["x"]).cpu()
    found = replace(found, distortion=found.distortion - volumes.to(found.distortion))
    summary, arrays = found.summary(), found.arrays()

    if steps:
        few = {name: t[:CURVE] for name, t in rows.items()}
        curve = rate_distortion(
            run.model,
            run.guide,
            few,
            steps=steps,
            chains=chains,
            seed=task.seed,
            memory=task.memory,
        )
        distortion = curve.distortion - volumes[:CURVE].to(curve.distortion)
        curve = replace(curve, distortion=distortion)
        summary["rate_distortion"] = curve.summary()
        arrays |= {f"curve_{name}": array for name, array in curve.arrays().items()}

    return task.filed({**summary, "particles": draws}, arrays)
