r"""What programs and data may not do, each with one sentence for people."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..distributions.implicit import is_implicit

__all__ = [
    "SiteError",
    "blaming",
    "check_data",
    "check_density",
    "check_match",
    "check_plates",
    "check_scale",
    "kind_name",
    "lacks_density",
]

Node = Mapping[str, Any]

LOOSE = r"Shape mismatch inside plate\((.*?)\) at site (\S+) dim -?\d+, (\d+) vs (\d+)"
r"""What Pyro says of a draw that does not fit its plate."""


class SiteError(ValueError):
    r"""Model and guide draw different latent sites.

    Arguments:
        message: The sentence for people.
        model_sites: The names of those that the model draws.
    """

    def __init__(self, message: str, model_sites: Iterable[str]) -> None:
        super().__init__(message)
        self.model_sites = tuple(sorted(model_sites))


def check_match(model_sites: Iterable[str], guide_sites: Iterable[str]) -> None:
    r"""Raises a SiteError unless both programs draw the same latent sites.

    Replay would draw a site that the guide forgot from the prior, silently; the weight would be
    wrong.
    """
    model_sites, guide_sites = set(model_sites), set(guide_sites)

    for name in sorted(model_sites - guide_sites):
        raise SiteError(
            f"The guide does not draw latent site {name!r} of the model; it draws "
            f"{sorted(guide_sites) or 'nothing'}. Add pyro.sample({name!r}, ...) to the guide, or "
            "observe the site in the model.",
            model_sites,
        )
    for name in sorted(guide_sites - model_sites):
        raise SiteError(
            f"The guide draws site {name!r}, which is no latent site of the model; those are "
            f"{sorted(model_sites) or 'none'}. Rename it, or remove it from the guide.",
            model_sites,
        )


def check_scale(node: Node, expected: float) -> None:
    r"""Raises a ValueError if ``poutine.scale`` changes the density of a site."""
    scale = float(node["scale"])

    if abs(scale - expected) > 1e-6 * abs(expected):
        raise ValueError(
            f"Site {node['name']!r} is scaled by {scale:g}, where the minibatch explains "
            f"{expected:g}. Weights take no poutine.scale: weight the KL term by the objective's "
            "kl_weight, or pass PyroObjective(...) to train with Pyro's own arithmetic."
        )


def check_plates(node: Node, log_prob: Tensor, dims: Iterable[int]) -> None:
    r"""Raises a ValueError if a site has batch dimensions that no plate explains."""
    dims = set(dims)
    loose = [d for d in range(-log_prob.ndim, 0) if d not in dims and log_prob.shape[d] > 1]

    if loose:
        raise ValueError(
            f"Site {node['name']!r} has log density of shape {tuple(log_prob.shape)}, of which "
            f"dimension {loose[0]} lies in no plate. Open pyro.plate('data', n, dim=-1) around it, "
            "or turn event dimensions into the event with .to_event()."
        )


def lacks_density(node: Node, marks: bool = True) -> bool:
    r"""Whether a site has no density: its distribution says so, or ``infer={"implicit": True}``.

    Arguments:
        node: The site.
        marks: Whether that mark counts.
    """
    marked = marks and bool(node.get("infer", {}).get("implicit"))
    return marked or is_implicit(node["fn"])


def check_density(node: Node, marks: bool = True) -> None:
    r"""Raises a ValueError if :func:`lacks_density` is true of a site."""
    if lacks_density(node, marks):
        raise ValueError(
            f"Site {node['name']!r} is drawn from {kind_name(node['fn'])}, which has no density, "
            "so there are no weights and no log p(x); take a distribution that has one, such as "
            "Normal, or, of a guide, train by an objective that needs none, such as AVB, AAE or "
            "WAE."
        )


def check_data(node: Node, lenient: bool = False) -> None:
    r"""Raises a ValueError if observed data are NaN or outside of the likelihood's support.

    Arguments:
        node: The observed site.
        lenient: Whether a likelihood built with ``validate_args=False`` only warns.
    """
    value, fn = node["value"], node["fn"]

    if not isinstance(value, Tensor) or value.numel() == 0:
        return

    check_event_shape(node)

    support = getattr(fn, "support", None)

    if _holds_bad(value) and (value.isinf().any() or _refuses_missing(support, value)):
        raise ValueError(_not_finite(f"of site {node['name']!r}"))
    if support is None or support.check(value).all():
        return

    sentence = _outside(node["name"], fn, value)

    if lenient and opted_out(fn):
        warnings.warn(f"{sentence} It trains, but its bounds mean nothing.", stacklevel=2)
    else:
        raise ValueError(sentence)


def _innermost(fn: Any) -> Any:
    while hasattr(fn, "base_dist"):
        fn = fn.base_dist

    return fn


def kind_name(fn: Any) -> str:
    r"""The class of the innermost distribution."""
    return type(_innermost(fn)).__name__


def check_event_shape(node: Node) -> None:
    r"""Raises a ValueError if observed data do not have the shape that the likelihood draws."""
    value, fn = node["value"], node["fn"]
    shape = fn.batch_shape + fn.event_shape
    ok = value.ndim <= len(shape) and all(
        a in (b, 1) for a, b in zip(reversed(value.shape), reversed(shape), strict=False)
    )

    if not ok or value.shape[value.ndim - len(fn.event_shape) :] != fn.event_shape:
        raise ValueError(
            f"The data of site {node['name']!r} have shape {tuple(value.shape)}, but the likelihood"
            f" draws {tuple(shape)}; reshape the data, or build the likelihood for that shape."
        )


def opted_out(fn: Any) -> bool:
    r"""Whether the innermost distribution was built with ``validate_args=False``."""
    return _innermost(fn).__dict__.get("_validate_args") is False


@contextmanager
def blaming(arguments: Iterable[tuple[str, Any]]) -> Iterator[None]:
    r"""Within it, a program that fails at NaN or infinite data fails with a sentence about them.

    Guides run before the likelihood, which tells the site, is known. So does one, a draw of which
    does not fit its plate.
    """
    try:
        yield
    except ValueError as error:
        if loose := re.search(LOOSE, str(error)):
            plate, site, expected, found = loose.groups()
            raise ValueError(
                f"Site {site!r} has batch dimension {found} where the plate {plate} has {expected} "
                "rows: what returns its distribution, such as a prior or a family, must turn the "
                "dimensions of one draw into the event, with .to_event(1) for vectors, or "
                ".to_event(len(self.event_shape)) for any shape."
            ) from error
        for name, t in arguments:
            # Entries may be missing: what is no complaint of values has another reason.
            if _holds_bad(t) and (t.isinf().any() or "invalid values" in str(error)):
                raise ValueError(_not_finite(name)) from error
        raise


def _holds_bad(value: Any) -> bool:
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return False

    return not bool(value.isfinite().all())


def _refuses_missing(support: Any, value: Tensor) -> bool:
    # Whether a likelihood refuses data for their NaN, which that of missing entries supports.
    if support is None or support.check(value).all():
        return support is None
    if support.check(torch.full_like(value, torch.nan)).all():
        return False

    # If other values are at fault, data without NaN are refused as well.
    dims = support.event_dim
    gaps = value.isnan().flatten(-dims).any(-1) if dims else value.isnan()
    return bool((support.check(value) | gaps).all())


def _not_finite(name: str) -> str:
    return (
        f"The data {name} hold NaN or infinite values; drop those rows, fill missing entries "
        "with a value in the support, or take the likelihood Masked, for which NaN is a missing "
        "entry, and Conditional(..., missing=True) in the guide."
    )


def _outside(name: str, fn: Any, value: Tensor) -> str:
    kind = kind_name(fn)
    present = value[~value.isnan()]
    low, high = present.min().item(), present.max().item()
    cure = "take a likelihood with that support"

    if kind in ("Bernoulli", "Binomial") and low >= 0:
        cure = (
            "binarize them (binarization='threshold', 'static' or 'dynamic'), or take a likelihood "
            "whose support holds them, such as Normal for real numbers or Binomial with a larger "
            "total for counts"
        )

    return (
        f"The data of site {name!r} lie outside of the support of {kind}: they range from {low:g} "
        f"to {high:g}; {cure}."
    )
