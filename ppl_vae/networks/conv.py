r"""Convolutional networks."""

from __future__ import annotations

from torch import nn

from .image import ImageNetwork, Size

__all__ = ["conv"]


class conv(ImageNetwork):
    r"""A stack of strided convolutions, down from an image or up to one.

    Example:
        >>> import torch
        >>> conv()((3, 15, 11), (2, 50))(torch.zeros(5, 3, 15, 11)).shape
        torch.Size([5, 2, 50])
        >>> conv()((50,), (1, 3, 15, 11))(torch.zeros(5, 50)).shape
        torch.Size([5, 1, 3, 15, 11])

    References:
        | Striving for Simplicity: The All Convolutional Net (Springenberg et al., 2015)
        | https://arxiv.org/abs/1412.6806

    Arguments:
        channels: The numbers of channels of the stages, from the image inwards.
        activation: The non-linearity.
        dropout: The probability with which each output of a non-linearity is dropped in training.
    """

    def down(self, a: int, b: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), self.layer())

    def up(self, a: int, b: int, odd: Size) -> nn.Module:
        restore = (1 - odd[0], 1 - odd[1])
        return nn.Sequential(
            nn.ConvTranspose2d(a, b, 3, stride=2, padding=1, output_padding=restore),
            self.layer(),
        )
