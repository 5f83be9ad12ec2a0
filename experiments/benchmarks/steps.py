r"""How long does a training step take, beside Pyro's SVI, hand-written loops and NumPyro?

Run it with ``make bench``, or ``python -m ppl_vae.experiments.benchmarks.steps``. Methods take
turns for several rounds; medians and their ratios are told, since machines are noisy.
"""

from __future__ import annotations

import math
import statistics
import time
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyro
import torch

from ppl_vae.experiments.benchmarks.cases import CASES, STEPS, Build, Run
from ppl_vae.experiments.benchmarks.hand import by_hand
from ppl_vae.experiments.benchmarks.jaxed import load, numpyro_jit, numpyro_scan
from ppl_vae.experiments.benchmarks.machine import has_numpyro
from ppl_vae.experiments.benchmarks.ours import our_svi, pyro_svi
from ppl_vae.experiments.benchmarks.output import Output, console, say

METHODS: dict[str, Build] = {
    "pyro-svi": pyro_svi,
    "hand-eager": partial(by_hand, compile=False),
    "hand-compile": partial(by_hand, compile=True),
    "ours-eager": partial(our_svi, compile="off"),
    "ours-fx": partial(our_svi, compile="fx"),
    "ours-inductor": partial(our_svi, compile="inductor"),
    "ours-cudagraph": partial(our_svi, compile="cudagraph"),
    "numpyro-jit": numpyro_jit,
    "numpyro-scan": numpyro_scan,
}

HEADS = ("case", "method", "ms", "over hand-written", "over Pyro SVI", "warm-up s")
SECONDS = 0.15
r"""How long a method's turn takes, at least."""


def wait(loss: Any) -> float:
    r"""Waits for the device, and returns the loss."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    if hasattr(loss, "block_until_ready"):
        loss.block_until_ready()
    return float(loss)


def timed(run: Run, repeats: int = 1) -> float:
    r"""Returns how many seconds a run takes."""
    start = time.perf_counter()
    for _ in range(repeats):
        loss = run()
    wait(loss)
    return (time.perf_counter() - start) / repeats


def start(build: Build, *given: Any) -> tuple[Run, float]:
    r"""Builds a method and runs it once; returns it, and how many seconds that took."""
    begin = time.perf_counter()
    torch.manual_seed(0)
    run = build(*given)
    loss = wait(run())

    if not math.isfinite(loss):
        raise ArithmeticError(f"its loss is {loss}")

    return run, time.perf_counter() - begin


def warm_up(name: str, methods: Sequence[str], folder: Path) -> dict[str, tuple[Run, float]]:
    r"""Starts the methods of a case; one that fails is left out, and a line says why."""
    from torch._inductor.utils import fresh_cache

    case = CASES[name]
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    generator = torch.Generator().manual_seed(0)
    data = torch.rand(STEPS * case.batch, *case.shape, generator=generator).round().to(device)
    rows = torch.randperm(len(data), generator=generator).view(STEPS, case.batch).to(device)
    started = {}

    for method in methods:
        # What was compiled before, by a method or another day, would make a warm-up look short.
        with console.status(f"{name}: {method}"), fresh_cache(dir=str(folder), delete=False):
            try:
                started[method] = start(METHODS[method], case, data, rows)
            except Exception as error:
                why = " ".join(str(error).split())[:200]
                say(f"{name}, {method}: left out, {type(error).__name__}: {why}")

    return started


def measure(name: str, methods: Sequence[str], rounds: int, folder: Path) -> list[dict[str, Any]]:
    r"""Times methods on a case, in turns."""
    # What Dynamo learned about the shapes of the case before would slow this one down.
    torch.compiler.reset()
    pyro.clear_param_store()

    with pyro.validation_enabled(False):
        started = warm_up(name, methods, folder)
        repeats = {m: math.ceil(SECONDS / timed(run)) for m, (run, _) in started.items()}
        times: dict[str, list[float]] = {method: [] for method in started}

        for turn in range(rounds):
            with console.status(f"{name}: round {turn + 1} of {rounds}"):
                for method, (run, _) in started.items():
                    times[method].append(timed(run, repeats[method]) / STEPS * 1e3)

    medians = {method: statistics.median(ms) for method, ms in times.items()}
    hands = [m for m in ("hand-eager", "hand-compile") if m in medians]
    hand = min(hands, key=lambda m: medians[m], default="")
    return [
        {
            "case": name,
            "method": method,
            "ms": medians[method],
            "ratio_to_hand": ratio(times, method, hand),
            "ratio_to_svi": ratio(times, method, "pyro-svi"),
            "warmup_s": started[method][1],
        }
        for method in started
    ]


def ratio(times: Mapping[str, Sequence[float]], method: str, other: str) -> float | None:
    r"""The median over rounds of what one method takes over another, None if that was left out.

    Both are of the same round, so that a drift of the machine cancels.

    Example:
        >>> ratio({"a": [2.0, 4.0, 9.0], "b": [1.0, 2.0, 3.0]}, "a", "b")
        2.0
    """
    if other not in times:
        return None

    return statistics.median(a / b for a, b in zip(times[method], times[other], strict=True))


def cells(row: Mapping[str, Any]) -> list[str]:
    r"""A row of the table."""
    ratios = [row["ratio_to_hand"], row["ratio_to_svi"]]
    shown = ["-" if value is None else f"{value:.2f}" for value in ratios]
    return [row["case"], row["method"], f"{row['ms']:.3f}", *shown, f"{row['warmup_s']:.1f}"]


def usable(methods: Sequence[str]) -> list[str]:
    r"""The methods that can run here; a line tells which cannot, and why."""
    missing = {
        "numpyro": None if has_numpyro() else "NumPyro and JAX are not installed",
        "ours-cudagraph": None if torch.cuda.is_available() else "there is no GPU",
    }

    for prefix, why in missing.items():
        absent = [method for method in methods if method.startswith(prefix)]
        if why and absent:
            say(f"{', '.join(absent)}: left out, {why}")
            methods = [method for method in methods if method not in absent]

    if any(method.startswith("numpyro") for method in methods):
        load()  # here, so that no warm-up counts it

    return list(methods)


def main() -> None:
    parser = ArgumentParser(description="Times training steps, side by side.")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    output = Output("steps", HEADS, named=2)
    given = output.options(parser, rounds=9)

    methods = usable(given.methods)
    with TemporaryDirectory() as folder:
        measured = [measure(name, methods, given.rounds, Path(folder)) for name in given.cases]
    rows = [row for case in measured for row in case]
    output.publish(rows, [cells(row) for row in rows], "one training step")


if __name__ == "__main__":
    main()
