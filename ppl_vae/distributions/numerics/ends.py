r"""Both ends of the interval from zero to one, as floating point numbers hold them.

A density may put much of its mass closer to an end than any number is. All numbers beyond

.. math:: \ell = 2^{-103} \qquad u = 1 - 2^{-20}

(in single precision; :math:`2^{-970}` and :math:`1 - 2^{-49}` in double) count as one cell here.
Its draws are set to :math:`\ell` or :math:`u`, and its density is the mean one over the cell,

.. math:: p(y) = \frac{P(Y \leq \ell)}{\ell} \quad y \leq \ell
    \qquad p(y) = \frac{P(Y \geq u)}{1 - u} \quad y \geq u

It stays a density by Lebesgue, to be compared with any other: the ratio of two of them has mean
one, whatever share of the draws is in a cell. It cannot tell two distributions apart within one:
divergences estimated by draws lack that part, and bounds hold for what numbers can tell.

Gradients along the path of draws count what crosses into a cell. Its own draws move with the
logarithm of its mass, by the width of the cell, and the slope of the density there is its jump at
the border over that width: the product has the derivative of the expectation for its mean. All
else that depends on a draw sees it move by no more than a rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["draw", "ends", "log_density", "logits"]


def ends(dtype: torch.dtype) -> tuple[float, float]:
    r"""Returns the borders :math:`\ell` and :math:`u` of both cells."""
    info = torch.finfo(dtype)
    return info.tiny / info.eps, 1 - 8 * info.eps


def logits(dtype: torch.dtype) -> tuple[float, float]:
    r"""Returns the logits of both borders."""
    low, high = ends(dtype)
    return math.log(low) - math.log1p(-low), math.log(high) - math.log(1 - high)


def draw(logit: Tensor, below: Tensor, above: Tensor) -> Tensor:
    r"""Returns the number of a logit, or the border of the cell that it is in.

    Arguments:
        logit: The logit, with shape ``(*)``.
        below: The logarithm of the mass of the lower cell, which may be expanded to ``(*)``.
        above: That of the upper cell.
    """
    eps, (low, high) = torch.finfo(logit.dtype).eps, ends(logit.dtype)
    first, last = logits(logit.dtype)
    y = logit.sigmoid()
    # Rounding moves no draw into a cell, whose mass is that of the logits beyond the border; what
    # was rounded keeps its gradient.
    y = y + (y.clamp(low * (1 + eps), high - eps / 2) - y).detach()
    # Zero in value; expanded, lest steep slopes of many draws are summed before they are scaled.
    down, up = (p.expand_as(y) - p.expand_as(y).detach() for p in (below, above))
    y = torch.where(logit <= first, low - low * down, y)
    return torch.where(logit >= last, high + (1 - high) * up, y)


def log_density(
    value: Tensor, inside: Callable[[Tensor], Tensor], below: Tensor, above: Tensor
) -> Tensor:
    r"""Returns the logarithm of a density that is constant over each of the cells.

    Arguments:
        value: Numbers from zero to one, with shape ``(*)``.
        inside: The logarithm of the density between the cells, as a function of the number.
        below: The logarithm of the mass of the lower cell, which may be expanded to ``(*)``.
        above: That of the upper cell.
    """
    low, high = ends(value.dtype)
    lower, upper = value <= low, value >= high
    between = inside(value.clamp(low, high))
    cell = torch.where(lower, below - math.log(low), above - math.log(1 - high))
    # Zero in value.
    moved = value - value.detach()
    share = torch.where(lower, moved / -low, moved / (1 - high))
    return torch.where(lower | upper, cell + (cell - between) * share, between)
