r"""What does each objective make of one and the same VAE of handwritten digits?

Run it with ``python -m ppl_vae.experiments.benchmarks.objectives --seeds 3 --write README.md``. All
train Binomial(16) under a standard normal prior, with a normal posterior unless it is named, for
the same number of epochs; the evidence is that of importance weights on the test set. Where there
is no density, or the likelihood is not trained as one, no log p(x) is told, nor where training
diverged. A run that is there already, whole, is not made again.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path
from typing import NamedTuple

import torch
from rich.console import Console

from ppl_vae.evaluation import active_units
from ppl_vae.experiments.benchmarks.machine import describe
from ppl_vae.experiments.benchmarks.page import Part
from ppl_vae.experiments.benchmarks.paired import elbo, evidence, made, record, records, told
from ppl_vae.experiments.benchmarks.parts import PARTICLES, TRAINING
from ppl_vae.run import Run

OBJECTIVES = {
    "ELBO": "",
    "MeanFieldELBO": "",
    "IWAE, 8 particles": "--objective.particles 8",
    "MIWAE, 8 x 8": "",
    "PIWAE, 8 x 8": "",
    "CIWAE, weight 0.5, 8 particles": "",
    "Renyi, alpha 0.5, 8 particles": "",
    "VRMax, 8 particles": "--objective.particles 8",
    "CUBO, 8 particles": "",
    "TVO, 8 particles": "",
    "StickingTheLanding": "",
    "DReG, 8 particles": "",
    "DReG, wake, 8 particles": "--objective.wake true",
    "VIMCO, 8 particles": "",
    "NVIL": "",
    "ReweightedWakeSleep, wake": "",
    "ReweightedWakeSleep, sleep": "--objective.phase sleep",
    "ReweightedWakeSleep, both": "--objective.phase both",
    "EnumELBO, 10 categories": "--prior OneHot --posterior OneHot --latent 10",
    "MonteCarloEM, 10 + 1 steps": "",
    "MonteCarloEM, 1 + 1 steps": "--objective.guide_steps 1",
    "Beta, 4": "",
    "Tempered, 0.5": "",
    "Capacity, 25 nats": "",
    "FreeBits, 0.5 nats": "--objective.per element",
    "GECO, -80 nats": "--objective.target -80",
    "TargetRate, 10 nats": "",
    "BetaTC, 6": "",
    "Factor": "",
    "DIP": "",
    "InfoVAE": "",
    "WAE, Delta": "--posterior Delta",
    "AAE, Delta": "--posterior Delta",
    "AVB, Implicit": "--posterior Implicit",
    "RAE, Delta": "--posterior Delta",
    "VAEGAN": "",
}
r"""By name, which begins with that of the class, options besides it."""

UNTRAINED = {"VAEGAN"}
r"""Those whose likelihood is not trained as a density."""


class Row(NamedTuple):
    r"""A line of the table, and what it is sorted by."""

    value: float
    line: str


def made_runs(name: str, options: str, out: Path, seeds: int) -> list[Run]:
    whole = f"--posterior Normal {options}" if "--posterior" not in options else options
    kind = name.partition(",")[0]
    return [
        made(
            "digits",
            f"--objective {kind} {whole} {TRAINING} --seed {seed}",
            out / name.replace(" ", "-").replace(",", "") / f"seed-{seed}",
            PARTICLES if scored(name, options) else None,
        )
        for seed in range(seeds)
    ]


def scored(name: str, options: str) -> bool:
    r"""Whether there is a density that was trained."""
    return name not in UNTRAINED and not {"Delta", "Implicit"} & set(options.split())


def row_of(name: str, options: str, runs: list[Run]) -> Row:
    units = torch.tensor([_units(run) for run in runs]).double()
    seconds = sum(run.provenance["seconds"] for run in runs) / len(runs)

    value = float("-inf")
    if not scored(name, options):
        shown = f"{'not trained' if name in UNTRAINED else 'no density'} | "
    elif lost := sum(diverged(run) for run in runs):
        shown = f"diverged{f' ({lost} of {len(runs)})' if lost < len(runs) else ''} | "
    else:
        values = evidence(runs)
        value = float(values.mean())
        shown = f"{told(values)} | {elbo(runs):.2f}"

    return Row(value, f"| {name} | {shown} | {units.mean():.1f} | {seconds:.1f} s |")


def diverged(run: Run) -> bool:
    r"""Whether training made the model worse than it was.

    The mean ELBO over the steps of the first epoch is that of programs that are hardly trained.
    What ends below it, on the test set, or at no number, has learned nothing: its log p(x) does
    not tell how the objective does where it works.
    """
    return not record(run)["elbo"] >= run.history[0]["train_elbo"]


def _units(run: Run) -> int:
    mean = run.encode(run.batch("test")["x"])["z"]["mean"]
    return int(active_units(mean).sum())


def main() -> None:
    parser = ArgumentParser(description="Trains a VAE of handwritten digits by each objective.")
    parser.add_argument("--out", type=Path, default=Path("runs/objectives"), help="a folder")
    parser.add_argument("--seeds", type=int, default=3, help="the number of runs of each")
    parser.add_argument("--write", type=Path, help="a Markdown file to write the table to")
    given = parser.parse_args()
    part = None if given.write is None else Part(given.write, "objectives")
    # Networks this small gain little from a second thread.
    torch.set_num_threads(1)
    console, rows = Console(), list[Row]()
    evaluated: list[Run] = []

    for name, options in OBJECTIVES.items():
        runs = made_runs(name, options, given.out, given.seeds)
        evaluated += runs if scored(name, options) else []
        records(evaluated)
        rows.append(row_of(name, options, runs))
        console.print(rows[-1].line, markup=False, highlight=False)

    command = f"python -m ppl_vae.experiments.benchmarks.objectives --seeds {given.seeds}"
    lines = ["| | log p(x) | ELBO | active units | training |", "|---|---|---|---|---|"]
    lines += [row.line for row in sorted(rows, key=lambda row: -row.value)]
    text = f"`{command} --write README.md`: seeds 0 to {given.seeds - 1}; {describe()}.\n\n"

    if part is not None:
        part.write(text + "\n".join(lines))


if __name__ == "__main__":
    main()
