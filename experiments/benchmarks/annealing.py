r"""How should annealing spend its gradients: on many steps, or on long ones?

Run it with ``python -m ppl_vae.experiments.benchmarks.annealing DIR``, for a run whose latent
variables are continuous. All lines are of the same data and the same number of gradients.
"""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console

from ppl_vae import load
from ppl_vae.evaluation.annealing import annealed_evidence
from ppl_vae.experiments.benchmarks.page import Part, head, measured
from ppl_vae.run import Run

HEADS = ("start", "leapfrog steps", "steps", "log p(x)", "median ESS", "accepted", "seconds")


def line(run: Run, batch: Any, start: Any, leapfrog: int, given: Namespace) -> str:
    r"""What one way gives: means over the seeds of its chains, and their standard error."""
    steps, began = given.gradients // leapfrog, time.perf_counter()
    told = []
    for seed in range(given.seeds):
        found = annealed_evidence(
            run.model,
            run.guide,
            batch,
            steps=steps,
            leapfrog=leapfrog,
            chains=given.chains,
            start=start,
            seed=seed,
        ).summary()
        told.append((found["log_evidence"], found["ess"]["median"], found["acceptance"]))

    seconds = (time.perf_counter() - began) / given.seeds
    value, ess, accepted = np.mean(told, 0)
    error = np.std(told, 0, ddof=1)[0] / given.seeds**0.5
    cells = [start, leapfrog, steps, f"{value:.2f} ± {error:.2f}", f"{ess:.1f}", f"{accepted:.0%}"]
    return f"| {' | '.join(map(str, [*cells, f'{seconds:.0f}']))} |"


def main() -> None:
    parser = ArgumentParser(description="Compares ways of annealing at the same cost.")
    parser.add_argument("dir", type=Path, help="the folder of the run")
    parser.add_argument("--limit", type=int, default=25, help="the number of data")
    parser.add_argument("--gradients", type=int, default=2000, help="gradients of each chain")
    parser.add_argument("--leapfrog", type=int, nargs="+", default=[1, 2, 5, 10], help="steps")
    parser.add_argument("--chains", type=int, default=16, help="chains of each datum")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of the chains, two or more")
    parser.add_argument("--write", type=Path, help="a Markdown file to write the table to")
    given = parser.parse_args()
    if given.seeds < 2 or any(given.gradients % leapfrog for leapfrog in given.leapfrog):
        parser.error(
            "take two seeds or more, and numbers of leapfrog steps that divide --gradients"
        )
    part = None if given.write is None else Part(given.write, "annealing")
    torch.set_num_threads(1)
    run = load(given.dir)
    batch = run.batch("test", given.limit)
    told = head(HEADS)
    console = Console()

    for start in ("prior", "guide"):
        for leapfrog in given.leapfrog:
            told.append(line(run, batch, start, leapfrog, given))
            console.print(told[-1], markup=False)

    if part is not None:
        part.write(f"{measured('benchmarks.annealing', given.dir)}\n\n" + "\n".join(told))


if __name__ == "__main__":
    main()
