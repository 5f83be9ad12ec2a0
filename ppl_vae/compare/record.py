r"""Which record of a run's evaluations is compared, and what it is a record of."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..run import Run

__all__ = ["Setting", "chosen", "facts", "per_datum", "shared"]

Setting = Mapping[str, Any]
r"""How the evidence was estimated, and perhaps of which data, by the names of a record's fields."""

PLAIN = "importance weighting"
HOW = ("estimator", "particles", "steps", "leapfrog", "start", "spacing", "weights")
WHOLE = (*HOW, "n", "rows")


def shared(runs: Sequence[Run], split: str, method: str = "importance") -> Setting | None:
    r"""The setting that all runs were evaluated with, None if there is none.

    On the same data if they all were. Plain importance weighting comes before other draws, then
    many data before few, then many particles and steps.

    Arguments:
        runs: The runs.
        split: The split that they were evaluated on.
        method: ``"importance"`` or ``"ais"``.
    """
    records = [_records(run, split, method) for run in runs]

    for names in (WHOLE, HOW):
        known = [{tuple(r.get(name) for name in names) for r in found} for found in records]
        if common := set.intersection(*known) if known else set():
            return max((dict(zip(names, values, strict=True)) for values in common), key=_rank)

    return None


def chosen(
    run: Run, split: str, setting: Setting | None, method: str = "importance"
) -> dict[str, Any]:
    r"""The record of a run that is compared: of the setting if there is one, of most data.

    Records of other methods do not count.

    Arguments:
        run: The run, which was evaluated.
        split: The split.
        setting: What :func:`shared` tells.
        method: ``"importance"`` or ``"ais"``.
    """
    records = _records(run, split, method)
    wanted = (setting or {}).items()
    same = [r for r in records if all(r.get(k) == v for k, v in wanted)] or records
    return max(same, key=lambda record: (record["n"], _rank(record)))


def facts(summary: Mapping[str, Any]) -> dict[str, Any]:
    r"""What a run's data are, as far as a log-likelihood depends on it.

    Example:
        >>> told = {"hash": "ab", "name": "toy", "protocol": "", "binarization": "none"}
        >>> facts({**told, "scaling": {"shift": 1.0, "scale": 2.0}, "log_volume": -0.7})
        ... # doctest: +NORMALIZE_WHITESPACE
        {'data': 'ab', 'data_name': 'toy', 'protocol': 'none', 'preprocessing': '(x - 1) / 2',
         'change_of_volume': -0.7}

    Arguments:
        summary: What the run's folder knows of its data.
    """
    return {
        "data": summary["hash"],
        "data_name": summary["name"],
        "protocol": summary["protocol"] or summary["binarization"],
        "preprocessing": _scaling(summary.get("scaling")),
        "change_of_volume": round(summary.get("log_volume", 0.0), 6),
    }


def per_datum(run: Run, record: Mapping[str, Any]) -> np.ndarray | None:
    r"""The :math:`\log p(x)` of each datum that a record is of; None if it is not there."""
    arrays = run.arrays_of(record)
    return None if arrays is None else arrays["log_evidence"]


def _records(run: Run, split: str, method: str) -> list[dict[str, Any]]:
    return [r for r in run.evidence if r.get("method") == method and r["split"] == split]


def _rank(record: Mapping[str, Any]) -> Any:
    sizes = (record.get(name) or 0 for name in ("n", "particles", "steps"))
    # Ties are decided, too.
    return record["estimator"] == PLAIN, *sizes, *(str(record.get(name)) for name in HOW)


def _scaling(state: Mapping[str, Any] | None) -> str:
    if state is None:
        return "none"
    if not isinstance(state["shift"], list):
        return f"(x - {state['shift']:.6g}) / {state['scale']:.6g}"

    told = json.dumps(state, sort_keys=True).encode()
    return f"a scaling by columns, {hashlib.sha256(told).hexdigest()[:8]}"
