r"""Schedules: how fast a start is turned into the posterior."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

__all__ = ["Spacing", "schedule"]

Spacing = Literal["sigmoid", "linear", "geometric"]
r"""How the powers of the likelihood are spaced."""


def schedule(steps: int, spacing: Spacing = "sigmoid") -> Tensor:
    r"""The powers :math:`0 = \beta_0 < \beta_1 < \dots < \beta_T = 1`, in double precision.

    .. math::
        \beta_t & \propto \sigma (8 t / T - 4) - \sigma(-4) & \text{(sigmoid)} \\
        \beta_t & = t / T & \text{(linear)} \\
        \beta_t & = 10^{-4 (1 - (t - 1) / (T - 1))} & \text{(geometric)}

    The sigmoid spends its steps near both ends; the geometric schedule near zero, where a start
    that is far from the posterior changes most.

    Example:
        >>> schedule(4, "linear")
        tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000], dtype=torch.float64)

    References:
        | On the Quantitative Analysis of Decoder-Based Generative Models (Wu et al., 2017)
        | https://arxiv.org/abs/1611.04273

    Arguments:
        steps: The number :math:`T` of steps.
        spacing: ``"sigmoid"``, ``"linear"`` or ``"geometric"``.

    Returns:
        The powers, with shape ``(T + 1,)``.

    Raises:
        ValueError: If there are no steps, or there is no such schedule.
    """
    if steps < 1:
        raise ValueError(f"Annealing needs one step or more, got {steps}.")
    if spacing not in get_args(Spacing):
        raise ValueError(
            f"There is no schedule {spacing!r}; take one of {', '.join(get_args(Spacing))}."
        )

    t = torch.linspace(0, 1, steps + 1, dtype=torch.float64)

    if spacing == "sigmoid":
        s = torch.sigmoid(4 * (2 * t - 1))
        return (s - s[0]) / (s[-1] - s[0])
    if spacing == "geometric":
        powers = torch.linspace(-4, 0, steps, dtype=torch.float64)
        return torch.cat([t[:1], 10**powers]) if steps > 1 else t

    return t
