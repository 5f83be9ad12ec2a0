r"""Strided convolutions with normalization."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from .base import Activation
from .image import ImageNetwork, Size
from .norm import Norm, norm_of

__all__ = ["dcgan"]


class dcgan(ImageNetwork):
    r"""The strided, normalized convolutions of DCGAN, down from an image or up to one.

    .. math:: y = \phi(\mathrm{norm}(W * x))

    The kernels are 5 x 5. As in the paper, the layers next to the image are not normalized: they
    carry its brightness.

    Batch normalization makes a datum's distribution depend on the rest of its batch. It also mixes
    particles, hence :class:`~ppl_vae.conditional.Conditional` refuses it for several in one pass.

    Example:
        >>> import torch
        >>> dcgan()((3, 15, 11), (2, 50))(torch.zeros(5, 3, 15, 11)).shape
        torch.Size([5, 2, 50])
        >>> dcgan()((50,), (1, 3, 15, 11))(torch.zeros(5, 50)).shape
        torch.Size([5, 1, 3, 15, 11])

    References:
        | Unsupervised Representation Learning with Deep Convolutional Generative Adversarial
        | Networks (Radford et al., 2016)
        | https://arxiv.org/abs/1511.06434
        | Group Normalization (Wu & He, 2018)
        | https://arxiv.org/abs/1803.08494

    Arguments:
        channels: The numbers of channels of the stages, from the image inwards.
        norm: ``"group"`` normalizes groups of channels of each image by itself; ``"batch"`` each
            channel over the batch, as in the paper; ``"none"`` nothing.
        activation: The non-linearity.
        dropout: The probability with which each output of a non-linearity is dropped in training.

    Raises:
        ValueError: If there is no stage, a size is not positive, there is no such normalization or
            activation, or ``dropout`` is not in [0, 1).
    """

    def __init__(
        self,
        channels: Sequence[int] = (32, 64),
        norm: Norm = "group",
        activation: Activation = "SiLU",
        dropout: float = 0.0,
    ) -> None:
        super().__init__(channels, activation, dropout)
        self.norm = norm
        norm_of(norm, 1)

    def first(self, a: int, b: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(a, b, 5, stride=2, padding=2), self.layer())

    def down(self, a: int, b: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(a, b, 5, stride=2, padding=2, bias=self.bias),
            norm_of(self.norm, b),
            self.layer(),
        )

    def up(self, a: int, b: int, odd: Size) -> nn.Module:
        restore = (1 - odd[0], 1 - odd[1])
        return nn.Sequential(
            nn.ConvTranspose2d(
                a, b, 5, stride=2, padding=2, output_padding=restore, bias=self.bias
            ),
            norm_of(self.norm, b),
            self.layer(),
        )

    @property
    def bias(self) -> bool:
        r"""Whether convolutions have a bias, which batch normalization would subtract again."""
        return self.norm != "batch"
