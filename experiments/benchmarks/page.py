r"""The part of a Markdown file that a benchmark rewrites."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from ppl_vae.experiments.benchmarks.machine import describe

__all__ = ["Part", "head", "measured"]


class Part:
    r"""What stands between two markers of a file; all else is left as it is.

    Arguments:
        file: The file.
        name: The name of the part: its markers are ``<!-- name:begin -->`` and the same with end.
    """

    def __init__(self, file: Path, name: str) -> None:
        self.file = file
        self.markers = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
        self.around()  # refused before the measurements, not after them

    def around(self) -> tuple[str, str]:
        r"""What stands before and after the part, markers included."""
        begin, end = self.markers
        whole = self.file.read_text(encoding="utf-8") if self.file.exists() else ""
        head, found, rest = whole.partition(begin)
        _, closed, tail = rest.partition(end)

        if not (found and closed):
            sys.exit(f"{self.file} needs a line {begin} and, below it, a line {end}.")

        return head + begin, end + tail

    def write(self, text: str) -> None:
        r"""Puts a text between the markers."""
        head, tail = self.around()
        self.file.write_text(f"{head}\n{text}\n{tail}", encoding="utf-8")


def head(names: Sequence[str]) -> list[str]:
    r"""The first two lines of a table.

    Example:
        >>> head(["method", "ms"])
        ['| method | ms |', '|---|---|']
    """
    return [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]


def measured(module: str, folder: Path | str) -> str:
    r"""What was typed, with the user's folder called DIR, and on which machine.

    Arguments:
        module: The module that runs, below ``ppl_vae.experiments``.
        folder: The folder.
    """
    tokens = ["DIR" if token == str(folder) else token for token in sys.argv[1:]]
    if "--write" in tokens:  # where it is written shows by itself
        del tokens[(i := tokens.index("--write")) : i + 2]
    return f"`python -m ppl_vae.experiments.{module} {shlex.join(tokens)}`: {describe()}."
