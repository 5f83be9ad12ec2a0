r"""Tokens: the patches of an image ``(C, H, W)``, or the steps of a sequence ``(T, D)``."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

__all__ = ["Mean", "Transpose", "count", "from_tokens", "to_tokens"]


def count(shape: Sequence[int], patch: int) -> int:
    r"""Returns the number of tokens of an image, or of a sequence.

    Example:
        >>> count((1, 9, 7), patch=4), count((20, 88), patch=4)
        (6, 20)
    """
    return shape[0] if len(shape) == 2 else prod(_grid(shape, patch))


def to_tokens(shape: Sequence[int], patch: int, width: int) -> nn.Module:
    r"""Returns a module from ``(n, *shape)`` to tokens, with shape ``(n, N, width)``."""
    if len(shape) == 2:
        return nn.Linear(shape[1], width)

    c, h, w = shape
    return nn.Sequential(
        nn.ZeroPad2d((0, -w % patch, 0, -h % patch)),
        nn.Conv2d(c, width, patch, stride=patch),
        nn.Flatten(2),
        Transpose(1, 2),
    )


def from_tokens(width: int, patch: int, shape: Sequence[int]) -> nn.Module:
    r"""Returns a module from tokens ``(n, N, width)`` to ``(n, *shape)``.

    Arguments:
        width: The number of elements of a token.
        patch: The height and width of a patch, in pixels.
        shape: ``(features, C, H, W)``, or ``(features, T, D)``.
    """
    if len(shape) == 3:
        features, _, d = shape
        return nn.Sequential(
            nn.Linear(width, features * d),
            nn.Unflatten(-1, (features, d)),
            Transpose(1, 2),
        )

    features, c, h, w = shape
    return nn.Sequential(
        Transpose(1, 2),
        nn.Unflatten(-1, _grid(shape, patch)),
        nn.ConvTranspose2d(width, features * c, patch, stride=patch),
        # Padding by less than nothing cuts off.
        nn.ZeroPad2d((0, -(-w % patch), 0, -(-h % patch))),
        nn.Unflatten(1, (features, c)),
    )


def _grid(shape: Sequence[int], patch: int) -> torch.Size:
    # The numbers of rows and columns of patches.
    return torch.Size([-(-size // patch) for size in shape[-2:]])


class Transpose(nn.Module):
    r"""Exchanges two dimensions."""

    def __init__(self, a: int, b: int) -> None:
        super().__init__()
        self.a, self.b = a, b

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(self.a, self.b)

    def extra_repr(self) -> str:
        return f"{self.a}, {self.b}"


class Mean(nn.Module):
    r"""The mean over tokens, from ``(n, N, width)`` to ``(n, width)``."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)
