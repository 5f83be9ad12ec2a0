r"""Gated multi-layer perceptrons."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import nn

from .base import Network, flatten, layer_of, positive

__all__ = ["gated"]


class gated(Network):
    r"""A multi-layer perceptron, each hidden unit of which has a gate.

    .. math:: h = (W x + b) \odot \sigma(V x + c)

    Where all gates are open, it is linear: gradients reach its first layers undiminished.

    Example:
        >>> gated(hidden=[300, 300])((28, 28), (2, 40))(torch.zeros(5, 28, 28)).shape
        torch.Size([5, 2, 40])

    References:
        | VAE with a VampPrior (Tomczak & Welling, 2018)
        | https://arxiv.org/abs/1705.07120

    Arguments:
        hidden: The widths of the hidden layers; none makes the map affine.
        dropout: The probability with which each hidden unit is dropped in training.

    Raises:
        ValueError: If a width is not positive, or ``dropout`` is not in [0, 1).
    """

    def __init__(self, hidden: Sequence[int] = (256, 256), dropout: float = 0.0) -> None:
        self.hidden = positive("gated.hidden", hidden)
        self.dropout = dropout
        layer_of(nn.GLU, dropout)

    def __call__(self, in_shape: Sequence[int], out_shape: Sequence[int]) -> nn.Module:
        widths = (prod(in_shape), *self.hidden)
        gate = layer_of(nn.GLU, self.dropout)
        layers: list[nn.Module] = [flatten(in_shape)]

        for a, b in pairwise(widths):
            # W and V, one above the other.
            layers += [nn.Linear(a, 2 * b), gate()]

        layers += [nn.Linear(widths[-1], prod(out_shape)), nn.Unflatten(-1, torch.Size(out_shape))]
        return nn.Sequential(*layers)
