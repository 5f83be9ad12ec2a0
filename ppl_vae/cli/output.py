r"""Telling what a command did."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import numpy as np

from .. import plots
from ..drawing.estimates import log_evidence, subject
from ..drawing.results import DIAGNOSES
from ..fit import judged
from ..folder.atomic import write_arrays, write_bytes
from ..legality import sentence_of
from ..run import Run


def save(path: Path | str, arrays: dict[str, np.ndarray]) -> None:
    write_arrays(path, arrays)
    print(path)


def picture(run: Run, name: str, figure: Any) -> None:
    path = run.dir / "figures" / f"{name}.png"
    path.parent.mkdir(exist_ok=True)
    write_bytes(path, plots.png(figure))
    print(path)


def done(run: Run) -> None:
    best = max(run.history, key=judged)
    # Of a guide without a density there is no bound, and nothing to evaluate.
    term, name, then = "elbo", "ELBO", "evaluate"
    if run.unscored:
        term, name, then = "reconstruction", "reconstruction", "report"

    value = best.get(f"validation_{term}", best.get(f"train_{term}"))
    if value is not None:
        # As evaluate tells it: of the raw data.
        split = "validation" if f"validation_{term}" in best else "train"
        value += run.data.log_volumes(run.data[split].sites["x"]).mean().item()
    at = f"nats per datum at epoch {best['epoch']:.0f}"
    told = "" if value is None else f": {name} {value:.2f} {at}"
    print(f"{run.dir}{told}. Next: ppl-vae {then} {run.dir}")


def heading(record: dict[str, Any]) -> str:
    r"""What was evaluated, and log p(x) where it is told.

    Example:
        >>> heading({"method": "gap", "n": 100, "split": "test"})
        'What the guide costs: 100 data of test'
    """
    if record["method"] in DIAGNOSES:
        return f"{DIAGNOSES[record['method']]}: {subject(record)}"

    return f"log p(x) = {log_evidence(record)} nats per datum over {subject(record)}"


class Counter:
    r"""Tells how many of the data are done: on a terminal in place, else every tenth."""

    def __init__(self, verb: str, total: int = 1) -> None:
        self.total, self.verb, self.done = total, verb, 0

    def __call__(self, n: int) -> None:
        before, self.done = self.done, self.done + n
        text = f"{self.verb} {self.done} of {self.total}"

        if sys.stderr.isatty():
            end = "\n" if self.done == self.total else ""
            print(f"\r{text}", end=end, file=sys.stderr, flush=True)
        elif 10 * self.done // self.total > 10 * before // self.total:
            print(text, file=sys.stderr, flush=True)


def tell(message: Warning | str, *_: Any) -> None:
    # Where in Python it was issued is of no use here.
    print(f"ppl-vae: warning: {message}", file=sys.stderr)


def complain(error: BaseException) -> None:
    text = sentence_of(error)

    if isinstance(error, OSError) and error.strerror:
        text = f"{error.filename or 'a file'}: {error.strerror}."
    if needed := re.match(r"the following arguments are required: (.*)", text):
        text = f"An argument is missing: {_place(needed.group(1))}; see --help."
    if loose := re.match(r"unrecognized arguments: (.*)", text, re.IGNORECASE):
        text = f"There is no place for {loose.group(1)!r}; see --help."

    sentences = " ".join([text, *getattr(error, "__notes__", [])])
    print(f"ppl-vae: {' '.join(sentences.split())}", file=sys.stderr)


def _place(name: str) -> str:
    return name if name.startswith("-") else name.upper()
