r"""How long does a training step take, beside Pyro's SVI and a hand-written loop?

Run it with ``make bench``, or ``python -m ppl_vae.experiments.benchmarks.steps``. Methods take
turns for several rounds; medians and their ratios are told, since machines are noisy.
"""

from __future__ import annotations

import json
import math
import statistics
import time
from argparse import ArgumentParser
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pyro
import pyro.infer
import torch
import torch.nn.functional as F
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from ppl_vae import SVI, Conditional
from ppl_vae.families import Bernoulli, Normal
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE
from ppl_vae.networks import mlp
from ppl_vae.objectives import IWAE, MeanFieldELBO
from ppl_vae.priors import StandardNormal

Step = Callable[[Tensor], Any]


class Case(NamedTuple):
    r"""Sizes of a variational auto-encoder, and of a batch."""

    features: int
    hidden: int
    latent: int
    batch: int
    particles: int
    steps: int


CASES = {
    "vae": Case(784, 200, 50, batch=128, particles=1, steps=40),
    "iwae": Case(784, 200, 50, batch=20, particles=50, steps=20),
    "tiny": Case(16, 16, 4, batch=128, particles=1, steps=150),
}


def programs(case: Case) -> tuple[VAE, Amortized]:
    network = mlp(hidden=[case.hidden, case.hidden], activation="Tanh")
    p = Conditional((case.latent,), Bernoulli((case.features,)), network)
    q = Conditional((case.features,), Normal((case.latent,)), network)
    return VAE(StandardNormal((case.latent,)), p), Amortized(q)


def ours_eager(case: Case) -> Step:
    objective = MeanFieldELBO() if case.particles == 1 else IWAE(case.particles)
    return SVI(*programs(case), partial(torch.optim.Adam, lr=1e-3, fused=True), objective).step


def pyro_svi(case: Case) -> Step:
    model, guide = programs(case)
    nesting: dict[str, Any] = {"max_plate_nesting": 1, "num_particles": case.particles}
    if case.particles == 1:
        objective: Any = pyro.infer.TraceMeanField_ELBO(**nesting)
    else:
        objective = pyro.infer.RenyiELBO(alpha=0, vectorize_particles=True, **nesting)

    optimizer = pyro.optim.PyroOptim(torch.optim.Adam, {"lr": 1e-3})
    step: Step = pyro.infer.SVI(model, guide, optimizer, objective).step
    return step


def hand_eager(case: Case) -> Step:
    def perceptron(a: int, b: int) -> nn.Module:
        h = case.hidden
        inner = [nn.Linear(a, h), nn.Tanh(), nn.Linear(h, h), nn.Tanh()]
        return nn.Sequential(*inner, nn.Linear(h, b))

    encoder = perceptron(case.features, 2 * case.latent)
    decoder = perceptron(case.latent, case.features)
    parameters = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-3, fused=True)
    K = case.particles

    def step(x: Tensor) -> Tensor:
        loc, rho = encoder(x).chunk(2, -1)
        scale = F.softplus(rho) + 1e-4
        epsilon = torch.randn(K, *loc.shape)
        z = loc + scale * epsilon
        logits = decoder(z)
        target = x.expand_as(logits)
        log_p = -F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(-1)
        if K == 1:
            kl = 0.5 * (loc.square() + scale.square() - 1 - 2 * scale.log()).sum(-1)
            loss = (kl - log_p).mean()
        else:
            log_r = (0.5 * (epsilon.square() - z.square()) + scale.log()).sum(-1)
            loss = (math.log(K) - (log_p + log_r).logsumexp(0)).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


METHODS: dict[str, Callable[[Case], Step]] = {
    "pyro-svi": pyro_svi,
    "hand-eager": hand_eager,
    "ours-eager": ours_eager,
}


def measure(name: str, rounds: int) -> list[dict[str, Any]]:
    r"""Times all methods on a case, in turns."""
    case = CASES[name]
    x = (torch.rand(case.batch, case.features) < 0.5).float()
    steps = {method: build(case) for method, build in METHODS.items()}
    times: dict[str, list[float]] = {method: [] for method in steps}

    with pyro.validation_enabled(False):
        for step in steps.values():
            for _ in range(3):
                step(x)
        for _ in range(rounds):
            for method, step in steps.items():
                start = time.perf_counter()
                for _ in range(case.steps):
                    step(x)
                times[method].append((time.perf_counter() - start) / case.steps * 1e3)

    ms = {method: statistics.median(values) for method, values in times.items()}
    return [
        {
            "case": name,
            "method": method,
            "ms": ms[method],
            "ratio_to_hand": ms[method] / ms["hand-eager"],
            "ratio_to_svi": ms[method] / ms["pyro-svi"],
        }
        for method in METHODS
    ]


def main() -> None:
    parser = ArgumentParser(description="Times training steps, side by side.")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--json", type=Path, help="a file to write the rows to")
    given = parser.parse_args()
    rows = [row for name in given.cases for row in measure(name, given.rounds)]
    table = Table(title=f"One step, {torch.get_num_threads()} threads, torch {torch.__version__}")

    for head in ("case", "method", "ms", "over hand-written", "over Pyro SVI"):
        table.add_column(head, justify="left" if head in ("case", "method") else "right")
    for row in rows:
        ratios = (f"{row[k]:.2f}" for k in ("ratio_to_hand", "ratio_to_svi"))
        table.add_row(row["case"], row["method"], f"{row['ms']:.3f}", *ratios)

    Console().print(table)
    if given.json is not None:
        given.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
