r"""Supports in words."""

from __future__ import annotations

import re
from typing import Any

import torch

__all__ = ["describe"]


def describe(support: Any) -> str:
    r"""A support in words.

    Example:
        >>> from torch.distributions import constraints
        >>> describe(constraints.independent(constraints.real, 1)), describe(constraints.simplex)
        ('real', 'simplex')
        >>> describe(constraints.integer_interval(0, 15))
        '0 ... 15'
    """
    while hasattr(support, "base_constraint"):
        support = support.base_constraint

    low, high = (getattr(support, name, None) for name in ("lower_bound", "upper_bound"))
    name = type(support).__name__.strip("_")

    if low is not None and high is not None:
        low, high = (float(torch.as_tensor(bound).flatten()[0]) for bound in (low, high))
        return f"{low:g} ... {high:g}" if support.is_discrete else f"[{low:g}, {high:g}]"
    if low is not None:
        return "counts" if support.is_discrete else f"above {float(torch.as_tensor(low)):g}"

    return WORDS.get(name) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower()


WORDS = {"RealVector": "real", "Boolean": "0, 1", "OneHot": "one-hot", "cells": "counts"}
