r"""Recurrence over the steps of a sequence, by gated units.

It is written out step by step, unlike :class:`torch.nn.GRU`: so it can be captured as a graph and
differentiated twice on any device.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["BothWays", "Recurrence"]


class Recurrence(nn.Module):
    r"""Gated recurrent units, from the inputs :math:`c_t` to the states :math:`h_t` at all steps.

    .. math::
        r_t, u_t &= \sigma(W c_t + V h_{t-1} + b) \\
        h_t &= u_t \odot h_{t-1} + (1 - u_t) \odot \tanh(W' c_t + b' + r_t \odot (V' h_{t-1} + b''))

    Arguments:
        d: The number of elements of an input.
        width: The number of units.
        steps: The number of steps.
    """

    def __init__(self, d: int, width: int, steps: int) -> None:
        super().__init__()
        self.inputs = nn.Linear(d, 3 * width)
        self.states = nn.Linear(width, 3 * width)
        self.width = width
        self.steps = steps

    def forward(self, c: Tensor) -> Tensor:
        r"""
        Arguments:
            c: The inputs, with shape ``(n, steps, d)``, or one for all steps, ``(n, 1, d)``.

        Returns:
            The states, with shape ``(n, steps, width)``; the one before the first is zero.
        """
        a = self.inputs(c).expand(-1, self.steps, -1)
        h = c.new_zeros(len(c), self.width)
        states = []

        for a_t in a.unbind(1):
            h = self.step(a_t, h)
            states.append(h)

        return torch.stack(states, 1)

    def step(self, a: Tensor, h: Tensor) -> Tensor:
        gates, new = a.split([2 * self.width, self.width], -1)
        old_gates, old = self.states(h).split([2 * self.width, self.width], -1)
        r, u = torch.sigmoid(gates + old_gates).chunk(2, -1)
        new = torch.tanh(new + r * old)
        return new + u * (h - new)


class BothWays(nn.Module):
    r"""Two recurrences, one ahead and one back, and their states side by side.

    Arguments:
        d: The number of elements of an input.
        width: The number of units of each.
        steps: The number of steps.
    """

    def __init__(self, d: int, width: int, steps: int) -> None:
        super().__init__()
        self.ahead = Recurrence(d, width, steps)
        self.back = Recurrence(d, width, steps)

    def forward(self, c: Tensor) -> Tensor:
        r"""
        Arguments:
            c: The inputs, with shape ``(n, steps, d)``.

        Returns:
            The states, with shape ``(n, steps, 2 * width)``.
        """
        return torch.cat([self.ahead(c), self.back(c.flip(1)).flip(1)], -1)
