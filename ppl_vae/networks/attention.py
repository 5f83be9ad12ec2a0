r"""Self-attention over tokens: vectors, each of which reads what it needs from all."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .base import Activation, layer_of

__all__ = ["AttentionBlock", "Positions"]


class AttentionBlock(nn.Module):
    r"""A block of a transformer, normalized before each of its two halves.

    .. math::
        y &= x + \mathrm{attend}(\mathrm{norm}(x)) \\
        \mathrm{block}(x) &= y + f(\mathrm{norm}(y))

    A head attends by :math:`\mathrm{softmax}(Q K^\top / \sqrt{d}) V`, where the queries, keys and
    values are linear maps of the tokens; :math:`f` is a perceptron with one hidden layer.

    Arguments:
        width: The number of elements of a token.
        heads: The number of heads, among which they are shared out.
        activation: The non-linearity of the perceptron.
        dropout: The probability with which each output of the attention, and each hidden unit of
            the perceptron, is dropped in training.
    """

    def __init__(self, width: int, heads: int, activation: Activation, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        # Without a bias: to all keys alike, it would change nothing.
        self.projections = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Sequential(nn.Linear(width, width), nn.Dropout(dropout))
        self.f = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 4 * width),
            layer_of(activation, dropout)(),
            nn.Linear(4 * width, width),
        )

    def forward(self, x: Tensor) -> Tensor:
        r"""
        Arguments:
            x: Tokens, with shape ``(n, N, width)``.
        """
        x = x + self.out(self.attend(self.norm(x)))
        return x + self.f(x)

    def attend(self, x: Tensor) -> Tensor:
        h = self.projections(x).unflatten(-1, (3, self.heads, -1))
        q, k, v = h.permute(2, 0, 3, 1, 4)  # each (n, heads, N, width / heads)
        # torch's fused kernels have no second derivatives, which refining codes by gradient needs.
        weights = (q @ k.mT / math.sqrt(q.shape[-1])).softmax(-1)
        return (weights @ v).transpose(1, 2).flatten(2)


class Positions(nn.Module):
    r"""Adds to each token a vector of its place, which is learned.

    Arguments:
        tokens: The number of tokens.
        width: The number of elements of a token.
    """

    def __init__(self, tokens: int, width: int) -> None:
        super().__init__()
        self.places = nn.Parameter(0.02 * torch.randn(tokens, width))

    def forward(self, x: Tensor) -> Tensor:
        r"""
        Arguments:
            x: Tokens, with shape ``(n, N, width)``, or one for all places, ``(n, 1, width)``.
        """
        return x + self.places
