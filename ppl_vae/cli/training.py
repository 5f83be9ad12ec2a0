r"""Commands that make runs: train, resume, fit-prior."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..catalogue import experiments, find_experiment, first_line
from ..fit_prior import fit_prior
from ..folder.create import check_free
from ..options import Options
from ..run import Run, train
from .output import done
from .tokens import flag, run_function, seeds_of, value_of


def train_command(tokens: list[str]) -> None:
    r"""train EXPERIMENT [options]: trains an experiment into a folder."""
    reference = next(iter(tokens), "")

    if not reference or reference.startswith("-"):
        if reference not in ("-h", "--help"):
            raise ValueError(
                "train needs the name of an experiment, or the path of a file, first; there are "
                f"{', '.join(experiments())}."
            )
        print("usage: ppl-vae train EXPERIMENT [--out DIR] [--overwrite] [--seeds N] [options]\n")
        print("EXPERIMENT is the path of a Python file, or one of:")
        for name, function in experiments().items():
            print(f"  {name:12} {first_line(function)}")
        print("\nThe options of each: ppl-vae train EXPERIMENT --help")
        return

    function = find_experiment(reference)
    if {"-h", "--help"} & set(tokens):
        print_help(reference, function)
        return

    options = list(tokens[1:])
    overwrite = flag(options, "--overwrite")
    quiet = flag(options, "--quiet")
    out = Path(value_of(options, "--out") or Path("runs") / Path(reference).stem)
    seeds = value_of(options, "--seeds")
    # What is wrong with an option is told first; --PART.help prints, and stops.
    parsed = Options(function).parse(options)

    if seeds is None:
        runs = [(out, options)]
    elif (out / "config.yaml").exists():
        raise ValueError(f"{out} is a run, which can hold no others; give another --out.")
    else:
        first = parsed.get("seed", 0)
        runs = [(out / f"seed-{s}", [*options, f"--seed={s}"]) for s in seeds_of(first, seeds)]

    # All folders are looked at before the first run, which may take hours.
    for folder, _ in runs:
        check_free(folder, overwrite)

    for folder, given in runs:
        run = train(reference, folder, given, overwrite=overwrite, progress=not quiet)
        done(run)


def resume_command(tokens: list[str]) -> None:
    r"""resume DIR: continues an interrupted training, to the same result."""

    def resume(dir: str, device: str = "auto", quiet: bool = False) -> None:
        """Continues an interrupted training, to the same result.

        Args:
            dir: The folder of the run.
            device: auto, cuda, mps or cpu.
            quiet: Whether to show no progress.
        """
        run = Run(dir, device=device)
        run.resume(progress=not quiet)
        done(run)

    run_function(resume, tokens)


def fit_prior_command(tokens: list[str]) -> None:
    r"""fit-prior DIR: gives a run another prior, fitted to what its guide draws, as a new run."""
    if not tokens or {"-h", "--help"} & set(tokens):
        print("usage: ppl-vae fit-prior DIR --prior CLASS --out NEW [--overwrite] [--quiet]\n")
        print(
            "Fits a prior to the aggregate posterior of a trained run, whose guide and likelihood"
        )
        print("keep their weights, and writes a new run. Takes the options of the prior, such as")
        print("--prior.components 50, and those of training, such as --epochs 50.")
        return
    if tokens[0].startswith("-"):
        raise ValueError("fit-prior needs the folder of a run first.")

    options = tokens[1:]
    overwrite = flag(options, "--overwrite")
    quiet = flag(options, "--quiet")
    out = value_of(options, "--out")
    if out is None:
        raise ValueError("fit-prior writes a new run: give its folder as --out.")

    done(fit_prior(tokens[0], out, options, overwrite=overwrite, progress=not quiet))


def print_help(reference: str, function: Callable[..., Any]) -> None:
    parser = Options(function).parser
    parser.prog = f"ppl-vae train {reference}"
    parser.usage = "%(prog)s [--out DIR] [--overwrite] [--seeds N] [--quiet] [options]"
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        parser.print_help()
    print(text.getvalue())
    print("--out DIR        the folder of the run, runs/EXPERIMENT by default")
    print("--overwrite      replace the run in that folder")
    print("--seeds N        train N runs, in DIR/seed-0, DIR/seed-1 ...")
    print("--quiet          show no progress")
    print("--PART.help CLASS  the options of a class, such as --prior.help Vamp")
