r"""A run: training and evaluating the programs in its folder."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..catalogue import nearest
from ..evaluation import Evidence, log_evidence
from ..fit import Training
from ..folder import checkpoint
from ..folder.gallery import figures
from ..folder.recipe import recipe
from .evaluations import forget
from .methods import METHODS, UNGUIDED, Task
from .predictions import Predictions
from .training import run_saving, training_of

__all__ = ["Run", "load"]


class Run(Predictions):
    r"""A run in its folder, which need not be finished.

    Data go in and out as the programs see them: as :meth:`batch` returns them, scaled where the
    data set scales. :meth:`raw` undoes that.

    Arguments:
        folder: The folder of the run.
        device: ``"auto"``, or a device of torch.
        weights: ``"best"``, by validation bound, or ``"last"``.

    Raises:
        ValueError: If the folder is missing, incomplete or damaged.
    """

    def resume(self, *, progress: bool = True) -> None:
        r"""Continues an interrupted training; the result equals that of an uninterrupted one.

        It runs on the kind of device that it began on.

        Raises:
            Interrupted: If a signal asked to stop; the state is saved.
            NonFiniteError: If the loss stops being finite; the last checkpoint is kept.
            ValueError: If the run began on another kind of device.
        """
        path = self.dir / "checkpoints" / "last.safetensors"
        content = checkpoint.read(path)
        began = self.provenance["device"].partition(" ")[0].partition(":")[0]

        if began != self.device.type:
            raise ValueError(
                f"The run {self.dir} began on {began}, and its random state is of that device; "
                f"resume it there (--device {began}), or train it anew."
            )

        # Programs that were loaded are in evaluation mode: training starts from new ones.
        self.__dict__.pop("experiment", None)
        training = training_of(self.experiment, self.config["seed"], str(self.device), progress)
        checkpoint.restore(training, content, path)

        if training.epoch < training.epochs and not training.out_of_patience:
            forget(self.dir, self.evidence)

        self.follow(training)

    def follow(self, training: Training) -> None:
        r"""Runs a training with checkpoints; SIGINT and SIGTERM stop it after the current step."""
        self.__dict__.pop("svi", None)
        told = self.provenance
        used = recipe(self.experiment, training, told.get("training"))
        run_saving(training, self.dir, {**told, "training": used})

    def log_evidence(
        self, x: Tensor | None = None, *, exposure: Tensor | None = None, **options: Any
    ) -> Evidence:
        r"""Estimates :math:`\log p(x)` of data, by default those of the test split.

        Arguments:
            x: The data, with shape ``(n, *x_shape)``.
            exposure: Their exposures, with shape ``(n,)``, as for :meth:`reconstruct`.
            options: The options of :func:`ppl_vae.evaluation.log_evidence`.

        Raises:
            ValueError: If the guide has no density.
        """
        self._require_density()
        if x is None:
            batch = self.batch("test")
        else:
            x = torch.as_tensor(x, device=self.device)
            given = self._exposure(x, exposure)
            if self.data.exposure is not None and not given:
                raise ValueError(
                    "The data of this run come with exposures, and log p(x) depends on them: give "
                    "those of x, log_evidence(x, exposure=...)."
                )
            batch = {"x": x, **given}

        return log_evidence(self.model, self.guide, batch, **options)

    def evaluate(
        self,
        split: str = "test",
        particles: int = 5000,
        limit: int | None = None,
        seed: int = 0,
        **options: Any,
    ) -> dict[str, Any]:
        r"""Estimates the evidence of a split and keeps the record, which replaces its like.

        Arguments:
            split: train, validation or test.
            particles: The number of draws for each datum.
            limit: The number of data, drawn at random, to evaluate; all if None.
            seed: The seed of all draws.
            options: As for :func:`~ppl_vae.run.methods.importance.importance`, ``memory`` and
                ``progress``.

        Returns:
            The record: see :meth:`ppl_vae.evaluation.Evidence.summary`.

        Raises:
            ValueError: If the guide has no density.
        """
        return self.diagnose("importance", split, limit, seed, particles=particles, **options)

    def diagnose(
        self,
        method: str,
        split: str = "test",
        limit: int | None = None,
        seed: int = 0,
        *,
        memory: int = 2**29,
        progress: Callable[[int], None] | None = None,
        **options: Any,
    ) -> dict[str, Any]:
        r"""Evaluates a split in one of several ways and keeps the record, which replaces its like.

        Arguments:
            method: The name of the way, in :data:`ppl_vae.run.methods.METHODS`: ``"importance"``,
                ``"ais"``, ``"bdmc"``, ``"gap"``, ``"calibration"``, ``"latent"`` or ``"samples"``.
            split: train, validation or test.
            limit: The number of data, drawn at random, to evaluate; all if None.
            seed: The seed of all draws.
            memory: The number of bytes that intermediate results may take.
            progress: Called with the number of data that are done.
            options: The options of the method.

        Returns:
            The record, as plain values.

        Raises:
            ValueError: If there is no such method, or the guide has no density, which all but
                ``"samples"``, and ``"ais"`` and ``"bdmc"`` from the prior, need.
        """
        if method not in METHODS:
            raise ValueError(
                f"There is no method {method!r}{nearest(method, METHODS)}; there are "
                f"{', '.join(METHODS)}."
            )
        if method not in UNGUIDED:
            self._require_density()

        known = [name for name in signature(METHODS[method]).parameters if name != "task"]
        if unknown := [name for name in options if name not in known]:
            raise ValueError(
                f"The method {method!r} has no option {unknown[0]!r}{nearest(unknown[0], known)}; "
                f"it has {', '.join(known)}."
            )

        task = Task(self, method, split, limit, seed, memory, progress)
        try:
            return METHODS[method](task, **options)
        except KeyboardInterrupt as stop:
            if task.unfinished:
                stop.add_note("What is finished is kept: the same command goes on from there.")
            raise

    def figures(self) -> dict[str, Any]:
        r"""The figures of the report, by name; those that need absent data are left out."""
        return figures(self)

    def _require_density(self) -> None:
        if self.unscored:
            raise ValueError(
                f"The guide of the run {self.dir} has no density, so that there are no weights and "
                "no estimate of log p(x) by it; anneal from the prior (--method ais), judge "
                "samples (--method samples), or train one with a posterior that has a density, "
                "such as Normal."
            )


def load(folder: Path | str, *, device: str = "auto", weights: str = "best") -> Run:
    r"""Loads a run, without its data; files of the user in it are executed.

    Arguments:
        folder: The folder of the run.
        device: ``"auto"``, or a device of torch.
        weights: ``"best"``, by validation bound, or ``"last"``.

    Raises:
        ValueError: If the folder is missing, incomplete or damaged.
    """
    run = Run(folder, device=device, weights=weights)
    run.svi  # noqa: B018  fails now rather than later
    return run
