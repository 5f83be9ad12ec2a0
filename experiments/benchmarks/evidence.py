r"""How many particles a second does the evidence take, beside hand-written loops and the machine?

Run it with ``python -m ppl_vae.experiments.benchmarks.evidence``. A VAE 784-200-200-50 gives
:math:`\log p(x)` of random binary images, by :math:`K` particles each; weights are random, as speed
depends on neither. Methods take turns for several rounds; medians and their ratios are told.

The hand-written loop draws blocks of the same sizes, and returns :math:`\log p(x)` alone; ours adds
its diagnostics, and captures or compiles its blocks within each call. That is part of its seconds,
but for what Inductor keeps on disk: a first call, at a small size, is told as its warm-up.

Two rows, in parentheses, are floors: the matrix products of the decoder alone, by the faster of
what torch has for them (on a CPU, ``torch.matmul`` or oneDNN), and a copy of what passes between
them, which even fused operations write and read once. Columns of their names tell the floor's
share of a method's seconds; the larger one tells how near it is to what the machine can do. Random
numbers and transcendental functions are in neither.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
import warnings
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ppl_vae.evaluation import Evidence, log_evidence
from ppl_vae.evaluation.blocks import BLOCK
from ppl_vae.experiments.benchmarks.cases import CASES
from ppl_vae.experiments.benchmarks.hand import gaussian, perceptron
from ppl_vae.experiments.benchmarks.ours import programs
from ppl_vae.experiments.benchmarks.output import Output, console, say
from ppl_vae.experiments.benchmarks.steps import ratio
from ppl_vae.program import Program

CASE = CASES["vae"]
CHECKED = 1000
r"""About how many particles a first call draws for each datum."""

SECONDS = 0.3
r"""How long a floor is measured in each round, at least."""

HEADS = ("method", "particles/s", "s", "over hand", "arithmetic", "bandwidth", "warm-up")
NOTE = "random binary images and random weights, since speed depends on neither"

Method = Callable[[Tensor, int], Tensor]
r"""Returns the evidence of data by a number of particles, with shape ``(n,)``, on the CPU."""


def random_programs(x: Tensor) -> tuple[Program, Program]:
    r"""The model and the guide, with random weights."""
    model, guide = programs(CASE, x)

    with torch.no_grad():
        for net in nets(model, guide):
            # The usual ones give weights with so heavy a tail that errors are not to be trusted.
            for parameter in list(net.parameters())[-2:]:
                parameter.mul_(0.3)

    return model, guide


def nets(model: Program, guide: Program) -> tuple[nn.Module, nn.Module]:
    r"""The encoder and the decoder of our programs."""
    return guide.get_submodule("posterior.net"), model.get_submodule("likelihood.net")


def copied(model: Program, guide: Program) -> tuple[nn.Module, nn.Module]:
    r"""The encoder and the decoder by hand, with the weights of our programs."""
    size, hidden, latent = CASE.shape[0], CASE.hidden, CASE.latent
    device = next(model.parameters()).device
    encoder = perceptron(size, hidden, 2 * latent).to(device)
    decoder = perceptron(latent, hidden, size).to(device)

    with torch.no_grad():
        for ours, net in zip(nets(model, guide), (encoder, decoder), strict=True):
            for a, b in zip(ours.parameters(), net.parameters(), strict=True):
                b.copy_(a)
        # Our scales are one where the network is zero: the shift of families/scale.py.
        list(encoder.parameters())[-1][latent:] += math.log(math.expm1(1 - 1e-4))

    return encoder, decoder


def by_hand(model: Program, guide: Program, *, compile: bool) -> Method:
    r"""A plain loop in PyTorch; the function of a block may be compiled."""
    encoder, decoder = copied(model, guide)

    def block(x: Tensor, loc: Tensor, scale: Tensor, particles: int) -> Tensor:
        epsilon = torch.randn(particles, *loc.shape, device=loc.device)
        z = loc + scale * epsilon
        logits = decoder(z)
        targets = x.expand_as(logits)
        log_p = -F.binary_cross_entropy_with_logits(logits, targets, reduction="none").sum(-1)
        # The constants of log p(z) and log q(z | x) cancel.
        return log_p + (0.5 * (epsilon.square() - z.square()) + scale.log()).sum(-1)

    draw = torch.compile(block, fullgraph=True, dynamic=False) if compile else block

    def run(x: Tensor, particles: int) -> Tensor:
        sizes = [min(BLOCK[0], particles - i) for i in range(0, particles, BLOCK[0])]
        found = []
        with torch.no_grad():
            for part in x.split(BLOCK[1]):
                loc, scale = gaussian(encoder(part))
                log_w = torch.cat([draw(part, loc, scale, size) for size in sizes])
                found.append(log_w.logsumexp(0) - math.log(particles))
        return torch.cat(found).cpu()

    return run


def our_evidence(model: Program, guide: Program, *, compile: str) -> Method:
    r"""Our estimator, with one of its ways to run blocks."""

    def run(x: Tensor, particles: int) -> Tensor:
        return log_evidence(model, guide, x, particles, compile=compile).log_evidence

    return run


METHODS: dict[str, Callable[[Program, Program], Method]] = {
    "hand": partial(by_hand, compile=False),
    "hand-compile": partial(by_hand, compile=True),
    "ours-off": partial(our_evidence, compile="off"),
    "ours-fx": partial(our_evidence, compile="fx"),
    "ours-inductor": partial(our_evidence, compile="inductor"),
    "ours-cudagraph": partial(our_evidence, compile="cudagraph"),
}


def timed(run: Callable[[], Any], repeats: int = 1) -> float:
    r"""Returns how many seconds a run takes, until the device is done."""
    start = time.perf_counter()
    for _ in range(repeats):
        run()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return (time.perf_counter() - start) / repeats


def floors(device: torch.device) -> dict[str, Callable[[], Any]]:
    r"""What takes as long as the least that a block could: its arithmetic, and its memory."""
    rows, widths = math.prod(BLOCK), (CASE.latent, CASE.hidden, CASE.hidden, CASE.shape[0])
    source, target = (torch.ones(rows, sum(widths), device=device) for _ in range(2))
    inputs = [torch.randn(rows, width, device=device) for width in widths[:-1]]
    weights = [torch.randn(b, a, device=device) for a, b in pairwise(widths)]
    outputs = [torch.empty(rows, width, device=device) for width in widths[1:]]

    def multiply() -> None:
        for a, b, out in zip(inputs, weights, outputs, strict=True):
            torch.matmul(a, b.mT, out=out)

    def multiply_onednn() -> None:
        for a, b in zip(inputs, weights, strict=True):
            torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")

    products = [multiply]
    # On many processors MKL, which torch takes for them, leaves half of the speed unused.
    if device.type == "cpu" and torch.backends.mkldnn.is_available():
        products.append(multiply_onednn)

    fastest = min(products, key=lambda run: min(timed(run, 3) for _ in range(5)))
    return {"arithmetic": fastest, "bandwidth": lambda: target.copy_(source)}


def start(name: str, method: Method, x: Tensor, particles: int) -> tuple[Tensor, float]:
    r"""Makes a first call, with blocks of all the shapes of a later one.

    Returns:
        The evidence, and how many seconds that took.
    """
    begin = time.perf_counter()
    with warnings.catch_warnings(), console.status(f"first call of {name}"):
        # What does not run as its name says has no row.
        for message in ("Running eagerly", "Replaying it uncompiled"):
            warnings.filterwarnings("error", message)
        torch.manual_seed(1)
        found = method(x, particles)
    return found, time.perf_counter() - begin


def distance(found: Tensor, truth: Evidence) -> float:
    r"""How many standard errors an evidence is off, at one datum or on average, at most."""
    # Both have the error of the truth; rounding adds what is far below a thousandth.
    off = (found - truth.log_evidence) / (2**0.5 * truth.standard_error + 1e-3)
    return max(off.abs().max().item(), abs(off.sum().item()) / len(off) ** 0.5)


def warm_up(
    model: Program, guide: Program, x: Tensor, particles: int
) -> tuple[dict[str, Method], dict[str, float]]:
    r"""Starts all methods, and compares what they find; one that fails is left out.

    Returns:
        The methods, and the seconds that the first call of each took.
    """
    few = x[: BLOCK[1] + len(x) % BLOCK[1]]
    draws = min(particles, CHECKED + particles % BLOCK[0])
    truth = log_evidence(model, guide, few, draws, seed=1, compile="off")
    methods, seconds, worst = {}, {}, 0.0

    for name, build in METHODS.items():
        if name == "ours-cudagraph" and not torch.cuda.is_available():
            say(f"{name}: left out, there is no GPU")
            continue
        try:
            method = build(model, guide)
            found, seconds[name] = start(name, method, few, draws)
            methods[name] = method
        except Exception as failed:
            if name == "hand":
                raise
            why = " ".join(str(failed).split())[:200]
            say(f"{name}: left out, {type(failed).__name__}: {why}")
            continue

        worst = max(worst, off := distance(found, truth))
        if not off < 5:
            sys.exit(f"{name} finds another evidence: {off:.1f} standard errors off.")

    say(
        f"All methods agree on the evidence of {len(few)} data by {draws} particles: at "
        f"most {worst:.1f} standard errors off, of {truth.standard_error.mean():.3f} nats."
    )
    return methods, seconds


def measure(limit: int, particles: int, rounds: int) -> list[dict[str, Any]]:
    r"""Times all methods, and the floors, in turns."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    x = torch.rand(limit, *CASE.shape, device=device).round()
    model, guide = random_programs(x)
    methods, warmups = warm_up(model, guide, x, particles)
    least = floors(device)
    repeats = {name: math.ceil(SECONDS / timed(run, 3)) for name, run in least.items()}
    blocks = limit * particles / math.prod(BLOCK)
    times: dict[str, list[float]] = {name: [] for name in (*methods, *least)}

    for turn in range(rounds):
        with console.status(f"round {turn + 1} of {rounds}"):
            for name, method in methods.items():
                times[name].append(timed(partial(method, x, particles)))
            for name, run in least.items():
                times[name].append(timed(run, repeats[name]) * blocks)

    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    return [
        {
            "method": f"({name})" if name in least else name,
            "particles_per_s": limit * particles / medians[name],
            "seconds": medians[name],
            "ratio_to_hand": ratio(times, "hand", name),
            "share_of_arithmetic": None if name in least else ratio(times, "arithmetic", name),
            "share_of_bandwidth": None if name in least else ratio(times, "bandwidth", name),
            "warmup_s": warmups.get(name),
        }
        for name in times
    ]


def cells(row: Mapping[str, Any]) -> list[str]:
    r"""A row of the table."""
    rate = float(f"{row['particles_per_s']:.3g}")
    values = row["share_of_arithmetic"], row["share_of_bandwidth"]
    shares = ["-" if value is None else f"{value:.0%}" for value in values]
    warmup = "-" if row["warmup_s"] is None else f"{row['warmup_s']:.1f}"
    numbers = [f"{rate:,.0f}", f"{row['seconds']:.3g}", f"{row['ratio_to_hand']:.2f}"]
    return [row["method"], *numbers, *shares, warmup]


def main() -> None:
    from torch._inductor.utils import fresh_cache

    there = torch.cuda.is_available()
    parser = ArgumentParser(description="Times estimates of the evidence, side by side.")
    parser.add_argument("--limit", type=int, default=10000 if there else 100, help="data")
    parser.add_argument("--particles", type=int, default=5000, help="particles for each datum")
    output = Output("evidence", HEADS)
    given = output.options(parser, rounds=3)

    # What was compiled on another day would make a warm-up look short.
    with fresh_cache():
        rows = measure(given.limit, given.particles, given.rounds)

    title = f"log p(x) of {given.limit} data by {given.particles} particles each; {NOTE}"
    output.publish(rows, [cells(row) for row in rows], title)


if __name__ == "__main__":
    main()
