r"""The command line: ``ppl-vae COMMAND ...``."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import sys
import warnings
from collections.abc import Callable, Sequence
from inspect import isabstract, signature
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jsonargparse import ArgumentError, ArgumentParser

from . import plots
from .catalogue import experiments, find_experiment, first_line, nearest
from .compare import groups, illustrate, print_table
from .drawing.verdict import verdict
from .fit import Interrupted, judged
from .folder.atomic import write_arrays, write_bytes
from .folder.create import check_free
from .folder.gallery import pixel_range
from .options import Options
from .run import Run, load, train

__all__ = ["main"]


def _train(tokens: list[str]) -> None:
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
        _help(reference, function)
        return

    options = list(tokens[1:])
    overwrite = _flag(options, "--overwrite")
    quiet = _flag(options, "--quiet")
    out = Path(_value(options, "--out") or Path("runs") / Path(reference).stem)
    seeds = _value(options, "--seeds")

    if seeds is None:
        runs = [(out, options)]
    elif (out / "config.yaml").exists():
        raise ValueError(f"{out} is a run, which can hold no others; give another --out.")
    else:
        first = Options(function).parse(options).get("seed", 0)
        runs = [(out / f"seed-{s}", [*options, f"--seed={s}"]) for s in _seeds(first, seeds)]

    # All folders are looked at before the first run, which may take hours.
    for folder, _ in runs:
        check_free(folder, overwrite)

    for folder, given in runs:
        run = train(reference, folder, given, overwrite=overwrite, progress=not quiet)
        _done(run)


def _resume(tokens: list[str]) -> None:
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
        _done(run)

    _call(resume, tokens)


def _evaluate(tokens: list[str]) -> None:
    r"""evaluate DIR: estimates log p(x) by importance weighting."""

    def evaluate(
        dir: str,
        method: Literal["importance"] = "importance",
        particles: int = 5000,
        split: str = "test",
        limit: int | None = None,
        seed: int = 0,
        weights: Literal["best", "last"] = "best",
        memory: float = 0.5,
        device: str = "auto",
    ) -> None:
        """Estimates log p(x) by importance weighting, and keeps the record in evidence.json.

        Args:
            dir: The folder of the run.
            method: How the evidence is estimated.
            particles: The number of draws for each datum.
            split: train, validation or test.
            limit: The number of data, drawn at random, to evaluate; all by default.
            seed: The seed of all draws.
            weights: The best checkpoint, or the last.
            memory: The number of GiB that intermediate results may take.
            device: auto, cuda, mps or cpu.
        """
        if memory <= 0:
            raise ValueError(f"The memory must be positive, got {memory} GiB.")

        run = load(dir, device=device, weights=weights)
        total = len(run.batch(split, limit, seed)["index"])
        record = run.evaluate(
            split,
            particles,
            limit,
            seed,
            memory=int(memory * 2**30),
            progress=_Counter(total, "evaluated"),
        )
        print(json.dumps(record, indent=2))
        print(_told(record), file=sys.stderr)

    _call(evaluate, tokens)


def _encode(tokens: list[str]) -> None:
    r"""encode DIR: writes codes (a draw, posterior mean and scale) to .npz."""

    def encode(
        dir: str,
        split: str = "test",
        file: str | None = None,
        labels: str | None = None,
        out: str | None = None,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        """Writes codes (a draw, posterior mean and scale) to a .npz file.

        Args:
            dir: The folder of the run.
            split: train, validation or test.
            file: A file of data to encode instead, in any format that `array` reads.
            labels: The column of labels in that file, if there is one.
            out: The .npz file to write; by default in the run's folder.
            seed: The seed of the draws.
            device: auto, cuda, mps or cpu.
        """
        run = load(dir, device=device)
        arrays = run.codes(split, seed=seed) if file is None else run.codes_of(file, labels, seed)
        name = split if file is None else Path(file).name.split(".")[0]
        _save(out or run.dir / f"codes-{name}.npz", arrays)

    _call(encode, tokens)


def _sample(tokens: list[str]) -> None:
    r"""sample DIR: draws data from the model, as .npz and .png."""

    def sample(dir: str, n: int = 64, seed: int = 0, device: str = "auto") -> None:
        """Draws data from the model, as .npz and .png.

        Args:
            dir: The folder of the run.
            n: The number of data to draw.
            seed: The seed of the draws.
            device: auto, cuda, mps or cpu.
        """
        run = load(dir, device=device)
        x, mean = run.sample(n, seed=seed)
        arrays = {"x": run.raw(x).cpu().numpy(), "mean": run.raw(mean).cpu().numpy()}
        _save(run.dir / "samples.npz", arrays)
        _picture(run, "samples", plots.samples(mean, draws=x, **pixel_range(run)))

    _call(sample, tokens)


def _reconstruct(tokens: list[str]) -> None:
    r"""reconstruct DIR: encodes and decodes data, as .npz and .png."""

    def reconstruct(
        dir: str, split: str = "test", n: int = 10, seed: int = 0, device: str = "auto"
    ) -> None:
        """Encodes and decodes data, as .npz and .png.

        Args:
            dir: The folder of the run.
            split: train, validation or test.
            n: The number of data, drawn at random.
            seed: The seed of the draws.
            device: auto, cuda, mps or cpu.
        """
        run = load(dir, device=device)
        x = run.batch(split, n, seed)["x"]
        mean = run.reconstruct(x, seed=seed)
        arrays = {"x": run.raw(x).cpu().numpy(), "mean": run.raw(mean).cpu().numpy()}
        _save(run.dir / f"reconstructions-{split}.npz", arrays)
        _picture(run, "reconstructions", plots.reconstructions(x, mean, n, **pixel_range(run)))

    _call(reconstruct, tokens)


def _report(tokens: list[str]) -> None:
    r"""report DIR: writes the report of a run, one HTML file."""

    def report(dir: str, device: str = "auto") -> None:
        """Writes the report of a run, one HTML file, and its figures.

        Args:
            dir: The folder of the run.
            device: auto, cuda, mps or cpu.
        """
        from .report import write_report

        run = load(dir, device=device)
        for name, figure in run.figures().items():
            _picture(run, name, figure)
        print(write_report(run))

    _call(report, tokens)


def _compare(tokens: list[str]) -> None:
    r"""compare DIR...: ranks runs by log p(x); runs that differ in the seed alone are one group."""
    parser = ArgumentParser(exit_on_error=False, prog="ppl-vae compare")
    parser.add_argument("dirs", nargs="+", help="The folders of the runs, or folders of runs.")
    parser.add_argument("--split", default="test", help="The split they were evaluated on.")
    parser.add_argument("--out", default=None, help="An HTML file to write the comparison to.")
    given = parser.parse_args(tokens)
    found = groups(given.dirs, split=given.split)
    print_table(found)

    if given.out is not None:
        from .report import write_comparison

        illustrate(found)
        print(write_comparison(found, Path(given.out), title="Comparison"))


def _list(tokens: list[str]) -> None:
    r"""list: the experiments, and the parts they are made of."""
    from . import families, networks, objectives, priors

    if tokens:
        raise ValueError(f"list takes no arguments, got {' '.join(tokens)}.")

    print("experiments")
    for name, function in experiments().items():
        print(f"  {name:16} {first_line(function)}")
    for module in (priors, families, networks, objectives):
        print(f"\n{module.__name__.rpartition('.')[2]}")
        for name in module.__all__:
            part = getattr(module, name)
            if isinstance(part, type) and not issubclass(part, tuple) and not isabstract(part):
                print(f"  {name:16} {first_line(part)}")


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "train": _train,
    "resume": _resume,
    "evaluate": _evaluate,
    "encode": _encode,
    "sample": _sample,
    "reconstruct": _reconstruct,
    "report": _report,
    "compare": _compare,
    "list": _list,
}


def main(arguments: Sequence[str] | None = None) -> int:
    r"""Runs a command.

    Returns:
        The exit status: 0, 2 for bad input (one sentence on standard error), 130 or 143 after
        SIGINT or SIGTERM.
    """
    tokens = list(sys.argv[1:] if arguments is None else arguments)

    if not tokens or tokens[0] in ("-h", "--help"):
        print("usage: ppl-vae COMMAND ...\n")
        for command in COMMANDS.values():
            head, _, tail = first_line(command).partition(": ")
            print(f"  {head:28} {tail}")
        return 0

    try:
        if tokens[0] not in COMMANDS:
            raise ValueError(
                f"There is no command {tokens[0]!r}{nearest(tokens[0], COMMANDS)}; there are "
                f"{', '.join(COMMANDS)}."
            )
        with warnings.catch_warnings():
            warnings.showwarning = _tell  # type: ignore[assignment]
            COMMANDS[tokens[0]](tokens[1:])
    except SystemExit as stop:
        # After --help.
        return int(stop.code or 0)
    except Interrupted as stop:
        _complain(stop)
        return 128 + stop.signum
    except KeyboardInterrupt:
        print("ppl-vae: interrupted.", file=sys.stderr)
        return 130
    except (ValueError, OSError, ArgumentError) as error:
        if os.environ.get("PPL_VAE_TRACEBACK"):
            raise
        _complain(error)
        return 2
    except Exception as error:
        if os.environ.get("PPL_VAE_TRACEBACK"):
            raise
        what = next(iter(str(error).splitlines()), "")
        print(
            f"ppl-vae: {type(error).__name__}: {what} (PPL_VAE_TRACEBACK=1 shows where)",
            file=sys.stderr,
        )
        return 1

    return 0


def _tell(message: Warning | str, *_: Any) -> None:
    # Where in Python it was issued is of no use here.
    print(f"ppl-vae: warning: {message}", file=sys.stderr)


def _complain(error: BaseException) -> None:
    text = str(error)

    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename or 'a file'}: {error.strerror}."
    if needed := re.match(r"the following arguments are required: (.*)", text):
        text = f"An argument is missing: {needed.group(1)}; see --help."
    if loose := re.match(r"unrecognized arguments: (.*)", text, re.IGNORECASE):
        text = f"There is no place for {loose.group(1)!r}; see --help."
    if key := re.match(r'Parser key "(\w+)":\s*(.*)', text, re.DOTALL):
        text = f"Option --{key.group(1)}: {key.group(2)}".replace("typing.", "")

    sentences = " ".join([text, *getattr(error, "__notes__", [])])
    print(f"ppl-vae: {' '.join(sentences.split())}", file=sys.stderr)


def _told(record: dict[str, Any]) -> str:
    error = f" ± {record['standard_error']:.2f}" if record["n"] > 1 else ""
    head = f"log p(x) = {record['log_evidence']:.2f}{error} nats per datum"
    return f"{head} over {record['n']} data of {record['split']}. {verdict(record)[1]}"


class _Counter:
    r"""Tells how many of the data are done: on a terminal in place, else every tenth."""

    def __init__(self, total: int, verb: str) -> None:
        self.total, self.verb, self.done = total, verb, 0

    def __call__(self, n: int) -> None:
        before, self.done = self.done, self.done + n
        text = f"{self.verb} {self.done} of {self.total}"

        if sys.stderr.isatty():
            end = "\n" if self.done == self.total else ""
            print(f"\r{text}", end=end, file=sys.stderr, flush=True)
        elif 10 * self.done // self.total > 10 * before // self.total:
            print(text, file=sys.stderr, flush=True)


def _call(function: Callable[..., None], tokens: list[str]) -> None:
    parser = ArgumentParser(exit_on_error=False, prog=f"ppl-vae {function.__name__}")
    parser.add_function_arguments(function, as_positional=True)
    known = [s for action in parser._actions for s in action.option_strings]

    flags = [f"--{k}" for k, v in signature(function).parameters.items() if v.default is False]
    tokens = [f"{token}=true" if token in flags else token for token in tokens]

    for token in tokens:
        option = token.partition("=")[0]
        if option.startswith("--") and option not in known:
            raise ValueError(
                f"{function.__name__} has no option {option}{nearest(option, known)}; see "
                f"ppl-vae {function.__name__} --help."
            )

    function(**parser.parse_args(tokens).as_dict())


def _help(reference: str, function: Callable[..., Any]) -> None:
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


def _flag(tokens: list[str], name: str) -> bool:
    there = name in tokens
    while name in tokens:
        tokens.remove(name)
    return there


def _value(tokens: list[str], name: str) -> str | None:
    for i, token in enumerate(tokens):
        if token.startswith(f"{name}="):
            del tokens[i]
            return token.partition("=")[2]
        if token == name:
            if i + 1 == len(tokens):
                raise ValueError(f"Option {name} needs a value.")
            value = tokens[i + 1]
            del tokens[i : i + 2]
            return value

    return None


def _seeds(first: int, count: str) -> range:
    if not count.isdigit() or int(count) < 1:
        raise ValueError(f"--seeds takes a positive number of runs, got {count!r}.")

    return range(first, first + int(count))


def _save(path: Path | str, arrays: dict[str, np.ndarray]) -> None:
    write_arrays(path, arrays)
    print(path)


def _picture(run: Run, name: str, figure: Any) -> None:
    path = run.dir / "figures" / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    write_bytes(path, plots.png(figure))
    print(path)


def _done(run: Run) -> None:
    best = max(run.history, key=judged)
    elbo = best.get("validation_elbo", best.get("train_elbo"))
    # As evaluate tells it: of the raw data.
    elbo = None if elbo is None else elbo + run.data.log_volume
    told = "" if elbo is None else f": ELBO {elbo:.2f} nats per datum at epoch {best['epoch']:.0f}"
    print(f"{run.dir}{told}. Next: ppl-vae evaluate {run.dir}")
