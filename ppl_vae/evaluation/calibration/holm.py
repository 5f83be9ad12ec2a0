r"""Many tests at one rate of error."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["holm"]


def holm(p_values: Tensor) -> Tensor:
    r"""Adjusts p-values so that a rate bounds the probability of any false rejection.

    .. math:: \tilde{p}_{(i)} = \max_{j \le i} \min \big( 1, (Q - j + 1) \, p_{(j)} \big)

    for the ordered :math:`p_{(1)} \le \dots \le p_{(Q)}`. It holds whatever the dependence between
    the tests is.

    Example:
        >>> holm(torch.tensor([0.04, 0.01, 0.03]))
        tensor([0.0600, 0.0300, 0.0600])

    References:
        | A Simple Sequentially Rejective Multiple Test Procedure (Holm, 1979)
        | https://www.jstor.org/stable/4615733

    Arguments:
        p_values: The p-values, with shape ``(Q,)``.

    Returns:
        The adjusted ones, with shape ``(Q,)``: those no larger than a rate are rejected at it.
    """
    order = p_values.argsort()
    factors = torch.arange(len(p_values), 0, -1, dtype=p_values.dtype, device=p_values.device)
    raised = (p_values[order] * factors).clamp(max=1.0)
    adjusted = torch.empty_like(p_values)
    adjusted[order] = raised.cummax(0).values if len(raised) else raised
    return adjusted
