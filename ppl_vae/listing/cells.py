r"""Which parts go together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from ..families import Delta, Family, Normal
from ..legality import Verdict, judge, sentence_of
from ..objectives import ELBO, Objective
from ..priors import FamilyPrior, StandardNormal
from .compose import compose
from .entries import listed
from .examples import scored

__all__ = [
    "PAIRS",
    "PLURAL",
    "Cell",
    "fitting_posterior",
    "legal_cells",
    "pair_verdict",
    "scored",
    "suited",
    "verdict_of",
]

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
    ("likelihood", "objective"),
)
r"""The pairs that may refuse each other; a likelihood goes with all others, if it fits the data."""


@dataclass(frozen=True)
class Cell:
    r"""A pair of parts, all others at their defaults, and whether it is legal."""

    first: tuple[str, str]
    r"""The kind and the name of one part."""
    second: tuple[str, str]
    legal: bool
    reason: str


def verdict_of(objective: Callable[[], Objective] = ELBO, **parts: Any) -> Verdict:
    r"""Whether parts go together, all others at their defaults."""
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model, guide, x = compose(**parts)
            return judge(model, guide, _with_defaults(objective), {"x": x})
    except ValueError as error:
        return Verdict(False, sentence_of(error))


def _with_defaults(objective: Callable[[], Objective]) -> Objective:
    try:
        return objective()
    except TypeError as error:
        raise ValueError(
            f"Of {getattr(objective, '__name__', objective)} nothing is told here, since it has "
            "options without a default; give them one, or take judge."
        ) from error


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
                verdict = pair_verdict(first, one, second, other)
                yield Cell((first, a), (second, b), verdict.legal, verdict.reason)


@cache
def pair_verdict(first: str, one: Any, second: str, other: Any) -> Verdict:
    r"""Whether two parts go together, all others suited to them."""
    return verdict_of(**suited({first: one, second: other}))


def suited(parts: Mapping[str, Any]) -> dict[str, Any]:
    r"""Adds a prior, a posterior and, if that has no density, an objective that parts go with."""
    parts = dict(parts)

    if "objective" in parts and "posterior" not in parts:
        known = {role: parts[role] for role in ("prior", "objective") if role in parts}
        parts["posterior"] = fitting_posterior(**known)
    if "posterior" in parts and not scored(parts["posterior"]):
        parts = {"prior": StandardNormal, "objective": fitting_objective(), **parts}
    if "posterior" in parts and "prior" not in parts:
        posterior = parts["posterior"]
        parts["prior"] = lambda shape: FamilyPrior(shape, posterior)
    if "prior" in parts and "posterior" not in parts:
        parts["posterior"] = fitting_posterior(prior=parts["prior"])

    return parts


@cache
def fitting_objective() -> Callable[[], Objective]:
    r"""The first objective that takes a posterior without a density."""
    known = listed("objectives").values()
    return next(o for o in known if verdict_of(objective=o, posterior=Delta).legal)


@cache
def fitting_posterior(**part: Any) -> Callable[[Sequence[int]], Family]:
    r"""The first posterior that a prior, an objective, or both, go with."""
    known: list[Any] = [Normal, *listed("families").values()]
    if len(part) > 1:
        # What does not go with the prior alone does not with both.
        known = [q for q in known if pair_verdict("prior", part["prior"], "posterior", q).legal]

    legal = (q for q in known if verdict_of(**suited({**part, "posterior": q})).legal)
    return next(legal, Normal)
