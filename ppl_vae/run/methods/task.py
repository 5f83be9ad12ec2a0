r"""What every way of evaluating a run starts from, and ends in."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
from torch import Tensor

from ...evaluation.kept import Kept
from ...folder.userfile import digest as hash_of
from ..evaluations import digest, keep, measure

__all__ = ["Task"]


@dataclass
class Task:
    r"""A run, the data that it is evaluated on, and what is done with what was found.

    Arguments:
        run: The :class:`~ppl_vae.Run`.
        method: The name of the method.
        split: train, validation or test.
        limit: The number of data, drawn at random, to evaluate; all if None.
        seed: The seed of all draws.
        memory: The number of bytes that intermediate results may take.
        progress: Called with the number of data that are done.
    """

    run: Any
    method: str
    split: str = "test"
    limit: int | None = None
    seed: int = 0
    memory: int = 2**29
    progress: Callable[[int], None] | None = None
    unfinished: Mapping[int, Any] = field(default_factory=dict, init=False)
    r"""The finished blocks of an evaluation that is not finished."""
    began: float = field(default_factory=time.perf_counter, init=False)

    @cached_property
    def batch(self) -> dict[str, Tensor]:
        r"""The data by name."""
        batch: dict[str, Tensor] = self.run.batch(self.split, self.limit, self.seed)
        return batch

    @property
    def guide(self) -> Any:
        r"""The guide; None where it has no density."""
        return None if self.run.unscored else self.run.guide

    def simulations(self, asked: int | None, default: int) -> int:
        r"""The number of data to simulate: what is asked for, the limit, or a default.

        It may exceed the number of the data in whose place they are, which are used over again.
        """
        return next(n for n in (asked, self.limit, default) if n is not None)

    def options(self, total: int | None = None) -> dict[str, Any]:
        r"""What all methods take alike.

        Arguments:
            total: How many there are to be done; the number of data if None.
        """
        return {"seed": self.seed, "progress": self.counted(total)}

    def kept(self, **options: Any) -> Kept:
        r"""Finished blocks of an evaluation that was stopped.

        Arguments:
            options: What, beside the data, the seed and the weights, determines the numbers.
        """
        weights = self.run.dir / "checkpoints" / f"{self.run.weights}.safetensors"
        told = {
            **options,
            "method": self.method,
            "split": self.split,
            "data": self.run.data_summary["hash"],
            "rows": digest(self.batch["index"]),
            "seed": self.seed,
            "weights": hash_of(weights),
            "versions": [version(name) for name in ("ppl_vae", "torch")],
            "device": str(self.run.device),
        }
        kept = Kept(self.run.dir / "unfinished", json.dumps(told, sort_keys=True))
        self.unfinished = kept
        return kept

    def filed(
        self,
        summary: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray],
        kept: Kept | None = None,
    ) -> dict[str, Any]:
        r"""Writes what was found into the run's folder, in the place of its like.

        Arguments:
            summary: What was found.
            arrays: What figures need, and the numbers per datum.
            kept: The finished blocks, which are of no more use.

        Returns:
            The record.
        """
        told = {
            "method": self.method,
            "split": self.split,
            "particles": None,
            "n": len(self.batch["index"]),
            **summary,
            "seed": self.seed,
            "weights": self.run.weights,
            "rows": digest(self.batch["index"]),
            "seconds": time.perf_counter() - self.began,
            "device": str(self.run.device),
            "base_measure": measure(self.run.model, self.batch),
        }
        record: dict[str, Any] = _finite(told)
        keep(self.run.dir, self.run.evidence, record, arrays, self.batch["index"])

        if kept is not None:
            kept.clear()
            with suppress(OSError):  # it may be absent, or hold the blocks of others
                kept.folder.rmdir()

        return record

    def counted(self, total: int | None = None) -> Callable[[int], None] | None:
        r"""What a method is to call with the number that is done.

        Arguments:
            total: How many there are; the number of data if None.
        """
        if self.progress is None:
            return None
        if hasattr(self.progress, "total"):
            self.progress.total = len(self.batch["index"]) if total is None else total
        return self.progress


def _finite(value: Any) -> Any:
    # JSON knows neither NaN nor infinity.
    if isinstance(value, dict):
        return {k: _finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
