r"""Groups of runs as a table."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from ..evaluation.judgement import FEW

__all__ = ["is_ready", "print_table"]


def print_table(rows: Sequence[dict[str, Any]], title: str | None = None) -> None:
    r"""Prints groups as a table."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=title)
    heads = ("variant", "ELBO", "KL", "log p(x) [nats]", "- best (z)", "bits/dim", "k-hat > 0.7")
    for head in (*heads, "seconds"):
        table.add_column(escape(head), justify="left" if head == "variant" else "right")

    ready = [row for row in rows if is_ready(row)]
    for row in ready:
        error = f" ± {row['standard_error']:.2f}" if not math.isnan(row["standard_error"]) else ""
        table.add_row(
            escape(row["name"]) + ("" if row["runs"] == 1 else f" ({row['runs']} seeds)"),
            _number(row.get("elbo")),
            _number(row.get("kl")),
            f"{row['log_evidence']:.2f}{error}",
            _behind(row),
            "-" if row["bits_per_dim"] is None else f"{row['bits_per_dim']:.4f}",
            "-" if row["khat_share"] is None else f"{row['khat_share']:.0%}",
            f"{row['seconds']:.1f}",
        )

    console = Console()
    if not console.is_terminal:
        # A file or a pipe has no width that lines should be broken at.
        console = Console(width=max(console.width, 160))
    console.print(table)
    for row in rows:
        if not row["comparable"]:
            # A command that is broken over lines cannot be copied.
            told = f"{row['name']} is not ranked: {row['reason']}"
            console.print(told, markup=False, soft_wrap=True)
    if ready:
        for note in _notes(ready):
            console.print(note, markup=False, soft_wrap=True)


def _told(rows: Sequence[dict[str, Any]]) -> str:
    r"""What the numbers of groups are of: those that are ranked are of the same."""
    row = next((row for row in rows if row["comparable"]), rows[0])
    how = f"{row['particles']} particles"
    if row.get("steps") is not None:
        how = f"{row['particles']} chains of {row['steps']} steps"
    return f"{row['n']} data of {row['split']}, {row['estimator']}, {how}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _behind(row: dict[str, Any]) -> str:
    told = row.get("paired")
    if told is None:
        return ""

    return f"{told['difference']:.2f} ± {told['standard_error']:.2f} ({told['z']:.1f})"


def _notes(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    r"""How the table is to be read, a line each."""
    kinds = " and ".join(sorted({row["standard_error_kind"] for row in rows}))
    yield (f"{_told(rows)}. ± is the standard error {kinds}; log p(x) is a lower bound on average.")
    if over := {row["paired"]["over"] for row in rows if row.get("paired")}:
        held = "other draws are in it, another training is not"
        if "data" not in over:
            held = "other draws and another training are in it"
        yield (
            "- best: the difference to the best on the same data, its standard error over "
            f"{' or over '.join(sorted(over))}, and z, the number of standard errors as a normal "
            f"number; {held}."
        )
    if any(row.get("steps") and row.get("level") == "poor" for row in rows):
        yield (
            "Chains of some do not keep up, so that their estimates are far too low: take more "
            "steps (evaluate --method ais --steps) before they are ranked."
        )
    if any((row["khat_share"] or 0.0) > FEW for row in rows):
        yield (
            "k-hat is over 0.7 for more than one datum in twenty: importance weighting may fall "
            "short by more than these differences, which no error here covers; rank by annealing "
            "(evaluate and compare with --method ais)."
        )


def is_ready(row: dict[str, Any]) -> bool:
    r"""Whether a group was evaluated, so that it has numbers."""
    return bool(row.get("ready", True))
