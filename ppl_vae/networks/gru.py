r"""Recurrent networks over sequences."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from .base import Network, flatten, positive
from .recurrence import BothWays, Recurrence
from .tokens import Transpose

__all__ = ["gru"]


class gru(Network):
    r"""A gated recurrent network, from a sequence or to one.

    A sequence has shape ``(T, D)``: ``T`` steps of ``D`` numbers. From one, recurrences run in
    both directions, and the last states of both are mapped to the output. To one, the input is
    the same at each step, and each state is mapped to the parameters of its step. The formula is
    that of :class:`~ppl_vae.networks.recurrence.Recurrence`.

    Example:
        >>> gru()((20, 88), (2, 50))(torch.zeros(5, 20, 88)).shape
        torch.Size([5, 2, 50])
        >>> gru()((50,), (1, 20, 88))(torch.zeros(5, 50)).shape
        torch.Size([5, 1, 20, 88])

    References:
        | Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine
        | Translation (Cho et al., 2014)
        | https://arxiv.org/abs/1406.1078

    Arguments:
        width: The number of units of each layer, in each direction.
        layers: The number of layers.

    Raises:
        ValueError: If a size is not positive, or neither side is a sequence.
    """

    def __init__(self, width: int = 128, layers: int = 1) -> None:
        (self.width,) = positive("gru.width", [width])
        (self.layers,) = positive("gru.layers", [layers])

    def __call__(self, in_shape: Sequence[int], out_shape: Sequence[int]) -> nn.Module:
        if len(in_shape) == 2:
            steps, d = in_shape
            widths = [d] + [2 * self.width] * (self.layers - 1)
            return nn.Sequential(
                *(BothWays(a, self.width, steps) for a in widths),
                Ends(self.width),
                nn.Linear(2 * self.width, prod(out_shape)),
                nn.Unflatten(-1, torch.Size(out_shape)),
            )
        if len(out_shape) == 3:
            features, steps, d = out_shape
            widths = [prod(in_shape)] + [self.width] * (self.layers - 1)
            return nn.Sequential(
                flatten(in_shape),
                nn.Unflatten(-1, (1, prod(in_shape))),
                *(Recurrence(a, self.width, steps) for a in widths),
                nn.Linear(self.width, features * d),
                nn.Unflatten(-1, (features, d)),
                Transpose(1, 2),
            )

        raise ValueError(
            f"gru needs a sequence, (steps, numbers), on one side, got {tuple(in_shape)} to "
            f"{tuple(out_shape)}; take mlp for vectors, conv for images."
        )


class Ends(nn.Module):
    r"""What each of two recurrences knows at last, from ``(n, T, 2 * width)``.

    Arguments:
        width: The number of units of each.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, h: Tensor) -> Tensor:
        r"""Returns the last state of the one, and the first of the other, which runs back."""
        return torch.cat([h[:, -1, : self.width], h[:, 0, self.width :]], -1)
