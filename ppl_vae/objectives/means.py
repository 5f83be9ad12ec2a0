r"""Likelihoods at draws of the prior, and their means, which gradients flow through."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

import torch
from pyro.distributions import MaskedDistribution
from pyro.infer.util import is_validation_enabled
from torch import Tensor
from torch.distributions import Independent

from ..weights import Arguments, Program, Weights, distributions
from ..weights.traces import Detached, by_name

__all__ = ["check_unmasked", "means_of", "prior_laws"]


def means_of(objective: str, laws: Mapping[str, Any]) -> dict[str, Tensor]:
    r"""The mean of each site, as data of it are laid out.

    Arguments:
        objective: The name of the objective that needs them.
        laws: The distributions by site.

    Raises:
        ValueError: If a distribution has no mean. Whether that of a category, which torch says is
            NaN, is looked at while Pyro's validation is on.
    """
    means = {}

    for name, law in laws.items():
        try:
            mean = law.mean
        except (NotImplementedError, AttributeError):
            mean = None

        if mean is None or (is_validation_enabled() and bool(mean.isnan().any())):
            raise ValueError(
                f"{objective} needs the mean of the likelihood, and {_kind(law)} of site {name!r} "
                "has none; take a likelihood over numbers, such as Normal."
            )
        means[name] = mean

    return means


def check_unmasked(objective: str, weights: Weights) -> None:
    r"""Raises a ValueError if an observed site is masked: means of the likelihood know no mask.

    It is looked at while Pyro's validation is on.
    """
    if not is_validation_enabled():
        return

    for name, site in weights.observed.items():
        masks = [site.mask, *_masks(site.law)]
        if not all(mask is None or bool(torch.as_tensor(mask).all()) for mask in masks):
            raise ValueError(
                f"{objective} takes the mean of the likelihood for all data, and observed site "
                f"{name!r} is masked; leave masked data out of the batch, or take the likelihood "
                "Masked, for which NaN is a missing entry."
            )


def _masks(law: Any) -> list[Any]:
    # Those of `law.mask(...)`.
    own = [law._mask] if isinstance(law, MaskedDistribution) else []
    return own + (_masks(law.base_dist) if hasattr(law, "base_dist") else [])


def _kind(law: Any) -> str:
    while isinstance(law, Independent):
        law = law.base_dist

    return type(law).__name__


def prior_laws(
    objective: str, model: Program, batch: Arguments, n: int, sites: Sequence[str]
) -> dict[str, Any]:
    r"""The distributions of sites at draws of the prior, which are held fixed.

    Gradients flow to the parameters of the likelihood, and to none of the prior.

    Arguments:
        objective: The name of the objective that needs them.
        model: The program :math:`p(x, z)`, which takes the number of data as ``n``.
        batch: What it is called with. Data are what it observes; what else there is, such as
            labels or exposures, stays.
        n: The number of data.
        sites: The names of the observed sites, by which the model takes the data.

    Raises:
        ValueError: If the model takes no ``n``, or observes a site that it is given no data of.
    """
    given = by_name(model, batch)

    if "n" not in signature(getattr(model, "forward", model)).parameters:
        raise ValueError(
            f"{objective} draws from the model, which takes no n, the number of data; give it one, "
            "as in model(x=None, *, n=1)."
        )

    kept = {name: value for name, value in given.items() if name not in sites}
    with Detached():
        drawn = distributions(model, {"n": n, **kept})

    for name in sites:
        if drawn[name][2]:
            raise ValueError(
                f"{objective} draws from the model, which observes site {name!r} all the same; let "
                f"it take data by the name of the site, model({name}=None, *, n=1)."
            )

    return {name: drawn[name][0] for name in sites}
