r"""How a run is trained: what its options, and the defaults that they leave, come to."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..experiment import Experiment
from ..fit import Training

__all__ = ["recipe"]

RUNNING = ("optimizer", "last_epoch", "verbose")
r"""Arguments of schedulers that are their state, and no settings."""


def recipe(
    e: Experiment, training: Training, known: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    r"""The settings of a training as plain values, those of its optimizers among them.

    Arguments:
        e: The experiment.
        training: Its training.
        known: What is known of a training that is resumed: a checkpoint brings back the settings
            that its optimizer and its scheduler began with, whatever the options say since.
    """
    svi = training.svi
    used = {p.name: _optimizer(p.optimizer) for p in svi.players}
    first = next(iter(used.values()))
    begun = {k: v for k, v in (known or {}).items() if k in ("optimizer", "scheduler")}
    return {
        "epochs": training.epochs,
        "batch_size": training.batch_size,
        # Players may have an optimizer each; most are alike.
        "optimizer": first if all(one == first for one in used.values()) else used,
        "scheduler": _scheduler(e.scheduler, training.schedulers),
        "warmup": e.warmup,
        "patience": training.patience,
        "signal": training.signal,
        "clip": svi.clip,
        "compile": svi.backend or svi.compile,
        "precision": svi.precision,
        **begun,
    }


def _optimizer(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    r"""The class and all of its settings.

    Example:
        >>> sgd = torch.optim.SGD([torch.zeros(2, requires_grad=True)], lr=0.1, foreach=False)
        >>> _optimizer(sgd)["init_args"]["lr"]
        0.1
    """
    groups = [
        # A scheduler keeps the rate that it began with beside the one of the moment.
        {**group, "lr": group.get("initial_lr", group["lr"])} if "lr" in group else group
        for group in optimizer.param_groups
    ]
    settings: dict[str, Any] = {}

    for name in optimizer.defaults:
        values = [_plain(group.get(name)) for group in groups]
        settings[name] = values[0] if values.count(values[0]) == len(values) else values

    return _described(optimizer, settings)


def _scheduler(build: Any, built: list[Any]) -> dict[str, Any] | None:
    if not built:
        return None

    # What a scheduler does not keep, a partial that builds it may.
    told = dict(getattr(build, "keywords", {}))
    names = inspect.signature(type(built[0])).parameters
    told |= {k: getattr(built[0], k) for k in names if hasattr(built[0], k)}
    settings = {k: _plain(v) for k, v in told.items() if k not in RUNNING and not callable(v)}
    return _described(built[0], settings)


def _described(thing: Any, settings: dict[str, Any]) -> dict[str, Any]:
    path = f"{type(thing).__module__}.{type(thing).__qualname__}"
    return {"class_path": path, "init_args": settings}


def _plain(value: Any) -> Any:
    # What JSON can hold.
    if isinstance(value, Tensor):
        return value.tolist()
    if isinstance(value, Counter):
        return sorted(value.elements())
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}

    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)
