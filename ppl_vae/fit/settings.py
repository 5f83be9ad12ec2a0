r"""The settings of a training, and whether they go together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch.optim.lr_scheduler import ReduceLROnPlateau

from ..objectives import PyroObjective
from ..objectives.base import Objective

if TYPE_CHECKING:
    from .training import Training

__all__ = ["check_schedulers", "check_settings"]


def check_settings(training: Training, warmup: int) -> None:
    r"""Raises a ValueError unless the settings of a training go together.

    Arguments:
        training: The training, with its settings.
        warmup: The number of epochs over which the KL weight rises.
    """
    _check_sizes(training)
    _check_warmup(training, warmup)

    objective = training.svi.objective
    if training.signal and (training.signal < 2 or isinstance(objective, PyroObjective)):
        raise ValueError(
            "A signal-to-noise ratio takes two gradients or more, of an objective of this library; "
            f"got signal={training.signal} and {type(objective).__name__}."
        )
    if training.patience is not None and objective.judged_by == "last":
        raise ValueError(
            f"{type(objective).__name__} has no number to stop early by: its losses in two epochs "
            "are not of one objective; train without patience."
        )
    if training.patience is not None and (training.patience < 1 or not training.validated):
        raise ValueError(
            "Early stopping needs a positive patience and a validation set; "
            f"got patience={training.patience} and {training.data.counts}."
        )


def check_schedulers(training: Training) -> None:
    r"""Raises a ValueError if a scheduler waits for what an objective does not tell."""
    objective = training.svi.objective
    plateau = any(isinstance(s, ReduceLROnPlateau) for s in training.schedulers)

    if plateau and objective.judged_by == "last":
        raise ValueError(
            f"{type(objective).__name__} has no number to wait on a plateau of: its losses in two "
            "epochs are not of one objective; take a scheduler of epochs, such as "
            "CosineAnnealingLR."
        )


def _check_sizes(training: Training) -> None:
    for name in ("epochs", "batch_size"):
        if getattr(training, name) < 1:
            raise ValueError(f"{name} must be positive, got {getattr(training, name)}.")
    if training.batch_size > training.size:
        raise ValueError(
            f"batch_size is {training.batch_size}, but the training set has only {training.size} "
            "rows; take a smaller batch."
        )


def _check_warmup(training: Training, warmup: int) -> None:
    objective: Objective = training.svi.objective

    if warmup < 0:
        raise ValueError(f"warmup must not be negative, got {warmup}.")
    if warmup and isinstance(objective, PyroObjective):
        raise ValueError("Objectives of Pyro have no KL weight to warm up; take one of ours.")
    if warmup and not objective.weighted:
        raise ValueError(
            f"{type(objective).__name__} has no weight of the KL term to warm up; train without "
            "warm-up."
        )
    if warmup and objective.kl_weight != 1.0:
        raise ValueError("Give either warmup or a kl_weight of the objective, not both.")

    needed = {name: schedule.steps for name, schedule in objective.schedules.items()}
    if warmup:
        needed["beta"] = warmup * training.steps_per_epoch

    planned = training.epochs * training.steps_per_epoch
    for name, steps in needed.items():
        if steps > planned:
            what = "warm-up of the KL weight" if name == "beta" else f"schedule of the {name}"
            raise ValueError(
                f"The {what} takes {steps} steps, but the training has only {planned}: it would "
                "never reach its end. Train longer, or make it faster."
            )
