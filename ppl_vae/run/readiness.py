r"""Runs that cannot be ranked yet: what each lacks, and the command that supplies it."""

from __future__ import annotations

import math
import shlex
from collections.abc import Sequence
from typing import Any

from .records import Records

__all__ = ["lack", "refusal", "unready"]

NUMBERS = (
    *("log_evidence", "standard_error", "monte_carlo_error", "elbo", "reconstruction", "kl"),
    *("bits_per_dim", "seconds"),
)
r"""What a run that was evaluated has, in a comparison."""

UNSCORED = (
    "has a guide without a density, hence no importance weighting to be ranked by; rank runs by "
    "annealing (evaluate and compare them with --method ais)"
)
NAMES = {"importance": "importance weighting", "ais": "annealing"}


def lack(run: Records, split: str, method: str = "importance") -> str | None:
    r"""What a run lacks to be ranked, with the command if there is one; None if it lacks nothing.

    Arguments:
        run: The run.
        split: The split that it should have been evaluated on.
        method: The method that it should have been evaluated by.
    """
    if any(r["split"] == split and r["method"] == method for r in run.evidence):
        return None

    if run.unscored and method == "importance":
        return UNSCORED

    folder = shlex.quote(str(run.dir))
    evaluate = f"ppl-vae evaluate {folder} --split {split}"
    evaluate += "" if method == "importance" else f" --method {method}"

    if not (run.dir / "checkpoints" / "best.safetensors").is_file():
        # It was stopped before its first epoch was over.
        return f"was not trained yet; call ppl-vae resume {folder}, then {evaluate}"

    otherwise = any(r["split"] == split and r["method"] in NAMES for r in run.evidence)
    by = f" by {NAMES[method]}" if otherwise else ""
    return f"was not evaluated on {split}{by}; call {evaluate}"


def unready(run: Records, split: str, method: str = "importance") -> dict[str, Any] | None:
    r"""A run in a comparison, without numbers, and why; None if it can be ranked."""
    missing = lack(run, split, method)

    if missing is None:
        return None

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
