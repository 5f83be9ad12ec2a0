r"""What kind of measure a distribution has a density of, told by its support alone."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

__all__ = ["kind_of", "limits_of"]


def kind_of(fn: Any, value: Tensor) -> str | None:
    r"""Tells whether a distribution is discrete, continuous, or on a surface.

    A density on a simplex or a sphere is one with respect to the area of that surface: it and a
    density over all of :math:`\mathbb{R}^d` make no ratio, although draws of the one lie in the
    support of the other. A support is a surface if draws that are moved a little, in or out, leave
    it; no list of supports is asked.

    Example:
        >>> import pyro.distributions as dist
        >>> import torch
        >>> for p in (dist.Normal(0.0, 1.0), dist.Bernoulli(0.5), dist.Dirichlet(torch.ones(3))):
        ...     kind_of(p, p.sample((100,)))
        'continuous'
        'discrete'
        'surface'

    Arguments:
        fn: The distribution.
        value: Draws of it.

    Returns:
        ``"discrete"``, ``"continuous"``, ``"surface"``, or None where it tells no support.
    """
    try:
        support = fn.support
        if bool(support.is_discrete):
            return "discrete"
        value = value if value.is_floating_point() else value.double()
        inside = support.check(value).sum()
        moved = [support.check(scale * value + 0.003) for scale in (0.99, 1.01)]
    except (AttributeError, NotImplementedError):
        return None

    # A draw in a thousand may be moved onto the surface again.
    stay = torch.stack(moved).any(0).sum()
    return "surface" if bool((stay < 0.05 * inside) & (inside > 0)) else "continuous"


def limits_of(fn: Any) -> tuple[float, float] | None:
    r"""The smallest interval that holds each element of a draw, None where that is not told.

    Example:
        >>> import pyro.distributions as dist
        >>> limits_of(dist.Poisson(1.0)), limits_of(dist.Normal(torch.zeros(3), 1.0).to_event(1))
        ((0.0, inf), (-inf, inf))
    """
    try:
        support = fn.support
    except (AttributeError, NotImplementedError):
        return None

    while hasattr(support, "base_constraint"):
        support = support.base_constraint

    low, high = (getattr(support, name, None) for name in ("lower_bound", "upper_bound"))

    if low is None and high is None:
        plain = {
            constraints.real: (-math.inf, math.inf),
            constraints.real_vector: (-math.inf, math.inf),
            constraints.boolean: (0.0, 1.0),
        }
        return plain.get(support)

    return (
        -math.inf if low is None else float(torch.as_tensor(low).min()),
        math.inf if high is None else float(torch.as_tensor(high).max()),
    )
