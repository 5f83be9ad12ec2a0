r"""The rank of a true value among draws."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["Quantity", "ranks"]


class Quantity(NamedTuple):
    r"""A number of which the true value is ranked among those of the draws."""

    name: str
    r"""What people read, such as ``"z[3]"``."""
    kind: str
    r"""``"latent"``, ``"density"``, ``"coverage"`` or ``"predictive"``."""
    site: str
    r"""The site that it is of; empty if it is of all."""


def ranks(values: Tensor, generator: torch.Generator | None = None) -> Tensor:
    r"""The number of draws below the true value, ties broken at random.

    .. math:: r = \#\{ l : f_l < f^* \} + u \quad u \sim \mathrm{Uniform}
        \{ 0, \dots, \#\{ l : f_l = f^* \} \}

    Where the true value and the :math:`L` draws are exchangeable, it is uniform on
    :math:`0, \dots, L`, be they continuous or discrete.

    Example:
        >>> ranks(torch.tensor([[2.0, 9.0], [1.0, 1.0], [3.0, 1.0]]))
        tensor([1, 2])

    References:
        | Validating Bayesian Inference Algorithms with Simulation-Based Calibration (Talts et al.,
          2018)
        | https://arxiv.org/abs/1804.06788

    Arguments:
        values: The true value, then the draws, along the first dimension, with shape
            ``(1 + L, ...)``.
        generator: The generator, on the CPU, that breaks ties.

    Returns:
        The ranks, on the CPU, with shape ``(...)``.
    """
    truth, draws = values[0], values[1:]
    less, equal = (draws < truth).sum(0).cpu(), (draws == truth).sum(0).cpu()
    u = torch.rand(equal.shape, generator=generator, dtype=torch.float64)
    return less + (u * (equal + 1)).long()
