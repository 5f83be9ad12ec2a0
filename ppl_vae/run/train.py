r"""A new run: training an experiment into a folder."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import torch

from ..experiment import Experiment
from ..folder.create import Plan, check_free
from ..legality import judge
from .run import Run
from .training import training_of

__all__ = ["train"]


def train(
    experiment: str,
    out: Path | str,
    options: list[str] | None = None,
    *,
    overwrite: bool = False,
    progress: bool = True,
) -> Run:
    r"""Trains an experiment into a folder.

    Arguments:
        experiment: A name in ``experiments/``, or the path of a Python file.
        out: The folder.
        options: Options as on the command line, such as ``["--prior", "Vamp"]``.
        overwrite: Whether a run that is there already is replaced.
        progress: Whether progress is shown.

    Raises:
        ValueError: If an option is wrong, or there is a run already.
        Interrupted: If a signal asked to stop; the run can be resumed.
    """
    out = Path(out)
    check_free(out, overwrite)
    plan = Plan.of(experiment, options or [])
    _ask(plan.experiment)
    # All that can be wrong with options and data shows before the folder is touched.
    training = training_of(plan.experiment, plan.seed, plan.device, progress)
    plan.write(out, training)
    run = Run(out, device=plan.device)
    run.__dict__["experiment"] = plan.experiment
    run.follow(training)
    return run


def _ask(e: Experiment) -> None:
    # A few rows tell whether the parts go together.
    rows = torch.arange(min(64, len(e.data["train"])))
    batch = e.data.batch("train", rows, generator=torch.Generator().manual_seed(0))
    # Of a copy: lazy modules are sized, and drawn, by the seed of the training.
    verdict = judge(e.model, e.guide, deepcopy(e.objective), batch)

    if not verdict.legal:
        raise ValueError(verdict.reason)
