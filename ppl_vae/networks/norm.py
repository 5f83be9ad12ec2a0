r"""Normalizations of images inside a network."""

from __future__ import annotations

from math import gcd
from typing import Literal, get_args

from torch import nn

__all__ = ["Norm", "norm_of"]

Norm = Literal["group", "batch", "none"]


def norm_of(norm: Norm, channels: int) -> nn.Module:
    r"""Returns a normalization of images, by its name.

    Example:
        >>> norm_of("group", 32).num_groups
        8

    Arguments:
        norm: ``"group"`` normalizes groups of channels of each image by itself; ``"batch"`` each
            channel over all images; ``"none"`` nothing.
        channels: The number of channels.

    Raises:
        ValueError: If there is no such normalization.
    """
    if norm == "group":
        return nn.GroupNorm(_groups(channels), channels)
    if norm == "batch":
        return nn.BatchNorm2d(channels)
    if norm == "none":
        return nn.Identity()

    raise ValueError(f"There is no norm {norm!r}; take one of {', '.join(get_args(Norm))}.")


def _groups(channels: int) -> int:
    groups = gcd(channels, 8)
    # A group of one channel would normalize the 1 x 1 image of a small picture away.
    return max(groups // 2, 1) if groups == channels else groups
