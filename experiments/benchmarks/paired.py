r"""Runs that are made once, and told side by side on the same test data."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ppl_vae import plots
from ppl_vae.experiments.benchmarks.page import head
from ppl_vae.folder.atomic import write_bytes
from ppl_vae.folder.create import Plan
from ppl_vae.run import Run, train

__all__ = ["draw", "elbo", "evidence", "made", "record", "records", "seconds", "table", "told"]


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
    known = {r["particles"] for r in weighted(run)}

    if particles is not None and particles not in known:
        run.evaluate("test", particles=particles)
    return run


def trained(experiment: str, tokens: list[str], folder: Path) -> Run:
    r"""The run in a folder, trained to its end."""
    if not (folder / "config.yaml").is_file():
        return train(experiment, folder, tokens, overwrite=True, progress=False)

    run = Run(folder)
    if not asked_for(run, experiment, tokens):
        raise ValueError(f"There is a run of other options in {folder}; give another --out.")
    if len(run.history) < run.provenance["training"]["epochs"]:
        run.resume(progress=False)
    return run


def asked_for(run: Run, experiment: str, tokens: list[str]) -> bool:
    r"""Whether a run is of an experiment, its data and its options, defaults included.

    Options that only one of them knows, as those that came later, are not compared.
    """
    plan = Plan.of(experiment, tokens)
    # The data are told apart by their hash, wherever they lie.
    wanted = {k: v for k, v in plan.values.items() if k != "root"}
    return (
        Path(run.config["experiment"]).name == Path(experiment).name
        and run.data_summary["hash"] == plan.experiment.data.summary()["hash"]
        and agree(wanted, run.config["options"])
    )


def agree(wanted: Any, kept: Any) -> bool:
    r"""Whether resolved options are equal, as far as both tell.

    Example:
        >>> agree({"epochs": 3, "new": 1}, {"epochs": 3, "old": 2})
        True
        >>> agree({"clip": None}, {"clip": 0.5})
        False
    """
    if isinstance(wanted, Mapping) and isinstance(kept, Mapping):
        return all(agree(value, kept[key]) for key, value in wanted.items() if key in kept)
    return bool(wanted == kept)


def record(run: Run) -> dict[str, Any]:
    r"""The record of the evaluation on the test set with the most data, then the most particles.

    It is the one that :meth:`ppl_vae.run.Run.evidence_per_datum` has the numbers of.

    Raises:
        ValueError: If the run was not evaluated on the test set.
    """
    found = weighted(run)
    if not found:
        raise ValueError(f"The run {run.dir} was not evaluated on the test set.")

    return max(found, key=lambda r: (r["n"], r["particles"]))


def weighted(run: Run) -> list[dict[str, Any]]:
    r"""The records of importance weighting on the test set; other methods do not rank runs."""
    kinds = {"importance", None}
    return [r for r in run.evidence if r["split"] == "test" and r.get("method") in kinds]


def records(runs: Iterable[Run]) -> list[dict[str, Any]]:
    r"""The records of runs that stand side by side.

    Raises:
        ValueError: If a run was not evaluated, or not with as many data or particles as others.
    """
    found = {run.dir: record(run) for run in runs}
    sizes = {(r["n"], r["particles"]): folder for folder, r in found.items()}

    if len(sizes) > 1:
        which = " and ".join(f"{n} data, {K} particles ({at})" for (n, K), at in sizes.items())
        raise ValueError(f"Runs were evaluated differently: {which}; evaluate all of them alike.")
    return list(found.values())


def evidence(runs: list[Run]) -> np.ndarray:
    r"""log p(x) of each test datum, with shape ``(seeds, n)``.

    Raises:
        ValueError: If a run was not evaluated on the test set, or not as the others were.
    """
    records(runs)
    found = []
    for run in runs:
        arrays = run.evidence_per_datum("test")
        if arrays is None:
            raise ValueError(f"The run {run.dir} has no evidence for each datum.")
        found.append(arrays["log_evidence"])
    return np.stack(found)


def elbo(runs: list[Run]) -> float:
    r"""The mean ELBO of the test set over runs."""
    found = records(runs)
    return float(sum(r["elbo"] for r in found) / len(found))


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
        [r["seconds"] for r in records(runs)],
    )
    first, second = (f"{sum(part) / len(part):.0f} s" for part in spent)
    return first, second


Groups = Mapping[str, list[Run]]
r"""Runs of several seeds by their name; none of those that did not stay finite."""


def table(groups: Groups, baseline: list[Run]) -> str:
    r"""A row for each group, best first, and what it gains on the baseline, seed by seed.

    Raises:
        ValueError: If runs were not all evaluated with as many data and particles.
    """
    records(run for runs in (*groups.values(), baseline) for run in runs)
    heads = ("", "log p(x)", "- baseline", "ELBO", "training", "evaluation")
    lines = head(heads)

    for name, runs in ranked(groups).items():
        cells = [name, "diverged", "", "", "", ""]
        if runs:
            values = evidence(runs)
            gained = "" if runs is baseline else told(values - evidence(baseline))
            cells = [name, told(values), gained, f"{elbo(runs):.2f}", *seconds(runs)]
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
