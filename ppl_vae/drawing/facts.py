r"""What a run was made of: parts, data, training, place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..fit import judged
from .page import number
from .results import count

__all__ = ["describe", "facts", "made_by"]

Options = Mapping[str, Any]
TRAINING = ("epochs", "batch_size", "optimizer", "scheduler", "warmup", "patience", "clip")


def facts(
    config: Options, data: Options, provenance: Options, history: Sequence[Options]
) -> list[tuple[str, str]]:
    r"""The rows of a table: what, and its value. What is not known is left out."""
    options = config.get("options", {})
    parts = {k: v for k, v in options.items() if k not in {*TRAINING, "seed", "device"}}
    training = {k: options.get(k, config.get(k)) for k in TRAINING}
    rows = {
        "experiment": config.get("experiment"),
        **{k: describe(v) for k, v in parts.items() if v is not None},
        "data": _data(data),
        "protocol": data.get("protocol"),
        "binarization": data.get("binarization"),
        "parameters": provenance.get("parameters") and count(provenance["parameters"]),
        **{k.replace("_", " "): describe(v) for k, v in training.items() if v is not None},
        "seed": options.get("seed", config.get("seed")),
        "trained": _trained(history, provenance.get("seconds")),
        "device": provenance.get("device"),
        "versions": describe(provenance.get("versions", {})),
        "commit": provenance.get("commit"),
        "hash of the data": data.get("hash"),
    }
    return [(k, str(v)) for k, v in rows.items() if v not in (None, "")]


def describe(value: Any) -> str:
    r"""An option in words: a class as it is called in Python.

    Example:
        >>> describe({"class_path": "ppl_vae.priors.Vamp", "init_args": {"components": 100}})
        'Vamp(components=100)'
        >>> describe({"hidden": [256, 256], "width": None})
        'hidden=[256, 256]'
    """
    if isinstance(value, Mapping) and "class_path" in value:
        name = str(value["class_path"]).rpartition(".")[2]
        name = str(value["class_path"]) if ".py:" in str(value["class_path"]) else name
        arguments = describe(value.get("init_args") or {})
        return f"{name}({arguments})" if arguments else name
    if isinstance(value, Mapping):
        return ", ".join(f"{k}={describe(v)}" for k, v in value.items() if v is not None)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(describe, value))}]"

    return str(value)


def made_by(provenance: Options) -> str:
    r"""Which version made a page."""
    version = provenance.get("versions", {}).get("ppl_vae", "")
    return f"Made by ppl_vae {version}".strip() + "."


def _data(data: Options) -> str:
    if not data:
        return ""

    shape = " x ".join(map(str, data.get("event_shape", ())))
    counts: Iterable[str] = (f"{count(n)} {k}" for k, n in data.get("counts", {}).items())
    return "; ".join(filter(None, [str(data.get("name", "")), shape, *counts]))


def _trained(history: Sequence[Options], seconds: float | None) -> str:
    if not history:
        return "not yet"

    scores = {row["epoch"]: judged(dict(row)) for row in history if _has_loss(row)}
    finite = {epoch: score for epoch, score in scores.items() if score == score}
    best = f", the best is epoch {max(finite, key=lambda k: finite[k]):.0f}" if finite else ""
    took = sum(row.get("seconds", 0.0) for row in history) if seconds is None else seconds
    return f"{len(history)} epochs{best}; {number(took, 0)} seconds"


def _has_loss(row: Options) -> bool:
    return "epoch" in row and any(k.endswith(("_elbo", "_loss")) for k in row)
