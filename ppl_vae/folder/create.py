r"""Making the folder of a run."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from ..catalogue import find_experiment
from ..device import pick_device
from ..experiment import Experiment
from ..fit import Training
from ..options import Options
from . import checkpoint
from .atomic import WriteError, write_json, write_text
from .provenance import provenance
from .recipe import recipe
from .userfile import digest

__all__ = ["Plan", "build", "check_free"]

FIELDS = ("epochs", "batch_size", "warmup", "patience", "signal", "clip", "compile", "precision")


@dataclass(frozen=True)
class Plan:
    r"""A run that is resolved and built, but not yet written."""

    reference: str
    r"""The experiment: a name, or the path of a file."""
    parser: Options
    values: dict[str, Any]
    r"""The resolved options."""
    experiment: Experiment
    device: str
    frozen: bool = False
    r"""Whether all weights but the prior's are kept."""
    parent: Mapping[str, Any] | None = None
    r"""What the provenance tells of the run that weights were taken from."""

    @classmethod
    def of(cls, reference: str, options: list[str]) -> Plan:
        r"""
        Arguments:
            reference: A name in ``experiments/``, or the path of a Python file.
            options: Options as on the command line.

        Raises:
            ValueError: If an option is wrong, or the data are.
        """
        parser = Options(find_experiment(reference))
        values = parser.parse(options)
        built, training = build(parser, values)
        values |= {k: getattr(built, k) for k in FIELDS if k in values}
        return cls(reference, parser, values, built, training.get("device", "auto"))

    @property
    def seed(self) -> int:
        r"""The seed of the run."""
        return int(self.values.get("seed", 0))

    def write(self, out: Path, training: Training) -> None:
        r"""Writes the folder, with a checkpoint of the start, in place of what it holds.

        Raises:
            ValueError: If it cannot be written; what the folder holds stays as it was.
        """
        absent = not out.exists()
        draft = out / f".{secrets.token_hex(4)}.tmp"

        try:
            draft.mkdir(parents=True)
            self._fill(draft / "new", training)
            _replace(out, draft)
        except BaseException as error:
            if (draft / "old").is_dir():
                _restore(out, draft)
            shutil.rmtree(out if absent else draft, ignore_errors=True)
            if isinstance(error, OSError) and not isinstance(error, WriteError):
                raise WriteError(f"{out} cannot be written ({error.strerror}).") from error
            raise

    def _fill(self, out: Path, training: Training) -> None:
        (out / "checkpoints").mkdir(parents=True)
        sources = [Path(self.reference)] if self.reference.endswith(".py") else []
        names = _copy_files(out, [*sources, *self.parser.files.values()])
        config = {
            "experiment": names.get(str(Path(self.reference)), self.reference),
            "seed": self.seed,
            "options": _renamed(self.values, names),
            "files": {name: digest(out / name) for name in names.values()},
            **({"frozen": True} if self.frozen else {}),
        }
        write_json(out / "data.json", self.experiment.data.summary())
        origin = {
            **provenance(pick_device(self.device)),
            "training": recipe(self.experiment, training),
            **({"parent": self.parent} if self.parent else {}),
        }
        write_json(out / "provenance.json", origin)
        write_text(out / "config.yaml", yaml.safe_dump(config, sort_keys=False))
        # A run that is killed before it saves anything can be resumed all the same.
        checkpoint.write(out / "checkpoints" / "last.safetensors", checkpoint.snapshot(training))


def build(parser: Options, values: Mapping[str, Any]) -> tuple[Experiment, dict[str, Any]]:
    r"""Builds an experiment from its resolved options.

    Returns:
        The experiment, and the options of its training.

    Raises:
        ValueError: If an option is wrong, or the function returns something else.
    """
    arguments, training = parser.build(values)
    seed = training.get("seed", arguments.get("seed", 0))

    # The initial parameters follow from the seed, whatever was drawn before.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        built = parser.function(**arguments)

    if not isinstance(built, Experiment):
        raise ValueError(f"experiment(...) must return an Experiment, got {type(built).__name__}.")

    fields = ("optimizer", "scheduler", *FIELDS)
    given = {k: training[k] for k in fields if training.get(k) is not None}
    return replace(built, **given), training


def check_free(out: Path, overwrite: bool) -> None:
    r"""Raises a ValueError if a folder is not free for a new run."""
    if not out.exists():
        return
    if out.is_dir() and all(p.match(".*.tmp") for p in out.iterdir()):
        return
    if not (out / "config.yaml").is_file():
        raise ValueError(f"{out} is there already and is no run; give another --out.")
    if not overwrite:
        raise ValueError(
            f"There is a run in {out} already; give another --out, --overwrite to replace it, or "
            f"continue it with ppl-vae resume {out}."
        )


def _replace(out: Path, draft: Path) -> None:
    # The configuration goes first and comes last: a folder that has one is complete.
    (draft / "old").mkdir()

    for path in sorted(out.iterdir(), key=lambda path: path.name != "config.yaml"):
        if path != draft:
            path.rename(draft / "old" / path.name)
    for path in sorted((draft / "new").iterdir(), key=lambda path: path.name == "config.yaml"):
        path.rename(out / path.name)

    shutil.rmtree(draft)


def _restore(out: Path, draft: Path) -> None:
    for path in (draft / "old").iterdir():
        target = out / path.name
        if target.is_dir():
            shutil.rmtree(target)
        path.replace(target)


def _copy_files(out: Path, sources: list[Path]) -> dict[str, str]:
    names: dict[str, str] = {}

    for source in dict.fromkeys(sources):
        name = f"files/{source.name}"
        if name in names.values() and digest(source) != digest(out / name):
            raise ValueError(f"Two files are named {source.name}; rename one of them.")
        (out / "files").mkdir(exist_ok=True)
        shutil.copyfile(source, out / name)
        names[str(source)] = name

    return names


def _renamed(value: Any, names: Mapping[str, str]) -> Any:
    if isinstance(value, Mapping):
        return {k: _renamed(v, names) for k, v in value.items()}
    if isinstance(value, list):
        return [_renamed(v, names) for v in value]
    if isinstance(value, str) and value.rpartition(":")[0] in names:
        file, _, name = value.rpartition(":")
        return f"{names[file]}:{name}"

    return value
