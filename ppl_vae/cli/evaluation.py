r"""Commands that judge runs: evaluate, report, compare."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from jsonargparse import ArgumentParser

from .. import plots
from ..catalogue import nearest
from ..compare import NotEvaluated, groups, histories, illustrate, print_table
from ..folder.atomic import write_bytes
from ..run import load
from ..run.methods import METHODS
from ..run.readiness import RANKED_BY
from .output import Counter, complain, picture
from .tables import print_record
from .tokens import run_function, value_of


def evaluate_command(tokens: list[str]) -> None:
    r"""evaluate DIR: estimates or bounds log p(x), or judges guide, codes, samples (--method)."""
    asked = value_of([*tokens], "--method")
    method = asked or "importance"
    if method not in METHODS:
        raise ValueError(
            f"There is no method {method!r}{nearest(method, METHODS)}; there are "
            f"{', '.join(METHODS)}."
        )

    def evaluate(
        dir: str,
        method: Literal[
            "importance", "ais", "bdmc", "gap", "calibration", "latent", "samples"
        ] = "importance",
        split: str = "test",
        limit: int | None = None,
        seed: int = 0,
        weights: Literal["best", "last"] = "best",
        memory: float = 0.5,
        device: str = "auto",
        json: bool = False,
        **options: Any,
    ) -> None:
        """Evaluates a run, and keeps the record in evidence.json.

        Args:
            dir: The folder of the run.
            method: The way; each has options of its own: see --help beside it.
            split: train, validation or test.
            limit: The number of data, drawn at random, to evaluate; by default all, or as many as
                the method says.
            seed: The seed of all draws.
            weights: The best checkpoint, or the last.
            memory: The number of GiB that intermediate results may take.
            device: auto, cuda, mps or cpu.
            json: Whether to print the record as JSON.
        """
        if memory <= 0:
            raise ValueError(f"The memory must be positive, got {memory} GiB.")

        run = load(dir, device=device, weights=weights)
        record = run.diagnose(
            method,
            split,
            limit,
            seed,
            memory=int(memory * 2**30),
            progress=Counter("evaluated"),
            **options,
        )
        print_record(record, as_json=json)
        if not json:
            print(f"\nFiled in {run.dir}/evidence.json. Next: ppl-vae report {run.dir}")

    name = "evaluate" if asked is None else f"evaluate --method {method}"
    run_function(evaluate, tokens, more=METHODS[method], skip={"task"}, name=name)


def report_command(tokens: list[str]) -> None:
    r"""report DIR: writes the report of a run, one HTML file."""

    def report(dir: str, device: str = "auto") -> None:
        """Writes the report of a run, one HTML file, and its figures.

        Args:
            dir: The folder of the run.
            device: auto, cuda, mps or cpu.
        """
        from ..report import write_report

        run = load(dir, device=device)
        for name, figure in run.figures().items():
            picture(run, name, figure)
        print(write_report(run))

    run_function(report, tokens)


def compare_command(tokens: list[str]) -> None:
    r"""compare DIR...: ranks runs by log p(x); runs that differ in the seed alone are one group."""
    parser = ArgumentParser(exit_on_error=False, prog="ppl-vae compare")
    parser.add_argument("dirs", nargs="+", help="The folders of the runs, or folders of runs.")
    parser.add_argument("--split", default="test", help="The split they were evaluated on.")
    parser.add_argument(
        "--method",
        default="importance",
        choices=[*RANKED_BY],
        help="What they are ranked by: importance weighting, or annealing.",
    )
    parser.add_argument("--out", default=None, help="An HTML file to write the comparison to.")
    parser.add_argument("--curves", default=None, help="A .png file to draw learning curves to.")
    given = parser.parse_args(tokens)
    if given.curves is not None and Path(given.curves).suffix != ".png":
        raise ValueError(f"Learning curves are drawn to a .png file, got {given.curves}.")

    needed = given.curves is None or given.out is not None
    found = _ranked(given.dirs, given.split, given.method, needed=needed)
    if given.curves is None and given.out is None:
        return

    curves = histories(given.dirs, found)
    if given.curves is not None:
        write_bytes(given.curves, plots.png(plots.overlaid_curves(curves)))
        print(given.curves)
    if given.out is not None:
        from ..report import write_comparison

        illustrate(found)
        print(write_comparison(found, Path(given.out), title="Comparison", curves=curves))


def _ranked(folders: list[str], split: str, method: str, *, needed: bool) -> list[dict[str, Any]]:
    try:
        found = groups(folders, split=split, method=method)
    except NotEvaluated as error:
        if needed:
            raise
        # Learning curves need no evaluation.
        complain(error)
        return []

    print_table(found)
    return found
