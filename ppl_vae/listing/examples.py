r"""Parts with default options, and what they draw."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from inspect import signature
from typing import Any

import torch
from torch import Tensor

from ..distributions import is_implicit
from ..families import Family

__all__ = ["SHAPES", "example", "law_of", "rows", "scored"]

SHAPES = (4,), (2, 2, 2)
r"""The event shapes that a part is tried at: of a vector, and of an image."""


def example(part: Callable[..., Any]) -> Any:
    r"""A part with default options, at the first event shape that it takes.

    Raises:
        ValueError: If it takes none.
    """
    reasons = []

    for shape in SHAPES:
        try:
            return part(shape)
        except (ValueError, TypeError) as error:
            reasons.append(str(error))

    raise ValueError(reasons[0])


def law_of(family: Family, h: Tensor) -> Any:
    r"""The distribution of a family, of an exposure of ten where it needs one."""
    taken = signature(family.forward).parameters
    exposure = {"exposure": torch.full((), 10.0)} if "exposure" in taken else {}
    return family(h, **exposure)


@cache
def scored(part: Callable[..., Family]) -> bool:
    r"""Whether the members of a family have a density."""
    family = example(part)

    with torch.no_grad():
        return not is_implicit(law_of(family, torch.zeros(family.param_shape)))


def rows(family: Family, n: int = 8) -> Tensor:
    r"""Data that a family may be a likelihood of."""
    with torch.no_grad():
        h = torch.randn(n, *family.param_shape)
        return law_of(family, h).sample().to(torch.get_default_dtype())
