r"""Records and the catalogue as tables on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

from ..drawing.terms import terms
from ..drawing.verdict import verdict
from ..listing import HEADS, Cell, Entry, told_of
from .output import heading


def wide_console() -> Any:
    from rich.console import Console

    class Plain(Console):
        r"""A console that leaves a closed pipe to the command."""

        def on_broken_pipe(self) -> None:
            raise BrokenPipeError

    console = Plain(highlight=False)
    # A file or a pipe has no width that lines should be broken at.
    return console if console.is_terminal else Plain(width=160, highlight=False)


def print_entries(found: Sequence[Entry]) -> None:
    r"""Prints parts as tables, one for each kind."""
    from rich.markup import escape
    from rich.table import Table

    console = wide_console()
    for kind in dict.fromkeys(entry.kind for entry in found):
        table = Table(title=kind, title_justify="left", box=None, pad_edge=False)
        heads = HEADS.get(kind, {})
        for head in ("name", "", *heads.values()):
            table.add_column(head, no_wrap=head in ("name", "support"))
        for entry in found:
            if entry.kind == kind:
                told = [told_of(getattr(entry, field)) for field in heads]
                table.add_row(*map(escape, (entry.name, entry.line, *told)))
        console.print(table, "")


def print_cells(cells: Sequence[Cell]) -> None:
    r"""Prints, for each part, what it goes with."""
    from rich.table import Table

    console = wide_console()
    for pair in dict.fromkeys((cell.first[0], cell.second[0]) for cell in cells):
        here = [cell for cell in cells if (cell.first[0], cell.second[0]) == pair]
        legal = sum(cell.legal for cell in here)
        title = f"{pair[0]} and {pair[1]}: {legal} of {len(here)} pairs are legal"
        table = Table(title=title, title_justify="left", box=None, pad_edge=False)
        table.add_column(pair[0], no_wrap=True)
        table.add_column(f"goes with as {pair[1]}")
        for name in dict.fromkeys(cell.first[1] for cell in here):
            row = [cell for cell in here if cell.first[1] == name]
            names = [cell.second[1] for cell in row if cell.legal]
            told = "all" if len(names) == len(row) else ", ".join(names) or "none"
            table.add_row(name, told)
        console.print(table, "")
    console.print("--json tells why the others do not, and what to use instead.")


def print_record(record: dict[str, Any], *, as_json: bool = False) -> None:
    r"""Prints what an evaluation found, and its verdict; of JSON the latter on standard error."""
    from rich.table import Table
    from rich.text import Text

    head, sentences = heading(record), verdict(record)[1]
    if as_json:
        print(json.dumps(record, indent=2))
        print(f"{head}. {sentences}", file=sys.stderr)
        return

    console = wide_console()
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column()
    for term, value in terms(record):
        table.add_row(Text(term), Text(value))
    console.print(Text(head, style="bold"), "", table, "", sep="\n", soft_wrap=True)
    console.print(Text(sentences), soft_wrap=not console.is_terminal)
