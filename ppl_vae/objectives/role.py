r"""The parts of players in an objective, and what a pass of theirs tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

__all__ = ["Estimate", "Role"]


class Estimate(NamedTuple):
    r"""What one pass over a batch tells."""

    loss: Tensor
    r"""The loss, summed over the batch, whose gradient is the estimator's."""
    metrics: dict[str, Tensor]
    r"""Detached means over the batch, in nats per datum: the true ``elbo``, with all weights at
    one, and its terms, as :func:`elbo_terms` tells them."""
    size: float
    r"""The number of data that ``loss`` is a sum over: :math:`N` if a minibatch is scaled up."""


class Role(NamedTuple):
    r"""The part of a player in an objective: what it trains, and the loss that it lowers."""

    name: str
    r"""The name of the player."""
    trains: tuple[str, ...]
    r"""Whose parameters it holds: of ``"model"``, ``"guide"`` and ``"objective"``. Parameters that
    several players would hold belong to the first."""
    estimate: Callable[..., Estimate]
    r"""A function of ``(model, guide, *args, **kwargs)`` to its loss."""
    turn: Callable[[int], bool] | None = None
    r"""Whether it moves at a step, a function of the number of steps done; None if at each. It must
    tell the same of a number whenever it is asked. Where a player takes turns, the first that moves
    alone reports, for all: their metrics have the same names."""
