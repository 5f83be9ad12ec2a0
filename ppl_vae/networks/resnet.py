r"""Residual convolutional networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor, nn

from .base import Activation, positive
from .image import ImageNetwork, Size
from .norm import norm_of

__all__ = ["resnet"]


class ResidualBlock(nn.Module):
    r"""The block :math:`x + f(x)`, where :math:`f` normalizes, activates and convolves twice."""

    def __init__(self, channels: int, activation: Callable[[], nn.Module]) -> None:
        super().__init__()
        self.f = nn.Sequential(
            norm_of("group", channels),
            activation(),
            nn.Conv2d(channels, channels, 3, padding=1),
            norm_of("group", channels),
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
        dropout: The probability with which each output of a non-linearity is dropped in training.

    Raises:
        ValueError: If there is no stage, a size is not positive, there is no such activation, or
            ``dropout`` is not in [0, 1).
    """

    def __init__(
        self,
        channels: Sequence[int] = (32, 64),
        blocks: int = 1,
        activation: Activation = "SiLU",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(channels, activation, dropout)
        (self.blocks,) = positive("resnet.blocks", [blocks])

    def down(self, a: int, b: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(a, b, 3, stride=2, padding=1),
            *(ResidualBlock(b, self.layer) for _ in range(self.blocks)),
        )

    def up(self, a: int, b: int, odd: Size) -> nn.Module:
        restore = (1 - odd[0], 1 - odd[1])
        return nn.Sequential(
            *(ResidualBlock(a, self.layer) for _ in range(self.blocks)),
            nn.ConvTranspose2d(a, b, 3, stride=2, padding=1, output_padding=restore),
        )
