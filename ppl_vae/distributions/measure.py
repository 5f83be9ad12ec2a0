r"""The measures that distributions are densities of, by name."""

from __future__ import annotations

from typing import Any

__all__ = ["measure"]


def measure(p: Any) -> str:
    r"""Tells the measure that a distribution is a density of.

    A distribution may tell it by an attribute ``measure``, or whatever it is made of may; else its
    support tells.

    Example:
        >>> import pyro.distributions as dist
        >>> import torch
        >>> measure(dist.Normal(torch.zeros(3), 1.0).to_event(1)), measure(dist.Bernoulli(0.5))
        ('lebesgue', 'counting')

    Returns:
        ``"counting"`` for discrete values, ``"lebesgue"`` for real ones, or the name that the
        distribution tells.
    """
    own = getattr(p, "measure", None)
    base = getattr(p, "base_dist", getattr(p, "component_distribution", None))

    if isinstance(own, str):
        return own
    if bool(p.support.is_discrete):
        return "counting"

    return "lebesgue" if base is None else measure(base)
