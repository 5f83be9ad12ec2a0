r"""Checkpoints: the state of a training in one file of safetensors, without pickle.

Model and guide are one state, each storage once, since they may share modules; the rest (numbers,
history, the optimizer's settings) is JSON in the file's metadata.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from ..fit import Training
from ..modules import modules_of
from ..player import Player
from ..svi import SVI
from .atomic import write_bytes

__all__ = ["Snapshot", "read", "restore", "restore_weights", "snapshot", "weights_of", "write"]

PAIRS = "__pairs__"
Snapshot = tuple[dict[str, Tensor], dict[str, Any]]


def weights_of(svi: SVI) -> dict[str, Tensor]:
    r"""All parameters and buffers of the programs and the objective, by name."""
    tensors: dict[str, Tensor] = {}

    for role in ("model", "guide", "objective"):
        for module in modules_of(getattr(svi, role)):
            tensors |= {f"{role}.{name}": t for name, t in module.state_dict().items()}

    extra = {k: p.detach() for k, p in svi.parameters.items() if k.startswith("param.")}
    known = {t.data_ptr() for t in tensors.values()}
    return tensors | {k: t for k, t in extra.items() if t.data_ptr() not in known}


def snapshot(training: Training, *, full: bool = True) -> Snapshot:
    r"""The state of a training between two steps, apart from it.

    Arguments:
        training: The training.
        full: Whether all is taken that resuming needs, or the weights alone.
    """
    svi = training.svi
    tensors = weights_of(svi)
    state: dict[str, Any] = {"epoch": training.epoch, "full": full}

    if full:
        players = {}
        for player in svi.players:
            players[player.name], more = _optimizer(player)
            tensors |= more

        # Between epochs these are of no more use: the next begins with its own.
        if training.position:
            tensors |= {f"random.{k}": t for k, t in training.random.items()}
            tensors |= {f"sums.{k}": t for k, t in training.sums.items()}

        state |= {
            "position": training.position,
            "elapsed": training.elapsed,
            "steps": svi.steps,
            "history": training.history,
            "best": training.best,
            "players": players,
            # What is compiled, and for which shape: the same again after resuming.
            "compile": {"backend": svi.backend, "batch_size": training.batch_size},
            "schedulers": [scheduler.state_dict() for scheduler in training.schedulers],
        }

    return _deduplicate(tensors, state)


def _optimizer(player: Player) -> tuple[dict[str, Any], dict[str, Tensor]]:
    # The optimizer of a player: numbers, and tensors by name.
    packed = player.optimizer.state_dict()
    slots: dict[str, dict[str, Any]] = {}
    tensors = {}

    for i, slot in packed["state"].items():
        for key, value in slot.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{player.name}.{i}.{key}"] = value
            else:
                slots.setdefault(str(i), {})[key] = value

    groups = [
        {k: float(v) if isinstance(v, Tensor) else v for k, v in group.items()}
        for group in packed["param_groups"]
    ]
    return {"groups": groups, "slots": slots}, tensors


def write(path: Path, content: Snapshot) -> None:
    r"""Writes a snapshot to a file, whole or not at all."""
    tensors, state = content
    write_bytes(path, save(tensors, metadata={"state": json.dumps(_packed(state))}))


def read(path: Path) -> Snapshot:
    r"""Reads a snapshot.

    Raises:
        ValueError: If the file is missing, truncated or of another kind.
    """
    if not path.is_file():
        raise ValueError(
            f"There is no checkpoint {path}: ppl-vae resume {path.parent.parent} trains the run."
        )

    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            state = _unpacked(json.loads(file.metadata()["state"]))
        return tensors | {a: tensors[b] for a, b in state["aliases"].items()}, state
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        other = "last" if path.stem == "best" else "best"
        raise ValueError(
            f"The checkpoint {path} is truncated or damaged ({error}); load the run with "
            f"weights={other!r}, or train it again."
        ) from error


def restore_weights(svi: SVI, tensors: dict[str, Tensor], source: Path) -> None:
    r"""Puts parameters and buffers back.

    Raises:
        ValueError: If the programs are not those that the weights were saved from.
    """
    for role in ("model", "guide", "objective"):
        for module in modules_of(getattr(svi, role)):
            prefix = f"{role}."
            mine = {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}
            _load(module, mine, source)

    bare = {k: p for k, p in svi.parameters.items() if k.startswith("param.")}
    saved = {k for k in tensors if k.startswith("param.")}

    if missing := sorted(saved ^ set(bare)):
        raise ValueError(
            f"The weights in {source} and the programs differ in {missing[0]!r}; give model and "
            "guide as modules or their methods, or name their parameters alike in each build."
        )

    for name, parameter in bare.items():
        with torch.no_grad():
            parameter.copy_(tensors[name])


def restore(training: Training, content: Snapshot, source: Path) -> None:
    r"""Puts a training back to where its snapshot was taken.

    Raises:
        ValueError: If the snapshot holds weights alone, or those of other programs.
    """
    tensors, state = content

    if not state["full"]:
        raise ValueError(f"{source} holds weights alone; resume from last.safetensors.")

    restore_weights(training.svi, tensors, source)

    for player in training.svi.players:
        packed = state["players"][player.name]
        slots = {int(i): dict(s) for i, s in packed["slots"].items()}
        for name, t in _strip(tensors, f"optimizer.{player.name}.").items():
            i, key = name.split(".", 1)
            slots.setdefault(int(i), {})[key] = t
        player.optimizer.load_state_dict({"state": slots, "param_groups": packed["groups"]})

    training.svi.steps = state["steps"]
    training.svi.backend = state["compile"]["backend"]
    training.epoch, training.position = state["epoch"], state["position"]
    training.elapsed = state["elapsed"]
    training.history, training.best = state["history"], state["best"]
    training.random = _strip(tensors, "random.")
    training.sums = {k: t.to(training.device) for k, t in _strip(tensors, "sums.").items()}

    for scheduler, packed in zip(training.schedulers, state["schedulers"], strict=True):
        scheduler.load_state_dict(packed)


def _packed(value: Any) -> Any:
    # JSON has no keys but strings, and turns others into them: the milestones of MultiStepLR.
    if isinstance(value, dict):
        if all(isinstance(k, str) for k in value):
            return {k: _packed(v) for k, v in value.items()}
        return {PAIRS: [[k, _packed(v)] for k, v in value.items()]}

    return [_packed(v) for v in value] if isinstance(value, (list, tuple)) else value


def _unpacked(value: Any) -> Any:
    if isinstance(value, dict):
        if PAIRS in value:
            return {k: _unpacked(v) for k, v in value[PAIRS]}
        return {k: _unpacked(v) for k, v in value.items()}

    return [_unpacked(v) for v in value] if isinstance(value, list) else value


def _strip(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): t for k, t in tensors.items() if k.startswith(prefix)}


def _load(module: nn.Module, tensors: dict[str, Tensor], source: Path) -> None:
    try:
        module.load_state_dict(tensors)
    except RuntimeError as error:
        raise ValueError(
            f"The weights in {source} are of another program: {str(error).splitlines()[-1].strip()}"
        ) from error


def _deduplicate(tensors: dict[str, Tensor], state: dict[str, Any]) -> Snapshot:
    kept: dict[str, Tensor] = {}
    names: dict[tuple[Any, ...], str] = {}
    aliases: dict[str, str] = {}

    for name, t in tensors.items():
        key = (t.data_ptr(), t.shape, t.stride(), t.dtype)
        if t.numel() and key in names:
            aliases[name] = names[key]
        else:
            names[key] = name
            kept[name] = t.detach().cpu().clone(memory_format=torch.contiguous_format)

    return kept, {**state, "aliases": aliases}
