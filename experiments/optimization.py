r"""Which optimizer, schedule, warm-up, normalization and initialization train a VAE of MNIST best?

Run it with ``python -m ppl_vae.experiments.optimization --root DIR``. A VAE 784-200-200-50 with
tanh is trained by the ELBO under protocol A, every time by the same number of steps of 128 images.
Each question changes one thing of a baseline: Adam under a cosine, without warm-up, without
normalization, from torch's own initial weights. Learning rates are picked from a grid of three, by
the validation ELBO of the first seed; schedules all have the baseline's as their peak. Compared is
log p(x) of the whole test set, seed by seed.

A run that is there already is not made again, and one that was interrupted is continued.
"""

from __future__ import annotations

import math
import os
import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch

from ppl_vae.experiments.benchmarks.page import Part, measured
from ppl_vae.experiments.benchmarks.paired import draw, made, table
from ppl_vae.nonfinite import NonFiniteError
from ppl_vae.run import Run

SHARED = "--protocol A --objective ELBO --batch_size 128"
GRIDS = {
    "Adam": (0.001, 0.003, 0.01),
    "AdamW": (0.001, 0.003, 0.01),
    "Adamax": (0.002, 0.006, 0.02),
    "RAdam": (0.001, 0.003, 0.01),
    "SGD --optimizer.momentum 0.9": (0.003, 0.01, 0.03),
}
r"""The learning rates that each optimizer is tried with."""
MLP = "--{0} mlp --{0}.hidden [200,200] --{0}.activation Tanh --{0}.norm {1}"
INITIALIZED = (
    "--{0} initialized --{0}.scheme {1} --{0}.network mlp --{0}.network.hidden [200,200] "
    "--{0}.network.activation Tanh"
)


def networks(options: str, value: str) -> str:
    r"""Options of the encoder, and the same of the decoder."""
    return " ".join(options.format(role, value) for role in ("encoder", "decoder"))


class Question(NamedTuple):
    r"""A part of the recipe, and what it may be; None is what it is in the baseline."""

    title: str
    part: str
    choices: Mapping[str, str | None]


def questions(epochs: int) -> dict[str, Question]:
    r"""The questions, but for that of the optimizer, by name."""
    step, few, many = [epochs // 2, 3 * epochs // 4], max(epochs // 5, 1), max(epochs // 2, 1)
    schedules = {
        "cosine": None,
        "constant": "",
        "linear decay": "LinearLR --scheduler.start_factor 1 --scheduler.end_factor 0 "
        f"--scheduler.total_iters {epochs}",
        "one-cycle": "OneCycleLR --scheduler.max_lr {lr} --scheduler.cycle_momentum false "
        f"--scheduler.total_steps {epochs + 1}",
        f"a tenth after {step[0]} and {step[1]} epochs": "MultiStepLR "
        f"--scheduler.milestones [{step[0]},{step[1]}] --scheduler.gamma 0.1",
    }
    warmups = {f"{n} epochs": f"--warmup {n}" for n in (few, many)}
    norms = {f"{norm} norm": networks(MLP, norm) for norm in ("batch", "layer")}
    schemes = ("xavier_uniform", "kaiming_uniform", "orthogonal")
    starts = {scheme.replace("_", ", "): networks(INITIALIZED, scheme) for scheme in schemes}
    return {
        "schedules": Question("Schedules of the learning rate", "scheduler", schedules),
        "warmups": Question("Warm-up of the KL term", "warmup", {"none": None, **warmups}),
        "norms": Question("Normalization in both networks", "networks", {"none": None, **norms}),
        "starts": Question("Initial weights", "networks", {"torch's own": None, **starts}),
    }


class Study:
    r"""The runs of all questions.

    Arguments:
        given: The arguments of the command line.
    """

    def __init__(self, given: Namespace) -> None:
        self.given = given
        schedule = f"CosineAnnealingLR --scheduler.T_max {given.epochs}"
        self.recipe = {"optimizer": "", "scheduler": schedule, "warmup": "", "networks": ""}
        self.known: dict[str, tuple[dict[float, float], list[Run]]] = {}
        grid, self.baseline = self.tuned("Adam")
        self.lr = best(grid)
        self.recipe["optimizer"] = option_of("Adam", self.lr)

    def run(self, name: str, seed: int, particles: int | None, **parts: str) -> Run | None:
        r"""A run of the baseline with other parts; None if it does not stay finite."""
        recipe = {**self.recipe, **parts}
        schedule = recipe.pop("scheduler")
        options = [
            f"--root {shlex.quote(self.given.root)} {SHARED}",
            f"--epochs {self.given.epochs} --compile {self.given.compile} --seed {seed}",
            f"--scheduler {schedule}" if schedule else "",
            *recipe.values(),
        ]
        print(f"{name}, seed {seed}", file=sys.stderr, flush=True)
        folder = self.given.out / name.replace(", ", "-").replace(" ", "-") / f"seed-{seed}"
        try:
            return made("mnist", " ".join(options), folder, particles)
        except NonFiniteError:
            return None

    def runs(self, name: str, **parts: str) -> list[Run]:
        r"""A configuration under all seeds; nothing if any of them does not stay finite."""
        found = [self.run(name, i, self.given.particles, **parts) for i in range(self.given.seeds)]
        return [run for run in found if run is not None] if None not in found else []

    def tuned(self, optimizer: str) -> tuple[dict[float, float], list[Run]]:
        r"""The validation ELBO of the first seed by learning rate, and the runs of the best."""
        if optimizer not in self.known:
            grid = {lr: self.tried(optimizer, lr) for lr in GRIDS[optimizer]}
            lr = best(grid)
            runs = self.runs(name_of(optimizer, lr), optimizer=option_of(optimizer, lr))
            self.known[optimizer] = grid, runs

        return self.known[optimizer]

    def tried(self, optimizer: str, lr: float) -> float:
        run = self.run(name_of(optimizer, lr), 0, None, optimizer=option_of(optimizer, lr))
        rows = [] if run is None else run.history
        return max((row["validation_elbo"] for row in rows), default=-math.inf)

    def answers(self, name: str) -> dict[str, list[Run]]:
        r"""The runs of a question, by what was chosen."""
        question = questions(self.given.epochs)[name]
        found = {}
        for choice, option in question.choices.items():
            if option is None:
                found[f"{choice} (baseline)"] = self.baseline
            else:
                option = option.replace("{lr}", str(self.lr))
                found[choice] = self.runs(f"{name}/{choice}", **{question.part: option})
        return found


def best(grid: Mapping[float, float]) -> float:
    return max(grid, key=lambda lr: grid[lr])


def option_of(optimizer: str, lr: float) -> str:
    return f"--optimizer {optimizer} --optimizer.lr {lr}"


def name_of(optimizer: str, lr: float) -> str:
    r"""The name of a configuration, of which its folder is made.

    Example:
        >>> name_of("SGD --optimizer.momentum 0.9", 0.001)
        'optimizers/SGD, momentum 0.9, lr 0.001'
    """
    return f"optimizers/{optimizer.replace(' --optimizer.', ', ')}, lr {lr}"


def optimizers(study: Study) -> tuple[dict[str, list[Run]], str]:
    r"""The runs of each optimizer at its best learning rate, and all of the grid in words."""
    groups, lines = {}, ["", "", "Validation ELBO of seed 0 by learning rate:", ""]

    for optimizer, rates in GRIDS.items():
        grid, runs = study.tuned(optimizer)
        name = name_of(optimizer, best(grid)).removeprefix("optimizers/")
        groups[f"{name} (baseline)" if runs is study.baseline else name] = runs
        cells = ", ".join(f"{lr} {value:.2f}" for lr, value in grid.items())
        edge = "" if best(grid) == rates[1] else " (the best is at the edge of the grid)"
        lines.append(f"- {name.rpartition(', ')[0]}: {cells}{edge}")

    return groups, "\n".join(lines).replace("-inf", "diverged")


def parse() -> Namespace:
    names = ["optimizers", *questions(1)]
    parser = ArgumentParser(description="Compares ways to train a VAE of MNIST.")
    parser.add_argument("--root", required=True, help="the folder of MNIST, or its parent")
    parser.add_argument("--out", type=Path, default=Path("runs/optimization"), help="a folder")
    parser.add_argument("--seeds", type=int, default=3, help="the number of runs of each")
    parser.add_argument("--epochs", type=int, default=10, help="the number of epochs of each")
    parser.add_argument("--particles", type=int, default=100, help="particles of the evaluation")
    parser.add_argument("--compile", default="inductor", help="how steps are taken")
    parser.add_argument("--only", nargs="+", choices=names, default=names, help="the questions")
    parser.add_argument("--write", type=Path, help="a Markdown file to write the tables to")
    parser.add_argument("--figures", type=Path, help="a folder for the figures; by default --out")
    return parser.parse_args()


def main() -> None:
    given = parse()
    parts = {name: Part(given.write, name) for name in given.only if given.write is not None}
    # Networks this small gain little from a second thread.
    torch.set_num_threads(1)
    study = Study(given)
    if not study.baseline:
        sys.exit("The baseline does not stay finite; there is nothing to compare with.")

    how = measured("optimization", given.root)

    for name in given.only:
        groups, more = optimizers(study) if name == "optimizers" else (study.answers(name), "")
        title = "Optimizers" if name == "optimizers" else questions(given.epochs)[name].title
        file = (given.figures or given.out) / f"{name}.png"
        draw(groups, f"{title}: learning curves", file)
        text = table(groups, study.baseline)
        print(f"\n{title}\n\n{text}{more}\n\n{file}", flush=True)

        if name in parts:
            link = os.path.relpath(file, given.write.parent)
            picture = f"\n\n![{title}: learning curves]({link})"
            parts[name].write(f"{how}\n\n{text}{more}{picture}")


if __name__ == "__main__":
    main()
