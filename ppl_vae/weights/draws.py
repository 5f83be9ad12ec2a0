r"""What a guide may not draw a latent variable from, each with one sentence for people."""

from __future__ import annotations

from typing import Any

from torch.distributions import Independent

from ..distributions.measure import measure
from .checks import Node, kind_name
from .supports import kind_of, limits_of

__all__ = ["check_draws", "leaves_out"]


def check_draws(p: Node, q: Node) -> None:
    r"""Raises a ValueError if a guide draws a site where the model has no density for it.

    A density over integers, one over real numbers and one on a surface, such as a sphere, make no
    ratio; draws outside of the prior's support have the weight zero.

    Arguments:
        p: The site in the model.
        q: The site in the guide, with its draws.
    """
    _check_exact(q)
    kinds = [kind_of(node["fn"], q["value"]) for node in (p, q)]
    known = None not in kinds

    if known and kinds[0] != kinds[1] and {*kinds} != {"continuous", "surface"}:
        raise ValueError(
            f"Site {p['name']!r} is {kinds[0]} in the model, {kind_name(p['fn'])}, but {kinds[1]} "
            f"in the guide, {kind_name(q['fn'])}; take a prior and a posterior of one kind."
        )

    _check_support(p, q)

    if known and kinds[0] != kinds[1]:
        raise ValueError(
            f"The guide draws site {p['name']!r} from {kind_name(q['fn'])}, on a surface that is "
            f"no more than a slice of the support of the model's {kind_name(p['fn'])}, so their "
            "densities make no ratio; take a prior on that surface, such as one of the posterior's "
            "family."
        )
    if known:
        _check_measure(p, q)

    _check_scored(p, q)


def leaves_out(p: Node, q: Node) -> bool:
    r"""Whether a guide never draws a part of what the model may draw.

    Weights then miss what the evidence has there: however many, they estimate less than
    :math:`p(x)`.
    """
    inner, outer = limits_of(q["fn"]), limits_of(p["fn"])

    if inner and outer and (outer[0] < inner[0] or outer[1] > inner[1]):
        return True
    try:
        value = p["fn"].sample()
        return not bool(q["fn"].support.check(value).all())
    except (AttributeError, NotImplementedError, RuntimeError):
        return False


def _check_exact(q: Node) -> None:
    fn = q["fn"]

    if _estimated(fn):
        outer = fn.base_dist if isinstance(fn, Independent) else fn
        raise ValueError(
            f"The guide draws site {q['name']!r} from {type(outer).__name__}, the density of "
            "which is an estimate, so that weights would be biased upwards; take a posterior "
            "whose density is exact."
        )


def _estimated(fn: Any) -> bool:
    # A law tells so itself, or one of those that it is made of does.
    inner = [getattr(fn, name, None) for name in ("base_dist", "component_distribution")]
    parts = [*inner, *getattr(fn, "parts", ())]
    return getattr(fn, "estimated", False) or any(_estimated(p) for p in parts if p is not None)


def _check_support(p: Node, q: Node) -> None:
    support = getattr(p["fn"], "support", None)
    inner, outer = limits_of(q["fn"]), limits_of(p["fn"])
    # Draws far out may be too rare to be seen here.
    exceeds = inner and outer and (inner[0] < outer[0] or inner[1] > outer[1])

    if exceeds or (support is not None and not support.check(q["value"]).all()):
        raise ValueError(
            f"The guide draws site {p['name']!r} outside of the support of the model's "
            f"{kind_name(p['fn'])}; take a posterior whose support is the prior's."
        )


def _check_measure(p: Node, q: Node) -> None:
    names = [measure(node["fn"]) for node in (p, q)]

    if names[0] != names[1]:
        raise ValueError(
            f"Site {p['name']!r} has a density with respect to {names[0]} in the model, "
            f"{kind_name(p['fn'])}, but {names[1]} in the guide, {kind_name(q['fn'])}; take a "
            "prior and a posterior of one measure."
        )


def _check_scored(p: Node, q: Node) -> None:
    value: Any = q["value"]

    try:
        p["fn"].log_prob(value)
    except RuntimeError as error:
        raise ValueError(
            f"The model's {kind_name(p['fn'])} takes no draws of type {value.dtype}, which the "
            f"guide draws site {p['name']!r} in; take a posterior of the prior's own family."
        ) from error
