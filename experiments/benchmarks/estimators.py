r"""How good are the estimates of log p(x) of a run, and what does its guide cost?

Run it with ``python -m ppl_vae.experiments.benchmarks.estimators DIR``, for a run whose guide has
one posterior, such as that of ``benchmarks.mnist``. Importance weighting is of the whole test set;
annealing, refinement and the split of the gap are of a random subset, on which both are compared
datum by datum; bounds from both sides are of data that the model draws.
"""

from __future__ import annotations

import shlex
import sys
from argparse import ArgumentParser
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from ppl_vae import load
from ppl_vae.experiments.benchmarks.machine import describe
from ppl_vae.experiments.benchmarks.page import Part
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
    annealing = {"steps": given.steps, "chains": given.chains}
    limit, n = {"limit": given.limit}, given.limit
    whole = run.diagnose("importance", particles=given.particles)
    ais = run.diagnose("ais", **limit, **annealing)
    gap = run.diagnose("gap", **limit, **annealing)
    both = run.diagnose(
        "bdmc", simulations=given.simulations, particles=given.particles, **annealing
    )
    arrays = run.arrays_of(ais)
    assert arrays is not None
    ahead = arrays["log_evidence"] - subset(run, ais, whole)
    K, chains = f"{given.particles} particles", f"{given.steps} steps, {given.chains} chains"
    low, high = both["edges"]
    return [
        f"| {' | '.join(HEADS)} |",
        "|---" * len(HEADS) + "|",
        row(
            "importance weighting, log p(x)",
            whole["n"],
            f"{whole['log_evidence']:.2f} ± {whole['standard_error']:.2f}",
            f"{K}; Monte Carlo error {whole['monte_carlo_error']:.3f}; {weighted(whole)}",
            whole["seconds"],
        ),
        row(
            "annealing, log p(x)",
            n,
            told(arrays["log_evidence"]),
            f"{chains}; Monte Carlo error {ais['monte_carlo_error']:.3f}; median ESS "
            f"{ais['ess']['median']:.1f} of {given.chains}; moves accepted {ais['acceptance']:.0%}",
            ais["seconds"],
        ),
        row("annealing - importance weighting", n, told(ahead), "paired by datum", 0),
        row(
            "amortization gap",
            n,
            f"{gap['amortization_gap']:.2f} ± {gap['amortization_gap_error']:.2f}",
            f"refined by 200 steps; log p(x) by {gap['estimator'].partition(', ')[2]}",
            gap["seconds"],
        ),
        row(
            "family gap",
            n,
            f"{gap['family_gap']:.2f} ± {gap['family_gap_error']:.2f}",
            "the same",
            0,
        ),
        row(
            "between both sides, simulated data",
            both["n"],
            f"{low:.2f} to {high:.2f}",
            f"95 %; {chains}; mean gap {both['gap']:.2f} ± {both['gap_error']:.2f}; importance "
            f"weighting {both['importance_gap']:.2f} below the upper side",
            both["seconds"],
        ),
    ]


def main() -> None:
    parser = ArgumentParser(description="Judges the estimates of log p(x) of a run.")
    parser.add_argument("dir", type=Path, help="the folder of the run")
    parser.add_argument("--particles", type=int, default=5000, help="of importance weighting")
    parser.add_argument("--limit", type=int, default=100, help="the data of the subset")
    parser.add_argument("--simulations", type=int, default=50, help="the data that are simulated")
    parser.add_argument("--steps", type=int, default=500, help="steps of annealing")
    parser.add_argument("--chains", type=int, default=16, help="chains of annealing")
    parser.add_argument("--write", type=Path, help="a Markdown file to write the table to")
    given = parser.parse_args()
    part = None if given.write is None else Part(given.write, "estimators")
    torch.set_num_threads(1)
    text = "\n".join(lines(load(given.dir), given))
    Console().print(text, markup=False)

    tokens = ["DIR" if token == str(given.dir) else token for token in sys.argv[1:]]
    command = f"python -m ppl_vae.experiments.benchmarks.estimators {shlex.join(tokens)}"
    if part is not None:
        part.write(f"`{command}`: {describe()}.\n\n{text}")


if __name__ == "__main__":
    main()
