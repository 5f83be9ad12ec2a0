r"""What a run was made of: parts, data, training, place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .estimates import count
from .origin import fitted, trained

__all__ = ["describe", "facts", "made_by"]

Options = Mapping[str, Any]
TRAINING = (
    *("epochs", "batch_size", "optimizer", "scheduler", "warmup", "patience", "clip"),
    *("signal", "compile", "precision"),
)


def facts(
    config: Options, data: Options, provenance: Options, history: Sequence[Options]
) -> list[tuple[str, str]]:
    r"""The rows of a table: what, and its value. What is not known is left out."""
    options = config.get("options", {})
    parts = {k: v for k, v in options.items() if k not in {*TRAINING, "seed", "device"}}
    # What was used, defaults included, is told rather than what was asked for.
    used = provenance.get("training") or {k: options.get(k, config.get(k)) for k in TRAINING}
    part, origin = (" of the fit", fitted) if config.get("frozen") else ("", trained)
    # What is not the prior was trained in another way, by the run that it comes from.
    names = {k: f"{k}{part}" if k == "objective" else k for k in parts}
    rows = {
        "experiment": config.get("experiment"),
        **{names[k]: describe(v) for k, v in parts.items() if v is not None},
        "data": _data(data),
        "protocol": data.get("protocol"),
        "binarization": data.get("binarization"),
        **origin(provenance, history),
        **{k.replace("_", " ") + part: _setting(v) for k, v in used.items() if v is not None},
        "seed": options.get("seed", config.get("seed")),
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


def _setting(value: Any) -> str:
    # A switch of an optimizer that is off is not worth a word.
    if isinstance(value, Mapping) and "class_path" in value:
        on = {k: v for k, v in (value.get("init_args") or {}).items() if v is not False}
        return describe({**value, "init_args": on})
    if isinstance(value, Mapping):
        return ", ".join(f"{k}: {_setting(v)}" for k, v in value.items())

    return describe(value)


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
