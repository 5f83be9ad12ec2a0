r"""The catalogue: every part, what it says of itself, and which parts go together.

Everything is read off the classes: the first line of a docstring, and the distribution that a part
with default options returns. A class of a user's own, once imported, is listed like any other.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from . import families, networks, objectives, priors
from .catalogue import choices, experiments, first_line
from .conditional import Conditional
from .families import Bernoulli, Family, Normal
from .legality import Verdict, judge, sentence_of
from .networks import mlp
from .objectives import ELBO, Objective
from .priors import FamilyPrior, Prior, StandardNormal
from .program import Program

__all__ = [
    "KINDS",
    "PLURAL",
    "Cell",
    "Entry",
    "compose",
    "entries",
    "legal_cells",
    "listed",
    "print_cells",
    "print_entries",
    "suited",
    "verdict_of",
]

NET = mlp(hidden=[8])
LATENT = (4,)
SHAPES = (4,), (2, 2, 2)
r"""The event shapes that a part is tried at: of a vector, and of an image."""

KINDS = ("experiments", "priors", "families", "guides", "networks", "objectives")


@dataclass(frozen=True)
class Entry:
    r"""What the catalogue tells of a part."""

    kind: str
    name: str
    line: str
    r"""The first line of its docstring."""
    support: str | None = None
    r"""What its draws are, of a family or a prior."""
    reparameterized: bool | None = None
    r"""Whether gradients flow through its draws."""


@dataclass(frozen=True)
class Cell:
    r"""A pair of parts, all others at their defaults, and whether it is legal."""

    first: tuple[str, str]
    r"""The kind and the name of one part."""
    second: tuple[str, str]
    legal: bool
    reason: str


def listed(kind: str) -> dict[str, Any]:
    r"""The parts of a kind by name, built in or imported.

    Raises:
        ValueError: If there is no such kind.
    """
    guides = import_module("ppl_vae.guides")
    bases: dict[str, Any] = {
        "priors": (Prior, priors),
        "families": (Family, families),
        "guides": (Program, guides),
        "networks": (networks.Network, networks),
        "objectives": (Objective, objectives),
    }
    if kind == "experiments":
        return experiments()
    if kind not in bases:
        raise ValueError(f"The catalogue has no {kind!r}; it has {', '.join(KINDS)}.")

    base, package = bases[kind]
    found = choices(base)
    if kind == "guides":  # models are programs too
        found = {k: v for k, v in found.items() if getattr(package, k, None) is v}
    if kind == "objectives":  # what wraps an object of Pyro is for Python alone
        found = {k: v for k, v in found.items() if k != "PyroObjective"}

    return {name: found[name] for name in sorted(found, key=str.lower)}


def entries(kind: str) -> Iterator[Entry]:
    r"""What the catalogue tells of the parts of a kind, in the order of their names."""
    for name, part in listed(kind).items():
        law = None
        if kind in ("priors", "families"):
            law = _law(part)
        yield Entry(
            kind,
            name,
            first_line(part),
            None if law is None else describe(law.support),
            None if law is None else bool(law.has_rsample),
        )


def example(part: Callable[..., Any]) -> Any:
    r"""A part with default options, at the first event shape that it takes.

    Raises:
        ValueError: If it takes none.
    """
    reasons = []

    for shape in SHAPES:
        try:
            return part(shape)
        except (ValueError, TypeError) as error:
            reasons.append(str(error))

    raise ValueError(reasons[0])


def rows(family: Family, n: int = 8) -> Tensor:
    r"""Data that a family may be a likelihood of."""
    with torch.no_grad():
        h = torch.randn(n, *family.param_shape)
        return law_of(family, h).sample().to(torch.get_default_dtype())


def compose(
    prior: Callable[[Sequence[int]], Prior] = StandardNormal,
    likelihood: Callable[[Sequence[int]], Family] = Bernoulli,
    posterior: Callable[[Sequence[int]], Family] = Normal,
    guide: Callable[[Any], Program] | None = None,
) -> tuple[Program, Program, Tensor]:
    r"""Builds a tiny model and its guide from parts with default options, and draws data for it.

    Raises:
        ValueError: If a part refuses another.
    """
    models, guides = import_module("ppl_vae.models"), import_module("ppl_vae.guides")
    guide = guide or guides.Amortized
    family = example(likelihood)
    x = rows(family)
    q = Conditional(family.event_shape, posterior(LATENT), NET, in_scale=max(float(x.max()), 1.0))
    p = Conditional(LATENT, family, NET)

    if "layers" not in signature(guide).parameters:
        model = models.VAE(prior(LATENT).attach(q, x), p)
        return model, guide(q).attach(model), x

    # A guide of several layers, and a model of two, both of the posterior's family.
    above = [Conditional(LATENT, posterior(LATENT), NET) for _ in range(2)]
    model = models.Hierarchical(prior(LATENT).attach(), above[:1], p)
    return model, guide([q, above[1]]).attach(model), x


def verdict_of(objective: Callable[[], Objective] = ELBO, **parts: Any) -> Verdict:
    r"""Whether parts go together, all others at their defaults."""
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model, guide, x = compose(**parts)
            return judge(model, guide, objective(), {"x": x})
    except ValueError as error:
        return Verdict(False, sentence_of(error))


def legal_cells(kind: str | None = None) -> Iterator[Cell]:
    r"""Judges the pairs of parts that may not go together.

    What is paired with an objective or a guide has a prior, or a posterior, that it goes with.

    Arguments:
        kind: The kind of the one part; all pairs if None.
    """
    for first, second in PAIRS:
        if kind is not None and kind not in (PLURAL[first], PLURAL[second]):
            continue
        for a, one in listed(PLURAL[first]).items():
            for b, other in listed(PLURAL[second]).items():
                verdict = verdict_of(**suited({first: one, second: other}))
                yield Cell((first, a), (second, b), verdict.legal, verdict.reason)


PLURAL: Mapping[str, str] = {
    "prior": "priors",
    "likelihood": "families",
    "posterior": "families",
    "guide": "guides",
    "objective": "objectives",
}
PAIRS = (
    ("prior", "posterior"),
    ("posterior", "objective"),
    ("posterior", "guide"),
    ("prior", "guide"),
    ("guide", "objective"),
)
r"""The pairs that may refuse each other; a likelihood goes with all, if it fits the data."""


def describe(support: Any) -> str:
    r"""A support in words.

    Example:
        >>> from torch.distributions import constraints
        >>> describe(constraints.independent(constraints.real, 1)), describe(constraints.simplex)
        ('real', 'simplex')
        >>> describe(constraints.integer_interval(0, 15))
        '0 ... 15'
    """
    while hasattr(support, "base_constraint"):
        support = support.base_constraint

    low, high = (getattr(support, name, None) for name in ("lower_bound", "upper_bound"))
    name = type(support).__name__.strip("_")

    if low is not None and high is not None:
        low, high = (float(torch.as_tensor(bound).flatten()[0]) for bound in (low, high))
        return f"{low:g} ... {high:g}" if support.is_discrete else f"[{low:g}, {high:g}]"
    if low is not None:
        return "counts" if support.is_discrete else f"above {float(torch.as_tensor(low)):g}"

    return WORDS.get(name) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


WORDS = {"RealVector": "real", "Boolean": "0, 1", "OneHot": "one-hot", "Cells": "counts"}


def _console() -> Any:
    from rich.console import Console

    console = Console(highlight=False)
    # A file or a pipe has no width that lines should be broken at.
    return console if console.is_terminal else Console(width=160, highlight=False)


def print_entries(found: Sequence[Entry]) -> None:
    r"""Prints parts as tables, one for each kind."""
    from rich.markup import escape
    from rich.table import Table

    console = _console()
    for kind in dict.fromkeys(entry.kind for entry in found):
        table = Table(title=kind, title_justify="left", box=None, pad_edge=False)
        laws = kind in ("priors", "families")
        for head in ("name", "", *(("support", "reparameterized") if laws else ())):
            table.add_column(head, no_wrap=head in ("name", "support"))
        for entry in found:
            if entry.kind == kind:
                law = (entry.support or "", "yes" if entry.reparameterized else "no")
                table.add_row(*map(escape, (entry.name, entry.line, *(law if laws else ()))))
        console.print(table, "")


def print_cells(cells: Sequence[Cell]) -> None:
    r"""Prints, for each part, what it goes with."""
    from rich.table import Table

    console = _console()
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


def _law(part: Any) -> Any:
    built = example(part)

    with torch.no_grad():
        if isinstance(built, Prior):
            q = Conditional(SHAPES[0], Normal(built.event_shape), NET)
            return built.attach(q, torch.rand(8, *SHAPES[0]))()
        return law_of(built, torch.zeros(built.param_shape))


def law_of(family: Family, h: Tensor) -> Any:
    r"""The distribution of a family, of an exposure of ten where it needs one."""
    taken = signature(family.forward).parameters
    exposure = {"exposure": torch.full((), 10.0)} if "exposure" in taken else {}
    return family(h, **exposure)


def suited(parts: Mapping[str, Any]) -> dict[str, Any]:
    r"""Adds a prior to a posterior, or a posterior to a prior, that it goes with."""
    parts = dict(parts)

    if "posterior" in parts and "prior" not in parts:
        posterior = parts["posterior"]
        parts["prior"] = lambda shape: FamilyPrior(shape, posterior)
    if "prior" in parts and "posterior" not in parts:
        parts["posterior"] = _fitting(parts["prior"])

    return parts


@cache
def _fitting(prior: Callable[[Sequence[int]], Prior]) -> Callable[[Sequence[int]], Family]:
    known = [Normal, *listed("families").values()]
    legal = (q for q in known if verdict_of(prior=prior, posterior=q).legal)
    return next(legal, Normal)
