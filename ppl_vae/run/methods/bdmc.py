r"""Bounds from both sides, on data that the model draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ...evaluation.annealing import sandwich
from ...evaluation.annealing.path import Start
from ...evaluation.annealing.schedule import Spacing
from .task import Task

__all__ = ["bdmc", "implied"]


def bdmc(
    task: Task,
    particles: int = 5000,
    simulations: int | None = None,
    steps: int = 1000,
    chains: int = 16,
    leapfrog: int = 2,
    start: Start = "prior",
    spacing: Spacing = "sigmoid",
) -> dict[str, Any]:
    r"""Bounds log p(x) from both sides, by bidirectional Monte Carlo on simulated data.

    Arguments:
        task: The run, and its data.
        particles: The number of particles of the importance weighting that is judged.
        simulations: The number of data to simulate; by default as many as the limit says, or 100.
        steps: The number of steps from the start to the posterior.
        chains: The number of chains of each datum, forward and backward.
        leapfrog: The number of leapfrog steps of each transition.
        start: What chains start from: prior, or guide.
        spacing: How the powers of the likelihood are spaced: sigmoid, linear or geometric.
    """
    options: dict[str, Any] = {
        "steps": steps,
        "chains": chains,
        "leapfrog": leapfrog,
        "start": start,
        "spacing": spacing,
    }
    run, n = task.run, task.simulations(simulations, 100)
    kept = task.kept(**options, simulations=n)
    batch = {name: t for name, t in task.batch.items() if name != "index"}
    found = sandwich(
        run.model,
        task.guide,
        batch,
        n,
        particles=particles,
        **options,
        memory=task.memory,
        kept=kept,
        **task.options(n),
    )
    # Of the raw data.
    volumes = run.data.log_volumes(found.data["x"]).cpu()
    shifted = {name: getattr(found, name) for name in ("lower", "upper", "importance", "cubo")}
    found = replace(found, **{k: t.double() + volumes for k, t in shifted.items() if t is not None})
    summary = found.summary()
    real = implied(summary, run.evidence, task.split)
    summary |= {"implied": real, "verdict": f"{summary['verdict']} {_told(real)}"}
    return task.filed(summary, found.arrays(), kept)


def implied(
    summary: Mapping[str, Any], records: Sequence[Mapping[str, Any]], split: str
) -> dict[str, Any] | None:
    r"""The interval of the real data's evidence that the gap of simulated data implies.

    Of annealing with the same settings, if the run has such a record.
    """
    same = ("split", "steps", "particles", "leapfrog", "start", "spacing")
    wanted = {**summary, "split": split}
    for record in reversed(records):
        if record["method"] == "ais" and all(record.get(k) == wanted.get(k) for k in same):
            low, noise = record["log_evidence"], 2 * record["monte_carlo_error"]
            apart = low - summary["lower"]
            # One datum has no standard error.
            errors = (record["standard_error"] or math.nan, summary["lower_error"] or math.nan)
            if abs(apart) > 4 * math.hypot(*errors):
                return {"n": record["n"], "apart": apart}
            high = low + summary["gap_edge"] + noise
            return {"n": record["n"], "lower": low - noise, "upper": high}

    return None


def _told(real: Mapping[str, Any] | None) -> str:
    if real is None:
        return "Anneal real data alike (--method ais) to see whether they are as easy as these."
    if "apart" in real:
        how = "less" if real["apart"] < 0 else "more"
        return (
            f"Real data ({real['n']} that were annealed alike) are {abs(real['apart']):.1f} "
            f"nats {how} likely than simulated ones, so that these bounds need not hold for them."
        )
    return (
        f"If real data behave as simulated ones, log p(x) of the {real['n']} that were annealed "
        f"alike lies between {real['lower']:.2f} and {real['upper']:.2f}."
    )
