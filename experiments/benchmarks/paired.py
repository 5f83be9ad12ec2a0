r"""Runs that are made once, and told side by side on the same test data."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ppl_vae import plots
from ppl_vae.catalogue import find_experiment
from ppl_vae.folder.atomic import write_bytes
from ppl_vae.options import Options
from ppl_vae.run import Run, train

__all__ = ["draw", "evidence", "made", "seconds", "table", "told"]


def made(experiment: str, options: str, folder: Path, particles: int | None) -> Run:
    r"""Trains and evaluates a run, unless it is there; one that was interrupted is continued.

    Arguments:
        experiment: The experiment.
        options: The options of its training, as on the command line.
        folder: The run's folder.
        particles: The number of particles of the evaluation on the test set; None to leave it out.

    Raises:
        ValueError: If the folder holds a run of other options.
        NonFiniteError: If the training does not stay finite.
    """
    run = trained(experiment, shlex.split(options), folder)
    known = {r["particles"] for r in run.evidence if r["split"] == "test"}

    if particles is not None and particles not in known:
        run.evaluate("test", particles=particles)
    return run


def trained(experiment: str, tokens: list[str], folder: Path) -> Run:
    r"""The run in a folder, trained to its end."""
    if not (folder / "config.yaml").is_file():
        return train(experiment, folder, tokens, overwrite=True, progress=False)

    run = Run(folder)
    wanted = Options(find_experiment(experiment)).parse(tokens)
    # The data are told apart by their hash, wherever they lie.
    if not agree({k: v for k, v in wanted.items() if k != "root"}, run.config["options"]):
        raise ValueError(f"There is a run of other options in {folder}; give another --out.")
    if len(run.history) < run.provenance["training"]["epochs"]:
        run.resume(progress=False)
    return run


def agree(wanted: Any, kept: Any) -> bool:
    r"""Whether the options that a run was made with are those that are wanted, as far as both tell.

    Example:
        >>> agree({"epochs": 3, "clip": None, "new": 1}, {"epochs": 3, "clip": 0.5})
        True
    """
    if isinstance(wanted, Mapping) and isinstance(kept, Mapping):
        return all(agree(value, kept[key]) for key, value in wanted.items() if key in kept)
    return wanted is None or bool(wanted == kept)


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
    if len(means) == 1:
        return f"{means[0]:.2f}"

    return f"{means.mean():.2f} ± {means.std(ddof=1) / len(means) ** 0.5:.2f}"


def seconds(runs: list[Run]) -> tuple[str, str]:
    r"""The mean seconds of training, and of the evaluation."""
    spent = (
        [run.provenance["seconds"] for run in runs],
        [run.evidence[0]["seconds"] for run in runs],
    )
    first, second = (f"{sum(part) / len(part):.0f} s" for part in spent)
    return first, second


Groups = Mapping[str, list[Run]]
r"""Runs of several seeds by their name; none of those that did not stay finite."""


def table(groups: Groups, baseline: list[Run]) -> str:
    r"""A row for each group, best first, and what it gains on the baseline, seed by seed."""
    heads = ("", "log p(x)", "- baseline", "ELBO", "training", "evaluation")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]

    for name, runs in ranked(groups).items():
        cells = [name, "diverged", "", "", "", ""]
        if runs:
            values = evidence(runs)
            gained = "" if runs is baseline else told(values - evidence(baseline))
            elbo = sum(run.evidence[0]["elbo"] for run in runs) / len(runs)
            cells = [name, told(values), gained, f"{elbo:.2f}", *seconds(runs)]
        lines.append(f"| {' | '.join(cells)} |")

    return "\n".join(lines)


def draw(groups: Groups, title: str, file: Path) -> None:
    r"""Draws the learning curves of groups, in the order of the table."""
    curves = [
        {"name": name, "histories": [run.history for run in runs], "ranked": True}
        for name, runs in ranked(groups).items()
        if runs
    ]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(file, plots.png(plots.overlaid_curves(curves, title=title)))


def ranked(groups: Groups) -> dict[str, list[Run]]:
    r"""The groups, the best log p(x) first."""
    values = {name: evidence(runs).mean() if runs else -np.inf for name, runs in groups.items()}
    return {name: groups[name] for name in sorted(groups, key=lambda name: -values[name])}
