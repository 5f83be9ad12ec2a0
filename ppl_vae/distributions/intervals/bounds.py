r"""Two bounds of a law, and what lies between them."""

from __future__ import annotations

import math
from typing import Any

import pyro.distributions as dist

from ..huber import Huber
from ..numerics.huber_tails import HuberTails
from ..numerics.tails import LaplaceTails, NormalTails
from .between import Between
from .by_cdf import ByCdf
from .by_log import ByLog, log_bound
from .symmetric import Symmetric

__all__ = ["between"]


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
