r"""Where the weights of a run come from: its own training, or that of another run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..fit import judged
from .estimates import count
from .page import number

__all__ = ["fitted", "trained"]

Options = Mapping[str, Any]


def trained(provenance: Options, history: Sequence[Options]) -> dict[str, Any]:
    r"""The rows on a run that trained all of its weights."""
    return {
        "parameters": provenance.get("parameters") and count(provenance["parameters"]),
        "trained": _epochs(provenance, history),
    }


def fitted(provenance: Options, history: Sequence[Options]) -> dict[str, Any]:
    r"""The rows on a run that fitted a prior alone: what is its own, and what is another run's."""
    told = provenance.get("parent") or {}
    return {
        "fitted": f"the prior alone{_parameters(provenance.get('parameters'))}",
        "fitted for": _epochs(provenance, history),
        "kept": f"all else{_parameters(told.get('kept'))}, as {_parent(told)}",
        "hash of what was kept from": told.get("sha256"),
    }


def _parameters(n: int | None) -> str:
    return "" if n is None else f", {count(n)} parameters"


def _parent(told: Options) -> str:
    if not told:
        return "another run left it"

    epochs, before = f"{count(told.get('epochs'))} epochs", told.get("parent")
    # A parent that was fitted itself has its weights from further back.
    how = f"a prior fitted for {epochs}; all else as {_parent(before)}" if before else epochs
    file = f"{told.get('weights')}, which is of epoch {count(told.get('epoch'))}"
    return f"the run {told.get('run')} left it in {file} (trained: {how})"


def _epochs(provenance: Options, history: Sequence[Options]) -> str:
    if not history:
        return "not yet"

    scores = {row["epoch"]: judged(dict(row)) for row in history if _has_loss(row)}
    finite = {epoch: score for epoch, score in scores.items() if score == score}
    best = f", the best is epoch {max(finite, key=lambda k: finite[k]):.0f}" if finite else ""
    seconds = provenance.get("seconds")
    took = sum(row.get("seconds", 0.0) for row in history) if seconds is None else seconds
    return f"{len(history)} epochs{best}; {number(took, 0)} seconds"


def _has_loss(row: Options) -> bool:
    return "epoch" in row and any(k.endswith(("_elbo", "_loss")) for k in row)
