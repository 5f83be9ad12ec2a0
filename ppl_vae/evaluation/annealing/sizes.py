r"""Step sizes of the moves, for each element, datum and power."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from .space import Space

__all__ = ["StepSizes", "log_widths", "step_sizes"]


@dataclass(frozen=True)
class StepSizes:
    r"""Step sizes :math:`\epsilon_{t, i, j} = s_{t, i} \, v_{t, j}` of step :math:`t`, datum
    :math:`i` and element :math:`j`, known at some steps and log-linear between them.

    Widths :math:`v` are worth as much as masses :math:`v^{-2}`: they let elements of which much is
    known move no less freely than those of which nothing is.
    """

    at: Tensor
    r"""The steps, with shape ``(P,)``, rising."""
    log_size: Tensor
    r"""The logarithm of the size of each datum, with shape ``(P, n)``."""
    log_width: Mapping[str, Tensor]
    r"""The logarithm of the relative width of each element, by site that moves, with shape
    ``(P, 1, ...)``."""
    spaces: Mapping[str, Space]
    r"""The spaces of the sites."""

    def __call__(self, t: int) -> dict[str, Tensor]:
        r"""The step sizes of a step, by site that moves, which broadcast to its coordinates."""
        right = int(torch.searchsorted(self.at, t).clamp(1, len(self.at) - 1))
        left = right - 1
        share = float((t - self.at[left]) / (self.at[right] - self.at[left]).clamp(min=1))
        size = self.log_size[left].lerp(self.log_size[right], share)
        widths = {k: w[left].lerp(w[right], share) for k, w in self.log_width.items()}
        return {k: step_sizes(size, width, self.spaces[k]) for k, width in widths.items()}


def step_sizes(log_size: Tensor, log_width: Tensor, space: Space) -> Tensor:
    r"""Step sizes of a site.

    Arguments:
        log_size: The logarithm of the size of each datum, with shape ``(n,)``.
        log_width: The logarithm of the width of each element, with shape ``(1, ...)``.
        space: The space of the site.
    """
    return (space.spread(log_size[None].to(log_width), log_width) + log_width).exp()


def log_widths(u: Mapping[str, Tensor], spaces: Mapping[str, Space]) -> dict[str, Tensor]:
    r"""The logarithms of the widths of chains, in units of their geometric mean.

    Widths are those within a datum, medians over all data: a few chains of each are enough.

    Arguments:
        u: The coordinates, by site that moves, with the chains first.
        spaces: The spaces of the sites.
    """
    found = {k: spaces[k].width(t).log() for k, t in u.items()}
    mean = torch.cat([t.flatten() for t in found.values()]).mean()
    return {k: t - mean for k, t in found.items()}
