r"""Runs that cannot be ranked yet: what each lacks, and the command that supplies it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from inspect import signature
from typing import Any

from .methods import METHODS
from .records import Records

__all__ = ["RANKED_BY", "lack", "refusal", "unready"]

NUMBERS = (
    *("log_evidence", "standard_error", "monte_carlo_error", "elbo", "reconstruction", "kl"),
    *("bits_per_dim", "seconds"),
)
r"""What a run that was evaluated has, in a comparison."""

UNSCORED = (
    "has a guide without a density, hence no importance weighting to be ranked by; rank runs by "
    "annealing (evaluate and compare them with --method ais)"
)
RANKED_BY = {"importance": "importance weighting", "ais": "annealing"}
r"""The methods that runs are ranked by, in words."""


def lack(
    run: Records, split: str, method: str = "importance", setting: Mapping[str, Any] | None = None
) -> str | None:
    r"""What a run lacks to be ranked, with the command if there is one; None if it lacks nothing.

    Arguments:
        run: The run.
        split: The split that it should have been evaluated on.
        method: The method that it should have been evaluated by.
        setting: How others were evaluated, by the names of a record's fields.
    """
    if any(r["split"] == split and r["method"] == method for r in run.evidence):
        return None

    if run.unscored and method == "importance":
        return UNSCORED

    folder = shlex.quote(str(run.dir))
    alike = _options(method, setting or {}, run.data_summary.get("counts", {}).get(split, 0))
    evaluate = " ".join([f"ppl-vae evaluate {folder} --split {split}", *alike])

    if not (run.dir / "checkpoints" / "best.safetensors").is_file():
        # It was stopped before its first epoch was over.
        return f"was not trained yet; call ppl-vae resume {folder}, then {evaluate}"

    otherwise = any(r["split"] == split and r["method"] in RANKED_BY for r in run.evidence)
    by = f" by {RANKED_BY[method]}" if otherwise else ""
    return f"was not evaluated on {split}{by}; call {evaluate}"


def _options(method: str, setting: Mapping[str, Any], size: int) -> Iterator[str]:
    r"""What the command line needs beside the defaults to evaluate a run as others were."""
    if method != "importance":
        yield f"--method {method}"
    if (n := setting.get("n")) is not None and n < size:
        yield f"--limit {n}"
    if setting.get("weights", "best") != "best":
        yield f"--weights {setting['weights']}"
    if setting.get("seed"):
        # It chose the rows.
        yield f"--seed {setting['seed']}"

    told = {**setting, "chains": setting.get("particles")}
    for name, parameter in signature(METHODS[method]).parameters.items():
        if told.get(name) not in (None, parameter.default):
            yield f"--{name} {told[name]}"


def unready(run: Records, missing: str | None, split: str) -> dict[str, Any]:
    r"""A run in a comparison, without numbers, and why.

    Arguments:
        run: The run.
        missing: What :func:`lack` tells.
        split: The split that it should have been evaluated on.
    """
    return {
        **dict.fromkeys(NUMBERS, math.nan),
        "khat_share": None,
        "dir": run.dir,
        "name": str(run.dir),
        "split": split,
        "runs": 1,
        "standard_error_kind": "over data",
        "ready": False,
        "comparable": False,
        "reason": f"it {missing}",
    }


def refusal(runs: Sequence[Records], split: str, method: str = "importance") -> str:
    r"""Why none of several runs can be ranked, in a sentence or two."""
    more = len(runs) - 1
    rest = f" Nor can the {more} other run{'s' * (more > 1)} be ranked yet." if more else ""
    missing = lack(runs[0], split, method)
    first = "" if missing == UNSCORED else " first"
    return f"The run {runs[0].dir} {missing}{first}.{rest}"
