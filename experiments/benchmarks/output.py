r"""What benchmarks have in common: options, a console, and where their rows go."""

from __future__ import annotations

import json
import logging
import shlex
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ppl_vae.experiments.benchmarks.machine import describe
from ppl_vae.experiments.benchmarks.page import Part

__all__ = ["Output", "console", "say"]

console = Console()


def say(text: str) -> None:
    r"""Prints a line as it is."""
    console.print(text, markup=False, highlight=False, soft_wrap=True)


class Output:
    r"""Where the rows of a benchmark go: to the console, and to files if asked.

    Arguments:
        name: The name of the benchmark, which is that of its module and of its part of the page.
        heads: The heads of the columns.
        named: How many columns at the left hold names.
    """

    def __init__(self, name: str, heads: Sequence[str], named: int = 1) -> None:
        self.name, self.heads, self.named = name, heads, named
        self.json: Path | None = None
        self.part: Part | None = None

    def options(self, parser: ArgumentParser, rounds: int) -> Namespace:
        r"""Reads the command line, with the options that all benchmarks have, and obeys them."""
        parser.add_argument("--rounds", type=int, default=rounds)
        parser.add_argument("--threads", type=int, help="of torch; its own choice if not given")
        parser.add_argument("--json", type=Path, help="a file to write the rows to")
        parser.add_argument("--write", type=Path, help="a Markdown file to write the table to")
        given = parser.parse_args()
        self.json = given.json
        self.part = None if given.write is None else Part(given.write, self.name)

        if given.threads is not None:
            torch.set_num_threads(given.threads)
        # Inductor looks for CUDA's compiler, and on a CPU says that there is none.
        logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
        return given

    def publish(
        self, rows: Sequence[dict[str, Any]], cells: Sequence[Sequence[str]], title: str
    ) -> None:
        r"""Prints the table, and writes the rows and the table to the files that were asked for."""
        table = Table(title=title, caption=describe(), box=SIMPLE_HEAD, collapse_padding=True)
        for i, head in enumerate(self.heads):
            justify: Any = "left" if i < self.named else "right"
            table.add_column(head, justify=justify, no_wrap=" " not in head)
        for row in cells:
            table.add_row(*row)

        console.print(table)
        if self.json is not None:
            self.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
        if self.part is not None:
            self.part.write(self.markdown(cells, title))

    def markdown(self, cells: Sequence[Sequence[str]], title: str) -> str:
        r"""The table, preceded by the command, the machine and the date."""
        command = f"python -m ppl_vae.experiments.benchmarks.{self.name}"
        command = f"{command} {shlex.join(sys.argv[1:])}".strip()
        head, *lines = (f"| {' | '.join(line)} |" for line in (self.heads, *cells))
        rule = "|---" * len(self.heads) + "|"
        return "\n".join([f"`{command}`: {title}; {describe()}.", "", head, rule, *lines])
