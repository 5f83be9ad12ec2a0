r"""Tiny models of parts with default options."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from inspect import signature
from typing import Any

from torch import Tensor

from ..conditional import Conditional
from ..families import Bernoulli, Family, Normal
from ..networks import mlp
from ..priors import Prior, StandardNormal
from ..program import Program
from .examples import example, rows, scored

__all__ = ["LATENT", "NET", "compose"]

NET = mlp(hidden=[8])


LATENT = (4,)


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

    # A guide of several layers, and a model of two, of the posterior's family if it can be scored.
    layer = Conditional(LATENT, (posterior if scored(posterior) else Normal)(LATENT), NET)
    model = models.Hierarchical(prior(LATENT).attach(), [layer], p)
    above = Conditional(LATENT, posterior(LATENT), NET)
    return model, guide([q, above]).attach(model), x
