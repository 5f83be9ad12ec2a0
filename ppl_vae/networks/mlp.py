r"""Multi-layer perceptrons."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import nn

from .base import Activation, Network, flatten, layer_of, positive
from .vector_norm import VectorNorm, normed_linear, vector_norm

__all__ = ["mlp"]


class mlp(Network):
    r"""A multi-layer perceptron between tensors of any shapes.

    .. math:: h = \phi(\mathrm{norm}(W x + b))

    Batch normalization makes a datum's distribution depend on the rest of its batch. It also mixes
    particles, hence :class:`~ppl_vae.conditional.Conditional` refuses it for several in one pass.

    Example:
        >>> mlp(hidden=[200, 200])((1, 28, 28), (2, 50))(torch.zeros(5, 1, 28, 28)).shape
        torch.Size([5, 2, 50])

    References:
        | Batch Normalization (Ioffe & Szegedy, 2015)
        | https://arxiv.org/abs/1502.03167
        | Layer Normalization (Ba et al., 2016)
        | https://arxiv.org/abs/1607.06450

    Arguments:
        hidden: The widths of the hidden layers; none makes the map affine.
        activation: The non-linearity after each hidden layer: a name in :mod:`torch.nn`, such as
            ``"Tanh"``, or what builds one.
        dropout: The probability with which each hidden unit is dropped in training.
        norm: ``"batch"`` normalizes each hidden unit over the batch, before its non-linearity;
            ``"layer"`` the units of a layer, for each datum by itself; ``"none"`` nothing.

    Raises:
        ValueError: If a width is not positive, there is no such activation or normalization, or
            ``dropout`` is not in [0, 1).
    """

    def __init__(
        self,
        hidden: Sequence[int] = (256, 256),
        activation: Activation = "SiLU",
        dropout: float = 0.0,
        norm: VectorNorm = "none",
    ) -> None:
        self.hidden = positive("mlp.hidden", hidden)
        self.activation = activation
        self.dropout = dropout
        self.norm = norm
        layer_of(activation, dropout)
        vector_norm(norm, 1)

    def __call__(self, in_shape: Sequence[int], out_shape: Sequence[int]) -> nn.Module:
        widths = (prod(in_shape), *self.hidden)
        activation = layer_of(self.activation, self.dropout)
        layers: list[nn.Module] = [flatten(in_shape)]

        for a, b in pairwise(widths):
            layers += [*normed_linear(a, b, self.norm), activation()]

        layers += [nn.Linear(widths[-1], prod(out_shape)), nn.Unflatten(-1, torch.Size(out_shape))]
        return nn.Sequential(*layers)
