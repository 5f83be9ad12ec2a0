r"""What the folder of a run records, as plain values."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..fit import unscored
from .evaluations import PLAIN, file_of

__all__ = ["Records"]

KEYS = {"experiment": str, "seed": int, "options": dict, "files": dict}
r"""What every configuration holds, by key."""


class Records:
    r"""The records in the folder of a run.

    Arguments:
        folder: The folder of the run.

    Raises:
        ValueError: If the folder is missing, or is not that of a run.
    """

    def __init__(self, folder: Path | str) -> None:
        self.dir = Path(folder)

        if not self.dir.is_dir():
            raise ValueError(f"There is no run folder {self.dir}.")
        if not (self.dir / "config.yaml").is_file():
            depths = ("*/config.yaml", "*/*/config.yaml")
            inner = sorted(str(path.parent) for at in depths for path in self.dir.glob(at))
            which = f" It holds runs: name one of them, such as {inner[0]}." if inner else ""
            raise ValueError(f"The folder {self.dir} is no run: it has no config.yaml.{which}")

    @cached_property
    def config(self) -> dict[str, Any]:
        r"""The resolved configuration."""
        path = self.dir / "config.yaml"

        try:
            config = yaml.safe_load(path.read_text())
        except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
            raise ValueError(f"The file {path} is damaged: {error}.") from error

        config = config if isinstance(config, dict) else {}
        for key, kind in KEYS.items():
            if not isinstance(config.get(key), kind):
                raise ValueError(f"The file {path} is damaged or truncated: it lacks {key!r}.")

        return {**{key: config[key] for key in KEYS}, "frozen": bool(config.get("frozen"))}

    @cached_property
    def data_summary(self) -> dict[str, Any]:
        r"""What building needs of the data, and what identifies them."""
        return self._json("data.json")

    @property
    def provenance(self) -> dict[str, Any]:
        r"""Versions, commit, device, how it is trained, and, once it is, seconds and parameters."""
        return self._json("provenance.json")

    @property
    def history(self) -> list[dict[str, float]]:
        r"""The rows of ``metrics.csv``."""
        path = self.dir / "metrics.csv"
        if not path.is_file():
            return []

        with path.open() as file:
            return [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]

    @property
    def unscored(self) -> bool:
        r"""Whether its guide has no density, as that of Delta, so that there is no log p(x)."""
        return unscored(self.history)

    @property
    def evidence(self) -> list[dict[str, Any]]:
        r"""The evaluations so far."""
        return self._json("evidence.json") if (self.dir / "evidence.json").exists() else []

    def importance(self, split: str) -> dict[str, Any] | None:
        r"""The importance weighting on a split with the most data, then the most particles.

        That of plain draws before others; None where there is none.
        """
        records = [r for r in self.evidence if (r["method"], r["split"]) == ("importance", split)]

        def rank(record: Mapping[str, Any]) -> tuple[bool, int, int]:
            return record.get("estimator", PLAIN) == PLAIN, record["n"], record["particles"]

        return max(records, key=rank, default=None)

    def evidence_per_datum(self, split: str) -> dict[str, np.ndarray] | None:
        r"""The numbers per datum of :meth:`importance`; None where there are none."""
        record = self.importance(split)
        return None if record is None else self.arrays_of(record)

    def arrays_of(self, record: Mapping[str, Any]) -> dict[str, np.ndarray] | None:
        r"""The numbers of an evaluation, per datum or for figures; None if they are missing."""
        path = self.dir / file_of(record)
        if not path.is_file():
            return None

        with np.load(path, allow_pickle=False) as arrays:
            return dict(arrays)

    def _json(self, name: str) -> Any:
        try:
            return json.loads((self.dir / name).read_text())
        except (OSError, ValueError) as error:
            raise ValueError(
                f"The run {self.dir} is incomplete: {name} is missing or damaged ({error})."
            ) from error
