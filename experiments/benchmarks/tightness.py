r"""Does a tighter bound train a better model of MNIST?

Run it with ``python -m ppl_vae.experiments.benchmarks.tightness --root DIR --seeds 3``. A VAE of
one layer, 784-200-200-50 with tanh, is trained by the ELBO, by IWAE of 5 and of 50 particles, and
by DReG of 50, as in Burda et al. (2016), https://arxiv.org/abs/1509.00519, and Tucker et al.
(2019), https://arxiv.org/abs/1810.04152, but for far fewer steps. All are evaluated alike, on the
whole test set of protocol A, and compared datum by datum.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from pathlib import Path

from rich.console import Console

from ppl_vae.experiments.benchmarks.page import Part, head, measured
from ppl_vae.experiments.benchmarks.paired import elbo, evidence, made, records, seconds, told
from ppl_vae.run import Run

OBJECTIVES = {
    "ELBO": ("--objective ELBO", "-86.76"),
    "IWAE, 5 particles": ("--objective IWAE --objective.particles 5", "-85.54"),
    "IWAE, 50 particles": ("--objective IWAE --objective.particles 50", "-84.78"),
    "DReG, 50 particles": ("--objective DReG --objective.particles 50", ""),
}
r"""The options of each, and log p(x) of 5000 particles as published, after 3280 epochs."""

HEADS = ("objective", "log p(x)", "- ELBO", "test ELBO", "training", "evaluation", "published")


def parse() -> Namespace:
    parser = ArgumentParser(description="Compares the bounds that train a VAE of MNIST.")
    parser.add_argument("--root", required=True, help="the folder of MNIST, or its parent")
    parser.add_argument("--out", type=Path, default=Path("runs/tightness"), help="a folder")
    parser.add_argument("--seeds", type=int, default=3, help="the number of runs of each")
    parser.add_argument("--epochs", type=int, default=20, help="the number of epochs of each")
    parser.add_argument("--particles", type=int, default=1000, help="particles of the evaluation")
    parser.add_argument("--write", type=Path, help="a Markdown file to write the table to")
    return parser.parse_args()


def runs_of(given: Namespace) -> dict[str, list[Run]]:
    r"""All runs, by objective."""
    training = (
        f"--root {given.root} --protocol A --epochs {given.epochs} --batch_size 50 "
        "--optimizer Adam --optimizer.lr 0.001 "
        f"--scheduler CosineAnnealingLR --scheduler.T_max {given.epochs}"
    )
    runs: dict[str, list[Run]] = {name: [] for name in OBJECTIVES}

    for seed in range(given.seeds):
        for name, (options, _) in OBJECTIVES.items():
            folder = given.out / name.replace(", ", "-").replace(" ", "-") / f"seed-{seed}"
            whole = f"{options} {training} --seed {seed}"
            runs[name].append(made("mnist", whole, folder, given.particles))

    return runs


def main() -> None:
    given = parse()
    part = None if given.write is None else Part(given.write, "tightness")
    runs = runs_of(given)
    records(run for each in runs.values() for run in each)
    plain = evidence(runs["ELBO"])
    lines = head(HEADS)

    for name, (_, published) in OBJECTIVES.items():
        values = evidence(runs[name])
        gained = "" if name == "ELBO" else told(values - plain)
        row = (
            name,
            told(values),
            gained,
            f"{elbo(runs[name]):.2f}",
            *seconds(runs[name]),
            published,
        )
        lines.append(f"| {' | '.join(row)} |")

    Console().print("\n".join(lines), markup=False, highlight=False)
    if part is not None:
        part.write(f"{measured('benchmarks.tightness', given.root)}\n\n" + "\n".join(lines))


if __name__ == "__main__":
    main()
