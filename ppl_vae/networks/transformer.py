r"""Transformers over the patches of images, or over the steps of sequences."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import nn

from .attention import AttentionBlock, Positions
from .base import Activation, Network, flatten, layer_of, positive
from .tokens import Mean, count, from_tokens, to_tokens

__all__ = ["transformer"]


class transformer(Network):
    r"""Blocks of self-attention, from an image or a sequence, or to one.

    The tokens are the patches of an image ``(C, H, W)``, or the steps of a sequence ``(T, D)``. A
    learned position is added to each. From tokens, the blocks' mean output is mapped to what is
    asked for; to tokens, the input, mapped to their width, is where each of them starts. An image
    that patches do not cover evenly is padded with zeros below and at the right. The formula of a
    block is that of :class:`~ppl_vae.networks.attention.AttentionBlock`.

    Example:
        >>> transformer(patch=7)((1, 28, 28), (2, 50))(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 2, 50])
        >>> transformer()((50,), (1, 20, 88))(torch.zeros(5, 50)).shape
        torch.Size([5, 1, 20, 88])

    References:
        | Attention Is All You Need (Vaswani et al., 2017)
        | https://arxiv.org/abs/1706.03762
        | An Image is Worth 16x16 Words (Dosovitskiy et al., 2021)
        | https://arxiv.org/abs/2010.11929

    Arguments:
        patch: The height and width of a patch, in pixels.
        layers: The number of blocks.
        heads: The number of heads of each block.
        width: The number of elements of a token; a multiple of ``heads``.
        activation: The non-linearity of the perceptrons in the blocks.
        dropout: The probability with which each output of an attention, and each hidden unit of a
            perceptron, is dropped in training.

    Raises:
        ValueError: If a size is not positive, ``width`` is no multiple of ``heads``, there is no
            such activation, ``dropout`` is not in [0, 1), or neither side is made of tokens.
    """

    def __init__(
        self,
        patch: int = 4,
        layers: int = 2,
        heads: int = 4,
        width: int = 128,
        activation: Activation = "SiLU",
        dropout: float = 0.0,
    ) -> None:
        (self.patch,) = positive("transformer.patch", [patch])
        (self.layers,) = positive("transformer.layers", [layers])
        (self.heads,) = positive("transformer.heads", [heads])
        (self.width,) = positive("transformer.width", [width])
        self.activation = activation
        self.dropout = dropout
        layer_of(activation, dropout)

        if width % heads:
            raise ValueError(
                f"transformer.width must be a multiple of heads, which share it; got {width} for "
                f"{heads} heads."
            )

    def __call__(self, in_shape: Sequence[int], out_shape: Sequence[int]) -> nn.Module:
        if len(in_shape) in (2, 3):
            return nn.Sequential(
                to_tokens(in_shape, self.patch, self.width),
                *self.blocks(count(in_shape, self.patch)),
                Mean(),
                nn.Linear(self.width, prod(out_shape)),
                nn.Unflatten(-1, torch.Size(out_shape)),
            )
        if len(out_shape) in (3, 4):
            return nn.Sequential(
                flatten(in_shape),
                nn.Linear(prod(in_shape), self.width),
                nn.Unflatten(-1, (1, self.width)),
                *self.blocks(count(out_shape[1:], self.patch)),
                from_tokens(self.width, self.patch, out_shape),
            )

        raise ValueError(
            "transformer needs an image, (channels, height, width), or a sequence, (steps, "
            f"numbers), on one side, got {tuple(in_shape)} to {tuple(out_shape)}; take mlp for "
            "vectors."
        )

    def blocks(self, tokens: int) -> list[nn.Module]:
        blocks = [
            AttentionBlock(self.width, self.heads, self.activation, self.dropout)
            for _ in range(self.layers)
        ]
        return [Positions(tokens, self.width), *blocks, nn.LayerNorm(self.width)]
