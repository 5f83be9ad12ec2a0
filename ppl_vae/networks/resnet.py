r"""Residual convolutional networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import gcd

from torch import Tensor, nn

from .base import Activation, layer_of, positive
from .image import ImageNetwork, Size

__all__ = ["resnet"]


class ResidualBlock(nn.Module):
    r"""The block :math:`x + f(x)`, where :math:`f` normalizes, activates and convolves twice."""

    def __init__(self, channels: int, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        groups = gcd(channels, 8)
        # A group of one channel would normalize the 1 x 1 image of a small picture away.
        groups = max(groups // 2, 1) if groups == channels else groups
        self.f = nn.Sequential(
            nn.GroupNorm(groups, channels),
            activation(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(groups, channels),
            activation(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.f(x)


class resnet(ImageNetwork):
    r"""A residual network, down from an image or up to one, with group normalization.

    Unlike batch normalization, group normalization mixes neither data nor particles.

    Example:
        >>> import torch
        >>> resnet()((3, 15, 11), (2, 50))(torch.zeros(5, 3, 15, 11)).shape
        torch.Size([5, 2, 50])

    References:
        | Identity Mappings in Deep Residual Networks (He et al., 2016)
        | https://arxiv.org/abs/1603.05027

    Arguments:
        channels: The numbers of channels of the stages, from the image inwards.
        blocks: The number of residual blocks of each stage.
        activation: The non-linearity.

    Raises:
        ValueError: If a size is not positive.
    """

    def __init__(
        self,
        channels: Sequence[int] = (32, 64),
        blocks: int = 1,
        activation: Activation = "SiLU",
    ) -> None:
        super().__init__(channels, activation)
        (self.blocks,) = positive("resnet.blocks", [blocks])

    def down(self, a: int, b: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(a, b, 3, stride=2, padding=1),
            *(ResidualBlock(b, layer_of(self.activation)) for _ in range(self.blocks)),
        )

    def up(self, a: int, b: int, odd: Size) -> nn.Module:
        restore = (1 - odd[0], 1 - odd[1])
        return nn.Sequential(
            *(ResidualBlock(a, layer_of(self.activation)) for _ in range(self.blocks)),
            nn.ConvTranspose2d(a, b, 3, stride=2, padding=1, output_padding=restore),
        )
