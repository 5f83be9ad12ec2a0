r"""Every part, and what it says of itself.

Everything is read off the classes: the first line of a docstring, and the distribution that a part
with default options returns. A class of a user's own, once imported, is listed like any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch

from .. import families, networks, objectives, priors
from ..catalogue import choices, experiments, first_line
from ..conditional import Conditional
from ..families import Family, Normal
from ..objectives import Objective
from ..priors import Prior
from ..program import Program
from .compose import NET
from .examples import SHAPES, example, law_of
from .supports import describe

__all__ = ["HEADS", "KINDS", "Entry", "entries", "law_with_defaults", "listed", "told_of"]

KINDS = ("experiments", "priors", "families", "guides", "networks", "objectives")


LAW = {"support": "support", "reparameterized": "reparameterized"}
HEADS = {
    "priors": LAW,
    "families": LAW,
    "objectives": {"bound": "bound of log p(x)", "reparameterized": "needs reparameterized sites"},
}
r"""By kind, the fields that a table has besides name and first line, and their heads."""


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
    r"""Whether gradients flow through its draws; whether they have to, of an objective."""
    bound: str | None = None
    r"""What the value of an objective is to log p(x), with default options."""


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
        support = reparameterized = bound = None
        if kind in ("priors", "families"):
            law = law_with_defaults(part)
            support, reparameterized = describe(law.support), bool(law.has_rsample)
        if kind == "objectives":
            told = _objective_with_defaults(part)
            bound, reparameterized = told.bound, told.reparameterized
        yield Entry(kind, name, first_line(part), support, reparameterized, bound)


def told_of(value: Any) -> str:
    r"""What a table says of a field.

    Example:
        >>> told_of(True), told_of(None), told_of("real")
        ('yes', '', 'real')
    """
    return {True: "yes", False: "no", None: ""}.get(value, str(value))


def _objective_with_defaults(part: Any) -> Any:
    # What an objective bounds may depend on its options; one that needs some tells it by its class.
    try:
        return part()
    except TypeError:
        return part


def law_with_defaults(part: Any) -> Any:
    built = example(part)

    with torch.no_grad():
        if isinstance(built, Prior):
            q = Conditional(SHAPES[0], Normal(built.event_shape), NET)
            return built.attach(q, torch.rand(8, *SHAPES[0]))()
        return law_of(built, torch.zeros(built.param_shape))
