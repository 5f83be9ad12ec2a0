r"""What every way of evaluating a run starts from, and ends in."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
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
    began: float = field(default_factory=time.perf_counter, init=False)

    @cached_property
    def batch(self) -> dict[str, Tensor]:
        r"""The data by name."""
        batch: dict[str, Tensor] = self.run.batch(self.split, self.limit, self.seed)
        return batch

    @property
    def options(self) -> dict[str, Any]:
        r"""What all methods take alike."""
        return {"seed": self.seed, "progress": self.progress}

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
            "rows": digest(self.batch["index"]),
            "seed": self.seed,
            "weights": hash_of(weights),
            "device": str(self.run.device),
        }
        return Kept(self.run.dir / "unfinished", json.dumps(told, sort_keys=True))

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
        record = {
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
        keep(self.run.dir, self.run.evidence, record, arrays, self.batch["index"])

        if kept is not None:
            kept.clear()
            if not any(kept.folder.iterdir() if kept.folder.is_dir() else ()):
                kept.folder.rmdir() if kept.folder.is_dir() else None
        return record
