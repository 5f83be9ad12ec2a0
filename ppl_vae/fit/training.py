r"""A training: its settings, its state and its epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import pyro
import torch
from torch import Tensor

from ..device import pick_device
from ..evaluation.signal import signal_to_noise
from ..modules import modules_of, preserving
from ..nonfinite import NonFiniteError, explain
from ..objectives import LinearWarmup
from ..progress import Progress
from ..svi import SVI
from .collapse import collapse
from .feed import chunks, place
from .row import Row, add, criterion, judged
from .seeds import get_states, mix, set_states
from .settings import check_schedulers, check_settings
from .validation import PIECE, validate

__all__ = ["Interrupted", "Training"]

Scheduler = Callable[[torch.optim.Optimizer], Any]


class Interrupted(Exception):
    r"""Training was asked to stop, and did so after a whole step.

    Arguments:
        signum: The number of the signal that asked.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"Training was interrupted by signal {signum}.")
        self.signum = signum


class Training:
    r"""A training: its settings, and its state between two steps.

    One seed gives one result: the order of the data and all noise follow from it, and leave
    torch's global random state alone.

    Arguments:
        svi: The programs, the objective and the optimizer.
        data: The data set, a :class:`ppl_vae.data.Data`.
        epochs: The number of epochs.
        batch_size: The number of rows of a minibatch.
        seed: The seed of the order of the data and of all draws.
        scheduler: A function from the optimizer to a scheduler of torch, stepped once per epoch.
        warmup: The number of epochs over which the KL weight rises from 0 to 1.
        patience: The number of epochs without a better validation bound after which to stop.
        signal: The number of gradients by which each epoch's signal-to-noise ratio is estimated, on
            the first minibatch; see :func:`~ppl_vae.evaluation.signal_to_noise`. None if zero.
        device: ``"auto"``, or a device of torch.
        progress: Whether progress is shown.
        on_epoch: Called with the training after each epoch.

    Raises:
        ValueError: If a size is not positive, the batch is larger than the training set, a
            warm-up is longer than the training, early stopping has no validation data, or the
            data lie outside of the likelihood's support.
    """

    def __init__(
        self,
        svi: SVI,
        data: Any,
        epochs: int,
        *,
        batch_size: int = 128,
        seed: int = 0,
        scheduler: Scheduler | None = None,
        warmup: int = 0,
        patience: int | None = None,
        signal: int = 0,
        device: str = "auto",
        progress: bool = True,
        on_epoch: Callable[[Training], None] | None = None,
    ) -> None:
        self.svi, self.data, self.epochs = svi, data, epochs
        self.batch_size, self.seed, self.patience = batch_size, seed, patience
        self.device = pick_device(device)
        self.progress, self.on_epoch, self.signal = progress, on_epoch, signal
        self.size = len(data["train"])
        self.validated = data.counts.get("validation", 0) > 0
        check_settings(self, warmup)
        svi.objective.total = self.size

        self.epoch = 0
        r"""The number of whole epochs done."""
        self.position = 0
        r"""The number of steps done of the current epoch."""
        self.history: list[Row] = []
        self.best: Row | None = None
        r"""The row of the best epoch so far, by validation bound (training ELBO without)."""
        self.stop: int | None = None
        r"""The signal that asked to stop after the current step."""
        self.elapsed = 0.0
        r"""The seconds spent on the current epoch before the training was interrupted."""
        self.sums: dict[str, Tensor] = {}
        self._last = torch.arange(min(batch_size, self.size))
        self.random: dict[str, Tensor] = {}

        if warmup:
            svi.objective.kl_weight = LinearWarmup(steps=warmup * self.steps_per_epoch)

        for module in modules_of(svi.model, svi.guide, svi.objective):
            module.to(self.device)

        self.feed = place(data, "train", self.device)
        if not svi.prepared:
            # A batch may be drawn, and lazy modules are sized: both take noise, of this seed.
            with preserving(svi.model, svi.guide):
                torch.manual_seed(mix(seed, -2))
                svi.prepare(**self._batch(torch.arange(min(batch_size, self.size))))
        players = svi.players if scheduler is not None else []
        self.schedulers = [scheduler(player.optimizer) for player in players]  # type: ignore[misc]
        check_schedulers(self)
        self.check_data()
        if signal:
            self._signal(2)  # refused now, not after an epoch

    @property
    def steps_per_epoch(self) -> int:
        r"""The number of minibatches of an epoch, the last and shorter one among them."""
        return -(-self.size // self.batch_size)

    def run(self) -> None:
        r"""Trains to the end, from wherever the state is.

        Raises:
            Interrupted: If :attr:`stop` was set meanwhile.
            NonFiniteError: If the loss stops being finite.
        """
        cuda = [self.device] if self.device.type == "cuda" else []

        # The data went through every check already.
        off = pyro.validation_enabled(False)

        with torch.random.fork_rng(devices=cuda), Progress(self) as progress, off:
            self._plan()
            progress.way(self.svi.backend or "off", self.svi.reason)
            while self.epoch < self.epochs and not self.out_of_patience:
                self._epoch(progress)

    @property
    def out_of_patience(self) -> bool:
        r"""Whether the best epoch is further back than the patience allows."""
        if self.patience is None or self.best is None:
            return False

        return self.epoch - self.best["epoch"] >= self.patience

    def check_data(self) -> None:
        r"""Runs all data through both programs once, with every check that there is."""
        splits = ["train", *(["validation"] if self.validated else [])]

        svi, objective = self.svi, self.svi.objective

        with preserving(svi.model, svi.guide), torch.no_grad(), pyro.validation_enabled(True):
            for split in splits:
                for rows in torch.arange(len(self.data[split])).split(PIECE):
                    batch = self.data.batch(split, rows, device=self.device)
                    objective.check(svi.model, svi.guide, **batch)

    def _epoch(self, progress: Progress) -> None:
        start = time.perf_counter()
        several = self.svi.several if self.feed is not None else 1
        steps = chunks(self._begin(), self.batch_size, position=self.position, several=several)

        for batches in steps:
            self._step(batches)
            self.position += len(batches)
            progress.step(batches.numel())

            if self.stop is not None:
                self.elapsed += time.perf_counter() - start
                self.random = get_states(self.device)
                raise Interrupted(self.stop)

        row = self._row(start)
        self._end(row)
        progress.epoch(row)
        if (sentence := collapse(row, self.history[:-1])) is not None:
            progress.note(sentence)

        if self.on_epoch is not None:
            self.on_epoch(self)

    def _begin(self) -> Tensor:
        # The order of the rows; all noise of the epoch follows.
        seed = mix(self.seed, self.epoch)
        order = torch.randperm(self.size, generator=torch.Generator().manual_seed(seed))

        if self.position == 0:
            torch.manual_seed(seed + 1)
            self.sums = {}
        else:
            set_states(self.random, self.device)

        return order.to(self.device)

    def _end(self, row: Row) -> None:
        self.epoch, self.position, self.elapsed = self.epoch + 1, 0, 0.0
        self.history.append(row)
        self._judge(row)
        self._schedule(row)

    def _plan(self) -> None:
        # What is compiled is compiled for whole batches, before the first step: a resumed training
        # compiles the same.
        rows = torch.arange(self.batch_size, device=self.device)
        planned = self.epochs * self.steps_per_epoch

        if self.feed is not None:
            self.svi.plan(planned, self.feed, rows)
        else:
            with preserving(self.svi.model, self.svi.guide):
                batch = self._batch(rows)
            self.svi.plan(planned, None, **batch)

    def _step(self, batches: Tensor) -> None:
        self._last = batches[-1]

        if self.feed is not None:
            means = self.svi.run(self.feed, batches)
        else:
            loss = self.svi.step(**self._batch(batches[0]))
            means = {"loss": loss, **self.svi.metrics}

        add(self.sums, batches.shape[1], **means)

    def _row(self, start: float) -> Row:
        means = {name: float(total) / self.size for name, total in self.sums.items()}
        self._require_finite(means["loss"])
        row = {
            "epoch": self.epoch + 1,
            "step": self.svi.steps,
            "lr": float(self.svi.optimizer.param_groups[0]["lr"]),
            "kl_weight": float(self.svi.objective.beta),
            **{f"train_{name}": value for name, value in means.items()},
        }
        if self.validated:
            means = validate(self.svi, self.data, seed=self.seed, device=self.device)
            row |= {f"validation_{name}": value for name, value in means.items()}

        if self.signal:
            row |= self._signal(self.signal)

        objective = self.svi.objective
        row |= criterion(row, objective.judged_by, bool(objective.schedules))
        return {**row, "seconds": self.elapsed + time.perf_counter() - start}

    def _signal(self, draws: int) -> Row:
        svi = self.svi

        with preserving(svi.model, svi.guide):
            torch.manual_seed(mix(self.seed, -3))
            batch = self._batch(torch.arange(self.batch_size))

        found = signal_to_noise(
            svi.objective, svi.model, svi.guide, batch, draws, seed=mix(self.seed, -3)
        )
        return {f"signal_{role}": ratio for role, ratio in found.items()}

    def _require_finite(self, loss: float) -> None:
        # Off the CPU, steps do not wait to look at their loss.
        if not math.isfinite(loss):
            batch = self._batch(self._last)
            raise NonFiniteError(
                f"The loss is not finite in epoch {self.epoch + 1}, by step {self.svi.steps}: "
                + explain(self.svi.model, self.svi.guide, batch, self.svi.parameters)
            )

    def _judge(self, row: Row) -> None:
        value = judged(row)

        if value == value and (self.best is None or value > judged(self.best)):
            self.best = row

    def _schedule(self, row: Row) -> None:
        for scheduler in self.schedulers:
            if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
                scheduler.step(-judged(row))
            else:
                scheduler.step()

    def _batch(self, rows: Tensor) -> dict[str, Tensor]:
        if self.feed is None:
            return self.data.batch("train", rows.cpu(), device=self.device)

        return self.feed(rows.to(self.device))
