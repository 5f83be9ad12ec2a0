r"""Two bounds of a law: what they need, their support, and what lies between them."""

from __future__ import annotations

import math
from typing import Any

import pyro.distributions as dist
from torch.distributions import constraints

from ..huber import Huber
from ..numerics.huber_tails import HuberTails
from ..numerics.tails import LaplaceTails, NormalTails
from .between import Between
from .by_cdf import ByCdf
from .by_log import ByLog, log_bound
from .symmetric import Symmetric

__all__ = ["between", "check_interval", "interval"]


def between(base: dist.TorchDistribution, low: float, high: float) -> Between:
    r"""Returns a law between two bounds: exact in the tails of all laws but those by their cdf.

    Arguments:
        base: The law, over single numbers, with a ``cdf``.
        low: The lower bound.
        high: The upper bound.
    """
    if isinstance(base, dist.Normal):
        return Symmetric(NormalTails(), base, low, high)
    if isinstance(base, dist.Laplace):
        return Symmetric(LaplaceTails(), base, low, high)
    if isinstance(base, Huber):
        return Symmetric(HuberTails(base.beta), base, low, high)
    if isinstance(base, dist.LogNormal) and (low > 0 or high < math.inf):
        normal: Any = base.base_dist
        inner = between(normal, log_bound(low), log_bound(high))
        return ByLog(base, inner, low, high)

    return ByCdf(base, low, high)


def interval(low: float, high: float) -> constraints.Constraint:
    r"""The support between two bounds, which are part of it, one of which may be infinite."""
    if math.isinf(high):
        return constraints.greater_than_eq(low)

    return constraints.interval(low, high)


def check_interval(name: str, base_dist: dist.TorchDistribution, low: float, high: float) -> None:
    r"""Raises a ValueError unless the law is over numbers, and the bounds are in order."""
    if base_dist.event_shape:
        raise ValueError(
            f"{name} needs a law over single numbers, got one over {tuple(base_dist.event_shape)}."
        )
    if not low < high or (math.isinf(low) and math.isinf(high)):
        raise ValueError(
            f"{name} needs bounds low < high, one of them finite, got low={low} and high={high}."
        )
