r"""The demo: three priors of one variational auto-encoder, compared on handwritten digits.

Run it with ``make demo``, or ``python -m ppl_vae.experiments.demo [--out DIR] [--seeds N]``.
"""

from __future__ import annotations

from argparse import ArgumentParser
from pathlib import Path

import torch

from ppl_vae.compare import groups, illustrate, print_table
from ppl_vae.report import write_comparison
from ppl_vae.run import train

VARIANTS = {
    "standard normal prior": ["--prior", "StandardNormal"],
    "VampPrior": ["--prior", "Vamp", "--prior.components", "50"],
    "flow prior": ["--prior", "Flow"],
}
TRAINING = [
    *("--epochs", "100", "--batch_size", "64"),
    *("--optimizer", "Adam", "--optimizer.lr", "0.002", "--optimizer.fused", "true"),
    *("--scheduler", "CosineAnnealingLR", "--scheduler.T_max", "100"),
]
PARTICLES = 1000


def main(out: Path, seeds: int) -> Path:
    r"""Trains and evaluates the variants into a folder; returns the path of the report."""
    for name, options in VARIANTS.items():
        for seed in range(seeds):
            print(f"\n{name}, seed {seed}", flush=True)
            folder = out / name / f"seed-{seed}"
            given = [*options, *TRAINING, "--seed", str(seed)]
            train("digits", folder, given, overwrite=True).evaluate("test", particles=PARTICLES)

    found = groups([out / name / f"seed-{seed}" for name in VARIANTS for seed in range(seeds)])
    print()
    print_table(found, title="Handwritten digits under a binomial likelihood, 300 test images")
    illustrate(found)
    return write_comparison(found, out / "report.html", title="Three priors on handwritten digits")


if __name__ == "__main__":
    parser = ArgumentParser(description="Compares three priors on handwritten digits.")
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="a folder")
    parser.add_argument("--seeds", type=int, default=1, help="the number of runs of each variant")
    given = parser.parse_args()
    # Networks this small gain little from a second thread, and lose much where cores are shared.
    torch.set_num_threads(1)
    print(f"report: {main(given.out, given.seeds).resolve()}")
