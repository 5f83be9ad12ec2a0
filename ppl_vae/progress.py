r"""Progress of a training, on a terminal or in plain lines."""

from __future__ import annotations

import sys
import time
from typing import Any

__all__ = ["Progress"]


WAYS = {
    "off": "run through Pyro each time",
    "fx": "replayed from a captured graph",
    "inductor": "compiled by Inductor",
    "cudagraph": "one CUDA graph each",
}


class Progress:
    r"""Shows nats per datum, data per second and the time left.

    A terminal gets a bar; a file or a pipe gets a line every few seconds.

    Arguments:
        training: The :class:`~ppl_vae.fit.Training` to follow.
        every: The least number of seconds between two plain lines.
    """

    def __init__(self, training: Any, every: float = 5.0) -> None:
        self.training = training
        self.every = every
        self.bar: Any = None
        self.seen = 0
        self.start = self.last = time.perf_counter()

    def __enter__(self) -> Progress:
        if self.training.progress and sys.stderr.isatty():
            from rich import progress
            from rich.console import Console

            self.bar = progress.Progress(
                progress.TextColumn("epoch {task.fields[epoch]}"),
                progress.BarColumn(),
                progress.TextColumn("{task.fields[text]}"),
                progress.TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            done = self.training.epoch * self.training.size
            self.task = self.bar.add_task(
                "",
                total=self.training.epochs * self.training.size,
                completed=done,
                epoch=self.training.epoch,
                text="",
            )
            self.bar.start()

        return self

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.stop()

    def way(self, backend: str, reason: str | None) -> None:
        r"""Tells how steps are taken, and starts the clock: compiling is no part of the speed."""
        self.start = self.last = time.perf_counter()

        if not self.training.progress:
            return
        if backend == "inductor" and reason is not None:
            backend = "fx"  # a warning has told why

        if self.bar is not None:
            self.bar.console.print(f"steps: {WAYS[backend]}")
        else:
            print(f"steps: {WAYS[backend]}", file=sys.stderr)

    def note(self, sentence: str) -> None:
        r"""Tells what is worth a look, beside the rows."""
        if self.bar is not None:
            self.bar.console.print(f"note: {sentence}", markup=False)
        elif self.training.progress:
            print(f"note: {sentence}", file=sys.stderr, flush=True)

    def step(self, rows: int) -> None:
        r"""Tells that a step over some rows is done."""
        self.seen += rows

        if self.bar is not None:
            self.bar.update(self.task, advance=rows)

    def epoch(self, row: dict[str, float]) -> None:
        r"""Tells the row of an epoch that is done."""
        if not self.training.progress:
            return

        now = time.perf_counter()
        speed = self.seen / (now - self.start)
        shown = [f"{name.replace('_', ' ')} {row[name]:.2f}" for name in _shown(row) if name in row]
        text = f"{', '.join(shown)} nats per datum, {speed:,.0f} data/s"

        if self.bar is not None:
            self.bar.update(self.task, epoch=int(row["epoch"]), text=text)
        elif now - self.last >= self.every or row["epoch"] in (1, self.training.epochs):
            self.last = now
            left = (self.training.epochs - row["epoch"]) * self.training.size / speed
            head = f"epoch {int(row['epoch'])}/{self.training.epochs}"
            print(f"{head}: {text}, {left:.0f} s left", file=sys.stderr, flush=True)


def _shown(row: dict[str, float]) -> tuple[str, ...]:
    # Of a guide without a density there is no ELBO.
    if "train_elbo" in row:
        return "train_loss", "train_elbo", "validation_elbo"

    return "train_loss", "validation_loss", "validation_reconstruction"
