r"""The catalogue as a page: every part, its support, and whether it is captured and compiled.

Run it with ``python -m ppl_vae.experiments.benchmarks.catalogue --write CATALOGUE.md``. Each part
is put into a tiny model, in each role that is legal for it, and takes a step replayed and one
compiled; what stands in the columns is ``yes``, or the reason why not.
"""

from __future__ import annotations

import logging
import warnings
from argparse import ArgumentParser
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from ppl_vae import listing
from ppl_vae.experiments.benchmarks.machine import describe
from ppl_vae.experiments.benchmarks.page import Part, head
from ppl_vae.objectives import ELBO
from ppl_vae.svi import SVI

ROLES = {
    "priors": ("prior",),
    "families": ("likelihood", "posterior"),
    "guides": ("guide",),
    "objectives": ("objective",),
}


def staged(parts: dict[str, Any], backend: str) -> str:
    r"""Takes a step with a backend: "yes", or the reason why it is not taken so."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        parts = listing.suited(parts)
        objective = parts.pop("objective", ELBO)()
        model, guide, x = listing.compose(**parts)
        svi = SVI(model, guide, partial(torch.optim.Adam, lr=1e-3), objective, compile=backend)
        svi.plan(1000, None, x)
        svi.step(x)
    return svi.reason or "yes"


def column(role: str, part: Any, backend: str) -> str:
    r"""What a column says of a part in a role; nothing where the role is not legal."""
    if not listing.verdict_of(**listing.suited({role: part})).legal:
        return ""
    return staged({role: part}, backend)


def lines(kind: str, backends: list[str], console: Console) -> Iterator[str]:
    r"""The rows of the table of a kind."""
    parts = listing.listed(kind)
    told_of = listing.HEADS.get(kind, {})
    heads = ["", "what it is", *told_of.values()]
    heads += [f"{role}: {backend}" for role in ROLES.get(kind, ()) for backend in backends]
    yield from head(heads)

    for entry in listing.entries(kind):
        cells = [f"`{entry.name}`", entry.line.rstrip(".")]
        cells += [listing.told_of(getattr(entry, field)) for field in told_of]
        for role in ROLES.get(kind, ()):
            for backend in backends:
                with console.status(f"{entry.name} as {role}, {backend}"):
                    cells.append(column(role, parts[entry.name], backend))
        yield f"| {' | '.join(cells)} |"


def main() -> None:
    parser = ArgumentParser(description="Writes the catalogue.")
    parser.add_argument("--backends", nargs="+", default=["fx", "inductor"])
    parser.add_argument("--kinds", nargs="+", default=listing.KINDS, help="the tables to write")
    parser.add_argument("--write", type=Path, help="a Markdown file to write the tables to")
    given = parser.parse_args()
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    console = Console()

    for kind in given.kinds:
        part = None if given.write is None else Part(given.write, kind)
        text = "\n".join(lines(kind, given.backends, console))
        console.print(f"{kind}\n\n{text}\n", markup=False)
        if part is not None:
            note = f"Captured and compiled: {describe()}.\n\n" if kind in ROLES else ""
            part.write(note + text)


if __name__ == "__main__":
    main()
