r"""How well does each likelihood and each prior of the catalogue model handwritten digits?

Run it with ``python -m ppl_vae.experiments.benchmarks.parts --seeds 3 --write README.md``. All
likelihoods are laws of counts: their evidence is with respect to counting measure, so they may
stand in one table. Priors are compared under Binomial(16), each with a posterior on its support.
A run that is there already, whole, is not made again.
"""

from __future__ import annotations

import shlex
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from ppl_vae.compare import groups
from ppl_vae.experiments.benchmarks.machine import describe
from ppl_vae.experiments.benchmarks.page import Part
from ppl_vae.run import Run, train

TRAINING = (
    "--epochs 100 --batch_size 64 --optimizer Adam --optimizer.lr 0.002 "
    "--scheduler CosineAnnealingLR --scheduler.T_max 100"
)
PARTICLES = 1000

LIKELIHOODS = {
    "Binomial, 16 trials": "--likelihood Binomial --likelihood.total 16",
    "Categorical, 17": "--likelihood Categorical --likelihood.categories 17",
    "DiscretizedLogistic, 17 levels": "--likelihood DiscretizedLogistic --likelihood.levels 17",
    "DiscretizedLogisticMixture, 5": "--likelihood DiscretizedLogisticMixture"
    " --likelihood.levels 17 --likelihood.components 5",
    "Poisson": "--likelihood Poisson",
    "NegativeBinomial": "--likelihood NegativeBinomial",
    "ZeroInflated Binomial": "--likelihood ZeroInflated --likelihood.family Binomial"
    " --likelihood.family.total 16",
    "ZeroInflated Poisson": "--likelihood ZeroInflated --likelihood.family Poisson",
    "Mixture of 5 Binomial": "--likelihood Mixture --likelihood.components 5"
    " --likelihood.family Binomial --likelihood.family.total 16",
    "Dequantized Normal (a lower bound)": "--likelihood Dequantized --likelihood.family Normal",
}

NORMAL = "--posterior Normal"
PRIORS = {
    "StandardNormal": NORMAL,
    "LearnedNormal": NORMAL,
    "Laplace": NORMAL,
    "StudentT": NORMAL,
    "GaussianMixture, 10, diagonal": f"{NORMAL} --prior GaussianMixture",
    "GaussianMixture, 10, full": f"{NORMAL} --prior GaussianMixture --prior.covariance full",
    "Vamp, 50": f"{NORMAL} --prior Vamp --prior.components 50",
    "Exemplar, 500": f"{NORMAL} --prior Exemplar",
    "Autoregressive": NORMAL,
    "Flow, MAF": f"{NORMAL} --prior Flow",
    "Flow, NSF": f"{NORMAL} --prior Flow --prior.kind NSF",
    "Flow, NAF": f"{NORMAL} --prior Flow --prior.kind NAF",
    "Flow, RealNVP": f"{NORMAL} --prior Flow --prior.kind RealNVP",
    "Flow, NICE": f"{NORMAL} --prior Flow --prior.kind NICE",
    "SphericalUniform, power spherical": "--prior SphericalUniform --posterior PowerSpherical",
    "SphericalUniform, von Mises-Fisher": "--prior SphericalUniform --posterior VonMisesFisher",
    "Uniform on [-1, 1], truncated normal": "--prior Uniform --posterior Truncated"
    " --posterior.low -1 --posterior.high 1",
    "Dirichlet": "--prior FamilyPrior --prior.family Dirichlet --posterior Dirichlet",
    "LogisticNormal": "--prior FamilyPrior --prior.family LogisticNormal"
    " --posterior LogisticNormal",
    "Gamma": "--prior FamilyPrior --prior.family Gamma --posterior Gamma",
    "Beta": "--prior FamilyPrior --prior.family Beta --posterior Beta",
    "LogNormal": "--prior FamilyPrior --prior.family LogNormal --posterior LogNormal",
    "RelaxedBernoulli": "--prior FamilyPrior --prior.family RelaxedBernoulli"
    " --posterior RelaxedBernoulli",
    "Bernoulli": "--prior Bernoulli --posterior Bernoulli --objective.particles 8",
}


def priors() -> dict[str, str]:
    r"""The options of each prior; one that is named by its class alone needs no option more."""
    return {
        name: options if "--prior" in options else f"--prior {name} {options}"
        for name, options in PRIORS.items()
    }


def made(name: str, options: str, seed: int, out: Path) -> Run:
    r"""Trains and evaluates a run, unless it is there."""
    folder = out / name.replace(" ", "-") / f"seed-{seed}"

    if (folder / "evidence.json").is_file():
        return Run(folder)

    given = shlex.split(f"{options} {TRAINING} --seed {seed}")
    run = train("digits", folder, given, overwrite=True, progress=False)
    run.evaluate("test", particles=PARTICLES)
    return run


def table(variants: dict[str, str], out: Path, seeds: int, console: Console) -> str:
    r"""Trains all variants; returns a table of Markdown, best first."""
    rows: list[dict[str, Any]] = []

    for name, options in variants.items():
        start = time.perf_counter()
        runs = [made(name, options, seed, out) for seed in range(seeds)]
        (row,) = groups([run.dir for run in runs])
        rows.append({**row, "name": name})
        told = f"{row['log_evidence']:.2f} ± {row['standard_error']:.2f}"
        console.print(f"{name}: {told}, {time.perf_counter() - start:.0f} s", highlight=False)

    if measures := {row["base_measure"] for row in rows} - {"counting"}:
        raise AssertionError(f"evidence with respect to {measures} stands in no table of counts")

    lines = ["| | ELBO | KL | log p(x) | k-hat > 0.7 | training |", "|---|---|---|---|---|---|"]
    for row in sorted(rows, key=lambda row: -row["log_evidence"]):
        lines.append(
            f"| {row['name']} | {row['elbo']:.2f} | {row['kl']:.2f} | {row['log_evidence']:.2f} ± "
            f"{row['standard_error']:.2f} | {row['khat_share']:.0%} | {row['seconds']:.1f} s |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = ArgumentParser(description="Ranks likelihoods, and priors, on handwritten digits.")
    parser.add_argument("--out", type=Path, default=Path("runs/parts"), help="a folder")
    parser.add_argument("--seeds", type=int, default=3, help="the number of runs of each")
    parser.add_argument("--write", type=Path, help="a Markdown file to write the tables to")
    given = parser.parse_args()
    parts = (
        {} if given.write is None else {k: Part(given.write, k) for k in ("likelihoods", "priors")}
    )
    # Networks this small gain little from a second thread.
    torch.set_num_threads(1)
    console = Console()
    command = "python -m ppl_vae.experiments.benchmarks.parts"
    command = f"{command} --seeds {given.seeds} --write README.md"

    for kind, variants in (("likelihoods", LIKELIHOODS), ("priors", priors())):
        text = table(variants, given.out / kind, given.seeds, console)
        text = f"`{command}`: seeds 0 to {given.seeds - 1}; {describe()}.\n\n{text}"
        console.print(text, markup=False)
        if kind in parts:
            parts[kind].write(text)


if __name__ == "__main__":
    main()
