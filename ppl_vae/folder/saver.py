r"""Saving a training while it goes, and stopping it gently."""

from __future__ import annotations

import csv
import io
import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ..fit import Training
from ..nonfinite import NonFiniteError
from . import checkpoint
from .atomic import sweep, write_json, write_text

__all__ = ["Saver", "stopping_on_signals"]

SAVE_EVERY = 2.0
r"""The least number of seconds between two checkpoints; the last epoch is always saved."""


class Saver:
    r"""Writes checkpoints, metrics and costs of a training, not more often than every few seconds.

    Arguments:
        folder: The folder of the run.
        training: The training; it calls :meth:`epoch` after each epoch.
        provenance: What the run's provenance tells already.
    """

    def __init__(self, folder: Path, training: Training, provenance: dict[str, Any]) -> None:
        self.folder, self.training, self.provenance = folder, training, provenance
        self.last = time.perf_counter()
        self.best: checkpoint.Snapshot | None = None

        for part in (folder, folder / "checkpoints"):
            sweep(part)

    def epoch(self, training: Training) -> None:
        r"""Keeps the weights of the best epoch in memory, and saves if it is time.

        Raises:
            NonFiniteError: If a parameter, or a mean loss of the epoch, is not finite.
        """
        self._require_finite()

        if training.best is training.history[-1]:
            self.best = checkpoint.snapshot(training, full=False)
        if time.perf_counter() - self.last > SAVE_EVERY:
            self.save()

    def save(self) -> None:
        r"""Writes everything.

        Raises:
            NonFiniteError: If a parameter is not finite; the last good checkpoint is kept.
        """
        # The best goes first: a resumed training would make the same again.
        self.save_best()
        self._require_finite()
        full = checkpoint.snapshot(self.training)
        checkpoint.write(self.folder / "checkpoints" / "last.safetensors", full)
        write_text(self.folder / "metrics.csv", _csv(self.training.history))
        count = sum(p.numel() for p in self.training.svi.parameters.values())
        seconds = sum(row["seconds"] for row in self.training.history)
        svi = self.training.svi
        more: dict[str, Any] = {"parameters": count, "seconds": seconds, "steps": svi.steps}
        more |= {"compile": svi.backend, "precision": svi.precision}
        # How steps are taken is decided before the first.
        more["training"] = {**self.provenance.get("training", {}), "compile": svi.backend}
        write_json(self.folder / "provenance.json", {**self.provenance, **more})
        self.last = time.perf_counter()

    def save_best(self) -> None:
        r"""Writes the weights of the best epoch, unless they are written already."""
        if self.best is not None:
            checkpoint.write(self.folder / "checkpoints" / "best.safetensors", self.best)
            self.best = None

    def _require_finite(self) -> None:
        svi, rows = self.training.svi, self.training.history
        row = rows[-1] if rows else {}
        bad = [f"parameter {k!r}" for k, p in svi.parameters.items() if not p.isfinite().all()]
        bad += [
            f"the mean {k.replace('_', ' ')} of the epoch"
            for k in ("train_loss", "validation_loss")
            if not math.isfinite(row.get(k, 0.0))
        ]

        if bad:
            raise NonFiniteError(
                f"The training is not finite after step {svi.steps}: {bad[0]} is not. Lower the "
                "learning rate, or clip the gradient; the last good checkpoint is kept."
            )


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
