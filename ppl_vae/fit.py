r"""Stochastic variational inference: the loop over epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import pyro
import torch
from torch import Tensor

from .device import fits, pick_device
from .modules import modules_of, preserving
from .nonfinite import NonFiniteError, explain
from .objectives import LinearWarmup, PyroObjective
from .objectives.base import Objective
from .progress import Progress
from .svi import SVI

__all__ = ["Interrupted", "Training", "fit"]

Scheduler = Callable[[torch.optim.Optimizer], Any]
Row = dict[str, float]


class Interrupted(Exception):
    r"""Training was asked to stop, and did so after a whole step.

    Arguments:
        signum: The number of the signal that asked.
    """

    def __init__(self, signum: int) -> None:
        super().__init__(f"Training was interrupted by signal {signum}.")
        self.signum = signum


class Feed:
    r"""Makes batches of data that live on the device; it is captured with the step.

    Arguments:
        data: The data set.
        sites: The stored rows of its training split by site, on the device.
    """

    def __init__(self, data: Any, sites: dict[str, Tensor]) -> None:
        self.data = data
        # In tuples, which staging does not look into: they are data, and nothing changes them.
        self.sites = tuple(sites.items())

    def __call__(self, rows: Tensor) -> dict[str, Tensor]:
        sites = {name: t.index_select(0, rows) for name, t in self.sites}
        return {**self.data.draw(sites), "index": rows}


def fit(svi: SVI, data: Any, epochs: int, **options: Any) -> list[Row]:
    r"""Trains over epochs of a data set.

    Example:
        >>> from functools import partial
        >>> from ppl_vae.data import digits
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.conditional import Conditional
        >>> from ppl_vae.families import Binomial, Normal
        >>> from ppl_vae.models import VAE
        >>> from ppl_vae.networks import mlp
        >>> from ppl_vae.priors import StandardNormal
        >>> data = digits()
        >>> model = VAE(
        ...     StandardNormal((4,)), Conditional((4,), Binomial(data.event_shape, 16), mlp([32]))
        ... )
        >>> guide = Amortized(Conditional(data.event_shape, Normal((4,)), mlp([32]), in_scale=16))
        >>> svi = SVI(model, guide, partial(torch.optim.Adam, lr=1e-3))
        >>> history = fit(svi, data, epochs=2, progress=False)
        >>> sorted(history[-1])[:3]
        ['epoch', 'kl_weight', 'lr']

    Arguments:
        svi: The programs, the objective and the optimizer.
        data: The data set, a :class:`ppl_vae.data.Data`.
        epochs: The number of epochs.
        options: The other arguments of :class:`Training`.

    Returns:
        One row per epoch: loss, true ELBO, reconstruction and KL for training and validation, in
        nats per datum.

    Raises:
        ValueError: See :class:`Training`.
    """
    training = Training(svi, data, epochs, **options)
    training.run()
    return training.history


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
        patience: The number of epochs without a better validation ELBO after which to stop.
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
        device: str = "auto",
        progress: bool = True,
        on_epoch: Callable[[Training], None] | None = None,
    ) -> None:
        self.svi, self.data, self.epochs = svi, data, epochs
        self.batch_size, self.seed, self.patience = batch_size, seed, patience
        self.device = pick_device(device)
        self.progress, self.on_epoch = progress, on_epoch
        self.size = len(data["train"])
        self.validated = data.counts.get("validation", 0) > 0
        self._check(warmup)

        self.epoch = 0
        r"""The number of whole epochs done."""
        self.position = 0
        r"""The number of steps done of the current epoch."""
        self.history: list[Row] = []
        self.best: Row | None = None
        r"""The row of the best epoch so far, by validation ELBO (training ELBO without)."""
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

        self.feed = self._place("train")
        if not svi.prepared:
            # A batch may be drawn: dynamic binarization takes noise.
            with preserving(svi.model, svi.guide):
                svi.prepare(**self._batch(torch.arange(min(batch_size, self.size))))
        players = svi.players if scheduler is not None else []
        self.schedulers = [scheduler(player.optimizer) for player in players]  # type: ignore[misc]
        self.check_data()

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
                for rows in torch.arange(len(self.data[split])).split(1000):
                    batch = self.data.batch(split, rows, device=self.device)
                    objective.check(svi.model, svi.guide, **batch)

    def _epoch(self, progress: Progress) -> None:
        start = time.perf_counter()
        shuffle = torch.Generator().manual_seed(_mix(self.seed, self.epoch))
        order = torch.randperm(self.size, generator=shuffle).to(self.device)

        if self.position == 0:
            torch.manual_seed(_mix(self.seed, self.epoch) + 1)
            self.sums = {}
        else:
            self._restore_random()

        for batches in self._chunks(order):
            self._step(batches)
            self.position += len(batches)
            progress.step(batches.numel())

            if self.stop is not None:
                self.elapsed += time.perf_counter() - start
                self._save_random()
                raise Interrupted(self.stop)

        row = self._row(start)
        self.epoch, self.position, self.elapsed = self.epoch + 1, 0, 0.0
        self.history.append(row)
        self._judge(row)
        self._schedule(row)
        progress.epoch(row)

        if self.on_epoch is not None:
            self.on_epoch(self)

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

    def _chunks(self, order: Tensor) -> list[Tensor]:
        # The rows of steps that are taken together, each with shape (S, B), from the position on.
        whole = order[: self.size - self.size % self.batch_size].view(-1, self.batch_size)
        rest = order[whole.numel() :].unsqueeze(0)
        several = self.svi.several if self.feed is not None else 1
        left = list(whole[self.position :].split(several)) if self.position < len(whole) else []
        return left + [rest] * (rest.numel() > 0 and self.position <= len(whole))

    def _step(self, batches: Tensor) -> None:
        self._last = batches[-1]

        if self.feed is not None:
            means = self.svi.run(self.feed, batches)
        else:
            loss = self.svi.step(**self._batch(batches[0]))
            means = {"loss": loss, **self.svi.metrics}

        self._add(batches.shape[1], **means)

    def _row(self, start: float) -> Row:
        means = {name: float(total) / self.size for name, total in self.sums.items()}
        if not math.isfinite(means["loss"]):
            # Off the CPU, steps do not wait to look at their loss.
            raise NonFiniteError(
                f"The loss is not finite in epoch {self.epoch + 1}, by step {self.svi.steps}: "
                + explain(
                    self.svi.model, self.svi.guide, self._batch(self._last), self.svi.parameters
                )
            )
        row = {
            "epoch": self.epoch + 1,
            "step": self.svi.steps,
            "lr": float(self.svi.optimizer.param_groups[0]["lr"]),
            "kl_weight": float(self.svi.objective.beta),
            **{f"train_{name}": value for name, value in means.items()},
        }
        if self.validated:
            row |= {f"validation_{name}": value for name, value in self._validate().items()}

        return {**row, "seconds": self.elapsed + time.perf_counter() - start}

    def _validate(self) -> Row:
        # One seed for all epochs: differences are those of the parameters, not of the noise.
        self.sums = {}
        torch.manual_seed(_mix(self.seed, -1))

        for rows in torch.arange(len(self.data["validation"])).split(1000):
            batch = self.data.batch("validation", rows, device=self.device)
            estimate = self.svi.evaluate(**batch)
            self._add(len(rows), loss=estimate.loss / estimate.size, **estimate.metrics)

        return {k: float(total) / len(self.data["validation"]) for k, total in self.sums.items()}

    def _add(self, n: int, **means: Tensor) -> None:
        for name, mean in means.items():
            total = self.sums.get(name)
            mean = mean.detach() if mean.device.type == "mps" else mean.detach().double()
            mean = n * mean.sum()
            self.sums[name] = mean if total is None else total + mean

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

    def _place(self, split: str) -> Feed | None:
        # Data that fit live on the device, as they are stored: small.
        sites = dict(self.data[split].sites)
        if not fits(sum(t.nbytes for t in sites.values()), self.device):
            return None

        return Feed(self.data, {name: t.to(self.device) for name, t in sites.items()})

    def _batch(self, rows: Tensor) -> dict[str, Tensor]:
        if self.feed is None:
            return self.data.batch("train", rows.cpu(), device=self.device)

        return self.feed(rows.to(self.device))

    def _save_random(self) -> None:
        self.random = {"cpu": torch.get_rng_state()}
        if self.device.type == "cuda":
            self.random["cuda"] = torch.cuda.get_rng_state(self.device)

    def _restore_random(self) -> None:
        torch.set_rng_state(self.random["cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(self.random["cuda"], self.device)

    def _check(self, warmup: int) -> None:
        objective: Objective = self.svi.objective

        for name in ("epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}.")
        if self.batch_size > self.size:
            raise ValueError(
                f"batch_size is {self.batch_size}, but the training set has only {self.size} rows; "
                "take a smaller batch."
            )
        if warmup < 0:
            raise ValueError(f"warmup must not be negative, got {warmup}.")
        if warmup and isinstance(objective, PyroObjective):
            raise ValueError("Objectives of Pyro have no KL weight to warm up; take one of ours.")
        if warmup and objective.kl_weight != 1.0:
            raise ValueError("Give either warmup or a kl_weight of the objective, not both.")

        planned = self.epochs * self.steps_per_epoch
        needed = warmup * self.steps_per_epoch or getattr(objective.kl_weight, "steps", 0)
        if needed > planned:
            raise ValueError(
                f"The warm-up of the KL weight takes {needed} steps, but the training has only "
                f"{planned}: it would never reach its end. Train longer, or warm up faster."
            )
        if self.patience is not None and (self.patience < 1 or not self.validated):
            raise ValueError(
                "Early stopping needs a positive patience and a validation set; "
                f"got patience={self.patience} and {self.data.counts}."
            )


def judged(row: Row) -> float:
    r"""The number by which an epoch is judged: the validation ELBO, or the training one without."""
    for name in ("validation_elbo", "validation_loss", "train_elbo", "train_loss"):
        if name in row:
            return row[name] if name.endswith("elbo") else -row[name]

    raise ValueError(f"The row has no loss: {row}.")


def _mix(seed: int, epoch: int) -> int:
    return (seed * 1_000_003 + (epoch + 1) * 7919 * 2) % 2**62
