r"""What networks over images have in common: the path down from an image, and up to one.

An image is a tensor of shape ``(channels, height, width)``, or ``(height, width)``. Each of the
:math:`L` stages halves height and width, rounded up, so any size will do, odd ones too; the way
up restores the very sizes of the way down.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

from .base import Activation, Network, flatten, layer_of, positive

__all__ = ["ImageNetwork"]

Size = tuple[int, int]


class ImageNetwork(Network):
    r"""A network with an image on one side and anything else on the other.

    To write a new one, subclass it and return the modules of one stage from :meth:`down` and
    :meth:`up`.

    Arguments:
        channels: The numbers of channels of the stages, from the image inwards.
        activation: The non-linearity.
        dropout: The probability with which each output of a non-linearity is dropped in training.

    Raises:
        ValueError: If there is no stage, a size is not positive, there is no such activation,
            ``dropout`` is not in [0, 1), or neither side is an image.
    """

    def __init__(
        self,
        channels: Sequence[int] = (32, 64),
        activation: Activation = "SiLU",
        dropout: float = 0.0,
    ) -> None:
        self.channels = positive(f"{type(self).__name__}.channels", channels)
        self.activation = activation
        self.dropout = dropout

        if not self.channels:
            raise ValueError(f"{type(self).__name__}.channels needs one stage or more, got none.")

        layer_of(activation, dropout)

    def layer(self) -> nn.Module:
        r"""A non-linearity, with its dropout."""
        return layer_of(self.activation, self.dropout)()

    def first(self, a: int, b: int) -> nn.Module:
        r"""The stage next to the image, from its ``a`` channels; as :meth:`down`, by default."""
        return self.down(a, b)

    @abstractmethod
    def down(self, a: int, b: int) -> nn.Module:
        r"""A stage from ``a`` to ``b`` channels that halves height and width, rounded up."""

    @abstractmethod
    def up(self, a: int, b: int, odd: Size) -> nn.Module:
        r"""A stage from ``a`` to ``b`` channels that doubles height and width, less 1 if odd."""

    def __call__(self, in_shape: Sequence[int], out_shape: Sequence[int]) -> nn.Module:
        if len(in_shape) in (2, 3):
            return self.encoder(torch.Size(in_shape), torch.Size(out_shape))
        if len(out_shape) in (3, 4):
            return self.decoder(torch.Size(in_shape), torch.Size(out_shape))

        raise ValueError(
            f"{type(self).__name__} needs an image, (channels, height, width), on one side, got "
            f"{tuple(in_shape)} to {tuple(out_shape)}; take mlp for vectors."
        )

    def encoder(self, in_shape: torch.Size, out_shape: torch.Size) -> nn.Module:
        c, height, width = (1, *in_shape)[-3:]
        sizes = self.sizes(height, width)
        stages = [self.first(c, self.channels[0]), ChannelsLast()]
        stages += [self.down(a, b) for a, b in pairwise(self.channels)]
        features = self.channels[-1] * prod(sizes[-1])
        return nn.Sequential(
            # (height, width) becomes (1, height, width)
            *([nn.Unflatten(1, (1, height))] if len(in_shape) == 2 else []),
            *stages,
            nn.Flatten(),
            nn.Linear(features, prod(out_shape)),
            nn.Unflatten(-1, out_shape),
        )

    def decoder(self, in_shape: torch.Size, out_shape: torch.Size) -> nn.Module:
        height, width = out_shape[-2:]
        sizes = self.sizes(height, width)
        inner = (self.channels[-1], *sizes[-1])
        stages: list[nn.Module] = []

        for i in reversed(range(len(self.channels))):
            odd = (sizes[i][0] % 2, sizes[i][1] % 2)
            a, b = self.channels[i], self.channels[max(i - 1, 0)]
            stages.append(self.up(a, b, odd))

        return nn.Sequential(
            flatten(in_shape),
            nn.Linear(prod(in_shape), prod(inner)),
            nn.Unflatten(-1, inner),
            ChannelsLast(),
            self.layer(),
            *stages,
            nn.Conv2d(self.channels[0], prod(out_shape[:-2]), 3, padding=1),
            nn.Unflatten(1, out_shape[:-2]),
        )

    def sizes(self, height: int, width: int) -> list[Size]:
        r"""Height and width at each stage, from the image inwards."""
        sizes = [(height, width)]

        for _ in self.channels:
            height, width = -(-height // 2), -(-width // 2)
            sizes.append((height, width))

        return sizes


class ChannelsLast(nn.Module):
    r"""Puts the channels of each pixel side by side: faster to convolve, on CPUs as on GPUs.

    What follows keeps that layout. The weights keep the usual one: Pyro's parameter store would
    train a copy of any other.
    """

    def forward(self, x: Tensor) -> Tensor:
        return x.contiguous(memory_format=torch.channels_last)
