r"""Do tighter bounds train the guide worse?

Run it with ``python -m ppl_vae.experiments.benchmarks.signal --figure FILE --write BENCHMARKS.md``.
The signal-to-noise ratio of the gradient against the number of particles, as in Rainforth et al.
(2018), https://arxiv.org/abs/1802.04537: on a linear model, near the optimum, that of the guide
falls as :math:`1 / \sqrt{K}` under IWAE and rises under DReG, that of the model rises as
:math:`\sqrt{K}`.
"""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from torch import Tensor, nn

from ppl_vae import plots
from ppl_vae.conditional import Conditional
from ppl_vae.evaluation import signal_to_noise
from ppl_vae.experiments.benchmarks.machine import describe
from ppl_vae.experiments.benchmarks.page import Part
from ppl_vae.families import Normal
from ppl_vae.folder.atomic import write_bytes
from ppl_vae.guides import Amortized
from ppl_vae.models import Linear
from ppl_vae.objectives import CIWAE, IWAE, MIWAE, DReG, Objective

D, N = 20, 1024
GROUPS = 8
FAMILY = Normal((D,), scale=(2 / 3) ** 0.5)
OBJECTIVES: dict[str, Callable[[int], Objective]] = {
    "IWAE": IWAE,
    "DReG": DReG,
    "CIWAE, 0.5": lambda K: CIWAE(0.5, K),
    f"MIWAE, {GROUPS} groups": lambda K: MIWAE(GROUPS, max(K // GROUPS, 1)),
}


def near_the_optimum(distance: float = 0.01, seed: int = 0) -> tuple[Linear, Amortized, Tensor]:
    r"""The programs, each parameter off by a normal number of a standard deviation.

    The model is a normal mean for each datum, about one that is learned; its exact posterior has a
    variance of 1/2, the guide one of 2/3.
    """
    torch.manual_seed(seed)
    model = Linear(D, D)
    with torch.no_grad():
        model.weight.copy_(torch.eye(D))
        model.bias.copy_(torch.randn(D))
        x = model(n=N)
        off = [distance * torch.randn(shape) for shape in ((D,), (D, D), (D,))]
        model.bias.copy_(x.mean(0) + off[0])

    model.weight.requires_grad_(False)
    model.log_scale.requires_grad_(False)
    affine = nn.Linear(D, D)
    with torch.no_grad():
        affine.weight.copy_(torch.eye(D) / 2 + off[1])
        affine.bias.copy_(off[2] - x.mean(0) / 2)

    net = nn.Sequential(affine, nn.Unflatten(-1, FAMILY.param_shape))
    return model, Amortized(Conditional((D,), FAMILY, lambda *shapes: net)), x


def measure(particles: list[int], draws: int) -> dict[str, dict[str, list[float]]]:
    r"""The ratios by objective and by model or guide, for each number of particles."""
    model, guide, x = near_the_optimum()
    found: dict[str, dict[str, list[float]]] = {}

    for name, objective in OBJECTIVES.items():
        rows = [signal_to_noise(objective(K), model, guide, x, draws) for K in particles]
        found[name] = {role: [row[role] for row in rows] for role in ("guide", "model")}

    return found


def slope(particles: list[int], ratios: list[float]) -> float:
    r"""The exponent of a power law, by least squares on both logarithms.

    Example:
        >>> slope([1, 4, 16], [1.0, 2.0, 4.0])
        0.5
    """
    return round(float(np.polyfit(np.log(particles), np.log(ratios), 1)[0]), 3)


def draw(particles: list[int], found: dict[str, dict[str, list[float]]], floor: float) -> Any:
    r"""Both panels: of the guide, and of the model."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.6), layout="constrained")
    for axes, role in zip(figure.subplots(1, 2), ("guide", "model"), strict=True):
        for name, ratios in found.items():
            power = slope(particles, ratios[role])
            label = f"{name}: $K^{{{power:.2f}}}$"
            # Lines that lie on each other, as those of one gradient do, are seen by their dashes.
            line = "--" if name == "DReG" else "-"
            axes.loglog(particles, ratios[role], line, marker="o", label=label)
        axes.axhline(floor, color="0.7", lw=1, ls=":", label="noise alone")
        axes.set(title=f"gradient of the {role}", xlabel="particles K", ylabel="signal / noise")
        axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.02, 1.0))
    return figure


def main() -> None:
    parser = ArgumentParser(description="Measures the signal-to-noise ratio of gradients.")
    parser.add_argument("--draws", type=int, default=1000, help="gradients for each ratio")
    parser.add_argument("--particles", type=int, nargs="+", default=[8, 16, 32, 64, 128, 256, 512])
    parser.add_argument("--figure", type=Path, help="a PNG file to draw to")
    parser.add_argument("--write", type=Path, help="a Markdown file to write the table to")
    given = parser.parse_args()
    part = None if given.write is None else Part(given.write, "signal")
    found = measure(given.particles, given.draws)
    ends = given.particles[0], given.particles[-1]
    lines = [
        f"| | guide, K = {ends[0]} | K = {ends[1]} | power of K | model, K = {ends[0]} | "
        f"K = {ends[1]} | power of K |",
        "|---" * 7 + "|",
    ]
    for name, ratios in found.items():
        cells = [
            f"{row[0]:.3f} | {row[-1]:.3f} | {slope(given.particles, row):.2f}"
            for row in ratios.values()
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")

    text = "\n".join(lines)
    Console().print(text, markup=False, highlight=False)
    if part is not None:
        command = f"python -m ppl_vae.experiments.benchmarks.signal --draws {given.draws}"
        command += f" --particles {' '.join(map(str, given.particles))}"
        part.write(f"`{command}`: {describe()}.\n\n{text}")
    if given.figure is not None:
        floor = (2 / (np.pi * given.draws)) ** 0.5
        write_bytes(given.figure, plots.png(draw(given.particles, found, floor)))


if __name__ == "__main__":
    main()
