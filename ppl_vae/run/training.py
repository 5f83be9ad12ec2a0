r"""The training of a run, from its start and with checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..experiment import Experiment
from ..fit import Interrupted, Training
from ..folder.atomic import WriteError
from ..folder.saver import Saver, stopping_on_signals
from ..nonfinite import NonFiniteError

__all__ = ["run_saving", "training_of"]


def training_of(e: Experiment, seed: int, device: str, progress: bool) -> Training:
    r"""The training of an experiment, from its start."""
    return Training(
        e.svi(),
        e.data,
        e.epochs,
        batch_size=e.batch_size,
        seed=seed,
        scheduler=e.scheduler,
        warmup=e.warmup,
        patience=e.patience,
        signal=e.signal,
        device=device,
        progress=progress,
    )


def run_saving(training: Training, folder: Path, provenance: dict[str, Any]) -> None:
    r"""Runs a training with checkpoints; SIGINT and SIGTERM stop it after the current step.

    Arguments:
        training: The training, from wherever its state is.
        folder: The folder of the run.
        provenance: What the run's provenance tells already.

    Raises:
        Interrupted: If a signal asked to stop; the state is saved.
        NonFiniteError: If the loss stops being finite; the last checkpoint is kept.
        WriteError: If the folder cannot be written.
    """
    saver = Saver(folder, training, provenance)
    training.on_epoch = saver.epoch

    with stopping_on_signals(training):
        try:
            training.run()
            saver.save()
        except NonFiniteError:
            saver.save_best()
            raise
        except Interrupted as stop:
            saver.save()
            stop.add_note(f"ppl-vae resume {folder} continues.")
            raise
        except WriteError as error:
            error.add_note(f"With space again, ppl-vae resume {folder} continues.")
            raise
