r"""What ways of taking steps have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from ..player import Player
from ..weights import Arguments

__all__ = ["Row", "Stopped", "Way", "named"]

Row = dict[str, Tensor]


class Stopped(ArithmeticError):
    r"""The loss of a step is not finite; the parameters are those before it.

    Arguments:
        index: The position of the step among those asked for.
        random: The random state before the step, where it is known.
    """

    def __init__(self, index: int, random: Tensor | None = None) -> None:
        super().__init__(index)
        self.index = index
        self.random = random


class Way(ABC):
    r"""A way of taking steps.

    To write a new one, subclass it, and take a step on each of several batches in :meth:`take`,
    with the numbers that :class:`GradientSteps` gives.
    """

    several = 1
    r"""How many steps it is best asked for at once."""

    @property
    @abstractmethod
    def reason(self) -> str | None:
        r"""Why it is slower than it should be, if it is."""

    @abstractmethod
    def stage(self, given: Arguments) -> None:
        r"""Captures and compiles what can be, for batches such as this one, and starts afresh."""

    @abstractmethod
    def take(self, calls: Sequence[Arguments]) -> list[Row]:
        r"""Takes a step on each batch, and returns the loss and the metrics of each.

        Raises:
            Stopped: If a loss is not finite, where looking at it costs nothing: on a CPU.
        """


def named(player: Player, out: Mapping[str, Any], *, first: bool) -> Row:
    r"""The loss and the metrics of a player; the first one's are those of the objective."""
    row = {"loss": out["loss"], **out["metrics"]}
    return row if first else {f"{player.name}_{name}": value for name, value in row.items()}
