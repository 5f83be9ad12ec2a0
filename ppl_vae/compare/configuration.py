r"""Runs in folders, and which of them are seeds of one configuration."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..run import Run

__all__ = ["configuration", "runs_in", "tell_apart", "variant"]

ASIDE = "device", "compile", "signal"
r"""Options that change no result, but for rounding."""


def runs_in(folders: Sequence[str | Path]) -> dict[Path, Run]:
    r"""The runs by their places, each of them once.

    Arguments:
        folders: Folders of runs, or folders that hold them.

    Raises:
        ValueError: If a folder holds no run.
    """
    return {run.dir.resolve(): run for folder in folders for run in _runs(Path(folder))}


def configuration(run: Run) -> str:
    r"""What runs that differ in the seed alone have in common.

    Nor do the device and how steps are taken tell configurations apart, which change a result by
    rounding alone, nor what is logged beside: the signal of the gradient.
    """
    config = json.loads(json.dumps(run.config))
    config.pop("seed")
    for name in ("seed", *ASIDE):
        config["options"].pop(name, None)

    before = _lineage(run.provenance.get("parent"))
    return json.dumps([config, run.data_summary["hash"], before], sort_keys=True)


def variant(folder: Path) -> str:
    r"""The name of a run's variant: a seed's folder lies in that of its variant.

    Example:
        >>> variant(Path("runs/plain/seed-0")), variant(Path("runs/plain"))
        ('plain', 'plain')
    """
    return folder.parent.name if folder.name.startswith("seed-") else folder.name


def tell_apart(rows: Sequence[dict[str, Any]]) -> None:
    r"""Gives folders of one name in several places the name of their place.

    Arguments:
        rows: Each with its ``name`` and its ``dir``.
    """
    names = [row["name"] for row in rows]

    for row in rows:
        if names.count(row["name"]) > 1:
            place = row["dir"].parent if row["dir"].name.startswith("seed-") else row["dir"]
            row["name"] = str(place)


def _runs(folder: Path) -> list[Run]:
    if (folder / "config.yaml").is_file():
        return [Run(folder)]

    inner = sorted(path.parent for path in folder.rglob("config.yaml"))
    if not inner:
        raise ValueError(f"There is no run in {folder}.")

    return [Run(path) for path in inner]


def _lineage(parent: dict[str, Any] | None) -> Any:
    # How the weights came about that a fitted prior was put to, which no option of it tells.
    if parent is None:
        return None

    training = {k: v for k, v in (parent["training"] or {}).items() if k not in ASIDE}
    return [parent["objective"], training, _lineage(parent["parent"])]
