r"""How good are the estimates of log p(x) of a run, and what does its guide cost?

Run it with ``python -m ppl_vae.experiments.benchmarks.estimators DIR``, for a run whose guide has
one posterior, such as that of ``benchmarks.mnist``. Importance weighting is of the whole test set;
annealing, refinement and the split of the gap are of a random subset, on which both are compared
datum by datum; bounds from both sides are of data that the model draws.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from ppl_vae import load
from ppl_vae.experiments.benchmarks.page import Part, head, measured
from ppl_vae.run import Run

HEADS = ("what", "data", "nats per datum", "how", "seconds")


def subset(run: Run, record: Mapping[str, Any], whole: Mapping[str, Any]) -> np.ndarray:
    r"""What importance weighting of all data says of those of another evaluation."""
    few, many = run.arrays_of(record), run.arrays_of(whole)
    assert few is not None and many is not None
    rows = np.searchsorted(many["index"], few["index"])
    found: np.ndarray = many["log_evidence"][rows]
    return found


def told(values: np.ndarray) -> str:
    r"""A mean over data and its standard error."""
    return f"{values.mean():.2f} ± {values.std(ddof=1) / len(values) ** 0.5:.2f}"


def row(what: str, n: int, value: str, how: str, seconds: float) -> str:
    spent = f"{seconds:.0f}" if seconds else ""
    return f"| {what} | {n} | {value} | {how} | {spent} |"


def weighted(record: Mapping[str, Any]) -> str:
    share, ess = record["khat"]["share_over_0.7"], record["ess"]["median"]
    return f"median ESS {ess:.1f}, k-hat > 0.7 for {share:.0%}"


def lines(run: Run, given: Any) -> list[str]:
    r"""The table, a line for each number."""
    annealing = {"steps": given.steps, "chains": given.chains}
    limit = {"limit": given.limit}
    whole = run.diagnose("importance", particles=given.particles)
    ais = run.diagnose("ais", **limit, **annealing)
    gap = run.diagnose("gap", **limit, **annealing, refine=given.refine)
    both = run.diagnose(
        "bdmc", simulations=given.simulations, particles=given.particles, **annealing
    )
    return [
        *head(HEADS),
        *of_importance(whole),
        *of_annealing(run, ais, whole),
        *of_gap(gap, given.refine),
        of_both(both),
    ]


def of_importance(found: Mapping[str, Any]) -> Iterator[str]:
    yield row(
        "importance weighting, log p(x)",
        found["n"],
        f"{found['log_evidence']:.2f} ± {found['standard_error']:.2f}",
        f"{found['particles']} particles; Monte Carlo error {found['monte_carlo_error']:.3f}; "
        f"{weighted(found)}",
        found["seconds"],
    )
    if (misfit := found["misfit"]) is not None:
        width = f"posterior {misfit['width']:.2f} ± {misfit['width_error']:.2f} times as wide"
        shift = f"{misfit['shift']:.2f} ± {misfit['shift_error']:.2f} widths away"
        faults = " and ".join(misfit["faults"]) or "none"
        yield row("misfit of the guide", misfit["n"], "", f"{width}, {shift}; named: {faults}", 0)


def of_annealing(run: Run, found: Mapping[str, Any], whole: Mapping[str, Any]) -> Iterator[str]:
    arrays, chains = run.arrays_of(found), found["chains"]
    assert arrays is not None
    yield row(
        "annealing, log p(x)",
        found["n"],
        told(arrays["log_evidence"]),
        f"{found['steps']} steps, {chains} chains; Monte Carlo error "
        f"{found['monte_carlo_error']:.3f}; median ESS {found['ess']['median']:.1f} of {chains}; "
        f"moves accepted {found['acceptance']:.0%}",
        found["seconds"],
    )
    ahead = arrays["log_evidence"] - subset(run, found, whole)
    yield row("annealing - importance weighting", found["n"], told(ahead), "paired by datum", 0)


def of_gap(found: Mapping[str, Any], refine: int) -> Iterator[str]:
    late = f"the second half of them brought {found['refined_late']:.2f}"
    how = f"refined by {refine} steps, {late}; log p(x) by {found['estimator'].partition(', ')[2]}"
    for part, words, seconds in (
        ("amortization", how, found["seconds"]),
        ("family", "the same", 0.0),
    ):
        value = f"{found[f'{part}_gap']:.2f} ± {found[f'{part}_gap_error']:.2f}"
        yield row(f"{part} gap", found["n"], value, words, seconds)


def of_both(found: Mapping[str, Any]) -> str:
    low, high = found["edges"]
    return row(
        "between both sides, simulated data",
        found["n"],
        f"{low:.2f} to {high:.2f}",
        f"95 %; {found['steps']} steps, {found['chains']} chains; mean gap {found['gap']:.2f} ± "
        f"{found['gap_error']:.2f}; importance weighting {found['importance_gap']:.2f} below the "
        "upper side",
        found["seconds"],
    )


def main() -> None:
    parser = ArgumentParser(description="Judges the estimates of log p(x) of a run.")
    parser.add_argument("dir", type=Path, help="the folder of the run")
    parser.add_argument("--particles", type=int, default=5000, help="of importance weighting")
    parser.add_argument("--limit", type=int, default=100, help="the data of the subset")
    parser.add_argument("--simulations", type=int, default=50, help="the data that are simulated")
    parser.add_argument("--steps", type=int, default=1000, help="steps of annealing")
    parser.add_argument("--chains", type=int, default=16, help="chains of annealing")
    parser.add_argument("--refine", type=int, default=500, help="steps of refinement")
    parser.add_argument("--write", type=Path, help="a Markdown file to write the table to")
    given = parser.parse_args()
    part = None if given.write is None else Part(given.write, "estimators")
    torch.set_num_threads(1)
    text = "\n".join(lines(load(given.dir), given))
    Console().print(text, markup=False, soft_wrap=True)

    if part is not None:
        part.write(f"{measured('benchmarks.estimators', given.dir)}\n\n{text}")


if __name__ == "__main__":
    main()
