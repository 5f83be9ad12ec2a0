r"""How the runs of configurations were trained, side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..run import Run
from .configuration import configuration, runs_in, tell_apart, variant
from .table import is_ready

__all__ = ["histories"]


def histories(
    folders: Sequence[str | Path], ranking: Sequence[dict[str, Any]] = ()
) -> list[dict[str, Any]]:
    r"""What :func:`ppl_vae.plots.overlaid_curves` draws: the histories of each configuration.

    Runs that differ in the seed alone are one configuration, evaluated or not.

    Arguments:
        folders: Folders of runs, or folders that hold them.
        ranking: The groups that :func:`groups` makes of them: configurations come in their order,
            which is that of the folders without. Those that may not be ranked come last.

    Returns:
        For each configuration its ``name``, the ``histories`` of its runs (the rows of each), the
        hash of its ``data``, the ``dir`` of its first run, and, where there is a ranking, whether
        it is ``ranked``.

    Raises:
        ValueError: If a folder holds no run.
    """
    found: dict[str, dict[int, Run]] = {}
    for run in runs_in(folders).values():
        # A copy of a run is no further seed.
        found.setdefault(configuration(run), {}).setdefault(run.config["seed"], run)

    places = {place: i for i, row in enumerate(ranking) for place in _places(row)}
    ranked = {i for i, row in enumerate(ranking) if is_ready(row) and row["comparable"]}
    rows = []

    for seeds in found.values():
        first = next(iter(seeds.values()))
        place = min(places.get(run.dir.resolve(), math.inf) for run in seeds.values())
        told = {"ranked": place in ranked} if ranking else {}
        rows.append((place, _configuration(first, list(seeds.values()), told)))

    rows.sort(key=lambda pair: pair[0])
    tell_apart([row for _, row in rows])
    return [row for _, row in rows]


def _places(row: dict[str, Any]) -> list[Path]:
    return [folder.resolve() for folder in row.get("dirs", [row["dir"]])]


def _configuration(first: Run, runs: list[Run], told: dict[str, bool]) -> dict[str, Any]:
    return {
        "name": variant(first.dir),
        "dir": first.dir,
        "data": first.data_summary["hash"],
        "histories": [run.history for run in runs],
        **told,
    }
