r"""Evaluations in the folder of a run: a record of each, and its numbers per datum."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ..folder.atomic import write_arrays, write_json
from ..weights import Program, base_measure

__all__ = ["digest", "dimensions", "file_of", "forget", "keep", "measure"]

PLAIN = "importance weighting"

KEY = ("method", "split", "particles", "n", "estimator", "steps", "start")
r"""What tells records apart: fewer data, or steps, are no repetition of more of them."""


def keep(
    folder: Path,
    records: Sequence[Mapping[str, Any]],
    record: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    index: Tensor,
) -> None:
    r"""Writes an evaluation; its record replaces its like.

    Arguments:
        folder: The folder of the run.
        records: The records so far.
        record: The new record.
        arrays: Its numbers, per datum or for figures.
        index: The rows of the split that were evaluated, with shape ``(n,)``.
    """
    others = [r for r in records if any(r.get(k) != record.get(k) for k in KEY)]
    write_json(folder / "evidence.json", [*others, record])
    write_arrays(folder / file_of(record), {**arrays, "index": index.cpu().numpy()})


def file_of(record: Mapping[str, Any]) -> str:
    r"""The name of the file of a record's numbers.

    Example:
        >>> file_of({"method": "ais", "split": "test", "n": 100, "particles": 16})
        'ais-test-100x16.npz'
        >>> file_of({"method": "ais", "split": "test", "n": 100, "particles": 16, "steps": 500,
        ...          "start": "prior"})
        'ais-test-100x16-500-steps-prior.npz'
    """
    name, more = record["method"], ""
    if name == "importance":
        # It came first. Draws of other kinds stand beside the plain ones.
        name = "evidence"
        more = record.get("estimator", PLAIN).removeprefix(PLAIN)
        more = "-".join(re.findall(r"[\w.]+", more))

    particles = "" if record.get("particles") is None else f"x{record['particles']}"
    steps = f"{record['steps']}-steps" if "steps" in record else ""
    parts = [name, record["split"], f"{record['n']}{particles}", steps, record.get("start"), more]
    return f"{'-'.join(part for part in parts if part)}.npz"


def forget(folder: Path, records: Sequence[Mapping[str, Any]]) -> None:
    r"""Removes all evaluations, where training will replace the weights that they are of."""
    for path in (folder / "evidence.json", *(folder / file_of(r) for r in records)):
        path.unlink(missing_ok=True)
    shutil.rmtree(folder / "unfinished", ignore_errors=True)


def dimensions(x: Tensor) -> float:
    r"""The mean number of dimensions of a datum; missing entries (NaN) are none."""
    return x.isnan().logical_not().sum().item() / len(x)


def digest(index: Tensor) -> str:
    r"""What tells one choice of rows from another, as hexadecimal digits."""
    return hashlib.sha256(index.cpu().numpy().tobytes()).hexdigest()[:16]


def measure(model: Program, batch: Mapping[str, Tensor]) -> str:
    r"""The base measure of the density that is evaluated, and what it is given."""
    name = base_measure(model, {k: v[:1] for k, v in batch.items()})
    given = "exposure" in batch and "given" not in name
    return f"{name} given the exposure" if given else name
