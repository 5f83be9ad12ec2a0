r"""Groups of seeds, ranked where log-likelihoods may be ranked."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..run import Run, load
from ..run.readiness import RANKED_BY, lack, refusal, unready
from .configuration import configuration, runs_in, tell_apart, variant
from .paired import paired
from .record import chosen, facts, per_datum, shared
from .table import is_ready

__all__ = ["NotEvaluated", "groups", "illustrate"]

COMPARED = (
    "split",
    "n",
    "data",
    "protocol",
    "preprocessing",
    "change_of_volume",
    "base_measure",
    "estimator",
    "particles",
    "steps",
    "leapfrog",
    "start",
    "spacing",
    "weights",
    "rows",
)

LEVELS = "", "good", "fair", "poor"
r"""What verdicts say of a record, the worst last; one of an older version says nothing."""

ESTIMATED = "log_evidence", "standard_error", "monte_carlo_error"
r"""The numbers that every evaluation has, if they are finite."""

WORDS = {
    "n": "it was evaluated on {} data, the others on {}",
    "particles": "it was evaluated with {} particles or chains, the others with {}",
    "steps": "it was annealed by {} steps, the others by {}",
    "leapfrog": "it was annealed by {} leapfrog steps each, the others by {}",
    "rows": "it was evaluated on other rows of the split",
    "data": "its data are others (hash {}, not {})",
    "weights": "its {} weights were evaluated, not the {} ones",
}
r"""What tells a difference in other words than ``its NAME is A, not B``."""


class NotEvaluated(ValueError):
    r"""No run was evaluated on the split, so that none can be ranked."""


def groups(
    folders: Sequence[str | Path], *, split: str = "test", method: str = "importance"
) -> list[dict[str, Any]]:
    r"""Groups runs that differ in the seed alone, best log p(x) first.

    Runs are compared by an evaluation that all share, on the same data if there is one. A group of
    one run has the standard error over the data, one of several runs that over the seeds. Groups
    whose data, split, protocol, preprocessing, base measure, estimator, particles or steps are not
    those of most are marked as not comparable, with the reason. So are runs that were not evaluated
    yet: they come last, each by itself, not ``ready`` and without numbers (NaN).

    Those that are comparable have under ``paired`` what :func:`~ppl_vae.compare.paired` tells of
    them against the best; the best itself has None, and so has a group whose numbers per datum, or
    those of the best, are not there.

    Arguments:
        folders: Folders of runs, or folders that hold them.
        split: The split that they were evaluated on.
        method: ``"importance"`` weighting, or annealing, ``"ais"``.

    Raises:
        NotEvaluated: If no run was evaluated on the split.
        ValueError: If a folder holds no run, or runs cannot be ranked by the method.
    """
    if method not in RANKED_BY:
        raise ValueError(f"Runs are ranked by {' or '.join(RANKED_BY)}, got {method!r}.")

    found: dict[Any, dict[int, dict[str, Any]]] = {}
    runs = runs_in(folders)

    late = [run for run in runs.values() if lack(run, split, method)]
    ready = [run for run in runs.values() if run not in late]
    if late and not ready:
        raise NotEvaluated(refusal(late, split, method))

    setting = shared(ready, split, method)
    # What was not evaluated is to be, as the first of the others was.
    usual = chosen(ready[0], split, setting, method) if late else None

    for run in ready:
        row = _row(run, chosen(run, split, setting, method))
        # Runs that were evaluated differently are no group, whatever their configuration.
        key = (configuration(run), *(row.get(name) for name in COMPARED))
        found.setdefault(key, {}).setdefault(run.config["seed"], row)

    # A copy of a run is no further seed.
    rows = [_group(list(members.values())) for members in found.values()]
    tell_apart(rows)
    _judge(rows)
    rows.sort(key=_order)
    _pair(rows)
    return [*rows, *(unready(run, lack(run, split, method, usual), split) for run in late)]


def illustrate(rows: Sequence[dict[str, Any]]) -> None:
    r"""Adds the figures of each evaluated group, those of its first run, for a report."""
    for row in filter(is_ready, rows):
        row["figures"] = load(row["dir"], device="cpu").figures()


def _order(row: dict[str, Any]) -> Any:
    value = row["log_evidence"]
    return not row["comparable"], math.isnan(value), -value


def _row(run: Run, record: dict[str, Any]) -> dict[str, Any]:
    # What is not finite is null in a file.
    told = {k: math.nan if record.get(k) is None else record[k] for k in ESTIMATED}
    return {
        **record,
        **told,
        **facts(run.data_summary),
        "khat_share": (record.get("khat") or {}).get("share_over_0.7"),
        "dir": run.dir,
        "name": variant(run.dir),
        "values": {run.config["seed"]: per_datum(run, record)},
        "ready": True,
        **_costs(run.provenance),
    }


def _costs(provenance: dict[str, Any]) -> dict[str, Any]:
    seconds, parameters = provenance.get("seconds", math.nan), provenance.get("parameters")
    before = provenance.get("parent")

    if before:
        # A prior alone was fitted; the rest of the model was trained, and counts, as well.
        seconds += before["seconds"]
        parameters = None if parameters is None else parameters + before["kept"]

    return {"seconds": seconds, "parameters": parameters}


def _group(members: list[dict[str, Any]]) -> dict[str, Any]:
    first = {**members[0], "dirs": [m["dir"] for m in members]}
    if len(members) == 1:
        return {**first, "runs": 1, "standard_error_kind": "over data"}

    names = ("log_evidence", "elbo", "kl", "bits_per_dim", "bias", "seconds")
    told = [name for name in names if any(m.get(name) is not None for m in members)]
    # A mean of some is none of the group.
    means = {
        name: statistics.fmean(m[name] for m in members)
        if all(m.get(name) is not None for m in members)
        else None
        for name in told
    }
    spread = float(np.std([m["log_evidence"] for m in members], ddof=1)) / len(members) ** 0.5
    shares = [m["khat_share"] for m in members if m["khat_share"] is not None]
    return {
        **first,
        **means,
        "values": {seed: v for m in members for seed, v in m["values"].items()},
        "khat_share": statistics.fmean(shares) if shares else None,
        "level": max((m.get("level", "") for m in members), key=LEVELS.index),
        "runs": len(members),
        "monte_carlo_error": math.hypot(*(m["monte_carlo_error"] for m in members)) / len(members),
        "standard_error": spread,
        "standard_error_kind": "over seeds",
    }


def _pair(rows: list[dict[str, Any]]) -> None:
    # Numbers per datum are for this alone.
    values = [row.pop("values") for row in rows]

    for i, (row, mine) in enumerate(zip(rows, values, strict=True)):
        told = [*mine.values(), *values[0].values()]
        there = all(v is not None for v in told) and len({np.shape(v) for v in told}) == 1
        alike = i > 0 and row["comparable"] and there
        row["paired"] = paired(mine, values[0]).summary() if alike else None


def _judge(rows: list[dict[str, Any]]) -> None:
    keys = [tuple(row.get(name) for name in COMPARED) for row in rows]
    usual = max(keys, key=keys.count)

    for row, key in zip(rows, keys, strict=True):
        differ = [name for name, a, b in zip(COMPARED, key, usual, strict=True) if a != b]
        row["comparable"] = not differ
        row["reason"] = "; ".join(
            WORDS.get(name, f"its {name.replace('_', ' ')} is {{}}, not {{}}").format(
                _short(row.get(name)), _short(usual[i])
            )
            for i, name in enumerate(COMPARED)
            if name in differ
        )


def _short(value: Any) -> str:
    # A hash is told by its beginning, a sentence is not.
    long = isinstance(value, str) and len(value) > 40 and " " not in value
    return f"{value[:12]}..." if long else str(value)
