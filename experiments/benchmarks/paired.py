r"""Runs that are made once, and told side by side on the same test data."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np

from ppl_vae.run import Run, train

__all__ = ["evidence", "made", "seconds", "told"]


def made(experiment: str, options: str, folder: Path, particles: int) -> Run:
    r"""Trains and evaluates a run, unless it is there.

    Arguments:
        experiment: The experiment.
        options: The options of its training, as on the command line.
        folder: The run's folder.
        particles: The number of particles of the evaluation on the test set.
    """
    if (folder / "evidence.json").is_file():
        return Run(folder)

    run = train(experiment, folder, shlex.split(options), overwrite=True, progress=False)
    run.evaluate("test", particles=particles)
    return run


def evidence(runs: list[Run]) -> np.ndarray:
    r"""log p(x) of each test datum, with shape ``(seeds, n)``.

    Raises:
        ValueError: If a run was not evaluated on the test set.
    """
    found = []
    for run in runs:
        arrays = run.evidence_per_datum("test")
        if arrays is None:
            raise ValueError(f"The run {run.dir} has no evidence for each datum.")
        found.append(arrays["log_evidence"])
    return np.stack(found)


def told(values: np.ndarray) -> str:
    r"""The mean over seeds of the mean over data, and its standard error over seeds.

    Example:
        >>> told(np.array([[1.0, 3.0], [2.0, 4.0]]))
        '2.50 ± 0.50'
    """
    means = values.mean(1)
    error = means.std(ddof=1) / len(means) ** 0.5 if len(means) > 1 else float("nan")
    return f"{means.mean():.2f} ± {error:.2f}"


def seconds(runs: list[Run]) -> tuple[str, str]:
    r"""The mean seconds of training, and of the evaluation."""
    spent = (
        [run.provenance["seconds"] for run in runs],
        [run.evidence[0]["seconds"] for run in runs],
    )
    first, second = (f"{sum(part) / len(part):.0f} s" for part in spent)
    return first, second
