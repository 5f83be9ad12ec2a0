r"""Saving a training while it goes, and stopping it gently."""

from __future__ import annotations

import csv
import io
import json
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from . import checkpoint
from .atomic import write_json, write_text
from .fit import Training

__all__ = ["Saver", "stopping_on_signals"]

SAVE_EVERY = 2.0
r"""The least number of seconds between two checkpoints; the last epoch is always saved."""


class Saver:
    r"""Writes checkpoints, metrics and costs of a training, not more often than every few seconds.

    Arguments:
        folder: The folder of the run.
        training: The training; it calls :meth:`epoch` after each epoch.
    """

    def __init__(self, folder: Path, training: Training) -> None:
        self.folder, self.training = folder, training
        self.last = time.perf_counter()
        self.best: checkpoint.Snapshot | None = None

    def epoch(self, training: Training) -> None:
        r"""Keeps the weights of the best epoch in memory, and saves if it is time."""
        if training.best is training.history[-1]:
            self.best = checkpoint.snapshot(training, full=False)
        if time.perf_counter() - self.last > SAVE_EVERY:
            self.save()

    def save(self) -> None:
        r"""Writes everything."""
        folder = self.folder / "checkpoints"

        # The best goes first: a resumed training would make the same again.
        if self.best is not None:
            checkpoint.write(folder / "best.safetensors", self.best)
            self.best = None

        full = checkpoint.snapshot(self.training)
        checkpoint.write(folder / "last.safetensors", full)
        write_text(self.folder / "metrics.csv", _csv(self.training.history))
        count = sum(p.numel() for p in self.training.svi.parameters.values())
        seconds = sum(row["seconds"] for row in self.training.history)
        more = {"parameters": count, "seconds": seconds, "steps": self.training.svi.steps}
        path = self.folder / "provenance.json"
        write_json(path, {**json.loads(path.read_text()), **more})
        self.last = time.perf_counter()


def _csv(rows: list[dict[str, float]]) -> str:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


@contextmanager
def stopping_on_signals(training: Training) -> Iterator[None]:
    r"""Within it, SIGINT and SIGTERM stop the training after its current step."""

    def stop(signum: int, _: Any) -> None:
        training.stop = signum

    old = {}
    # Only the main thread of a process may set handlers.
    with suppress(ValueError):
        old = {s: signal.signal(s, stop) for s in (signal.SIGINT, signal.SIGTERM)}

    try:
        yield
    finally:
        for signum, handler in old.items():
            signal.signal(signum, handler)
