r"""Which draws can be differentiated twice with respect to the parameters."""

from __future__ import annotations

from typing import Any

import torch
from torch.distributions import Beta, Dirichlet

from .base import Family
from .temperature import held

__all__ = ["second_order"]


def second_order(family: Family) -> bool:
    r"""Tells whether the draws of a family, which are reparameterized, have a second derivative.

    Those of Gamma and its kin have none. Where torch would give one that lacks a term, the
    distribution tells so by a true ``first_order``.

    Example:
        >>> from ppl_vae.families import Gamma, Normal
        >>> second_order(Normal((3,))), second_order(Gamma((3,)))
        (True, False)

    Arguments:
        family: The family.
    """
    h = torch.zeros(family.param_shape, requires_grad=True)

    with torch.enable_grad(), torch.random.fork_rng(devices=[]), held(family):
        q: Any = family(h)
        z = q.rsample()
        (first,) = torch.autograd.grad(z.square().sum(), h, create_graph=True)
        try:
            torch.autograd.grad(first.sum(), h, allow_unused=True)
        except (NotImplementedError, RuntimeError):
            return False

    while q is not None:
        # Torch's own two do not tell.
        if getattr(q, "first_order", False) or isinstance(q, (Beta, Dirichlet)):
            return False
        q = getattr(q, "base_dist", None)

    return True
