r"""What a step works on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pyro
from torch import Tensor

from ..objectives import Objective
from ..player import Player
from ..staging import Place, Staged
from ..weights import Program

__all__ = ["Feed", "Setting"]

Feed = Callable[..., Mapping[str, Tensor]]


class Setting:
    r"""What a step works on.

    Arguments:
        programs: The model and the guide.
        objective: The objective.
        players: Who updates which parameters.
        feed: A function from what steps are called with to a batch; None if it is the batch.
        bare: The names of parameters in Pyro's store that no module has.
    """

    def __init__(
        self,
        programs: Sequence[Program],
        objective: Objective,
        players: Sequence[Player],
        feed: Feed | None,
        bare: Sequence[str],
    ) -> None:
        self.programs = list(programs)
        self.objective = objective
        self.players = list(players)
        self.feed = feed
        self.bare = list(bare)

    @property
    def turns(self) -> bool:
        r"""Whether a player sits out some of the steps."""
        return any(player.turn is not None for player in self.players)

    def gradient(self, player: Player, *args: Any, **kwargs: Any) -> dict[str, Any]:
        r"""Returns loss, metrics and gradient of a player."""
        if self.feed is not None:
            args, kwargs = (), dict(self.feed(*args, **kwargs))

        return player.gradient(*args, **kwargs)

    def stored(self) -> list[Place]:
        r"""Where Pyro keeps parameters that no module has."""
        store = pyro.get_param_store()
        return [(store.__dict__, "_params"), *((store._params, name) for name in self.bare)]

    def stage(self, function: Callable[..., Any], backend: str, **options: Any) -> Staged:
        r"""Stages a function of a batch."""
        staged = Staged(
            function,
            [*self.programs, self.objective, self.feed],
            backend=backend,
            context=partial(pyro.validation_enabled, False),
            **{"places": self.stored, **options},
        )
        staged.refused = self.objective.eager
        staged.reason = "it was asked not to be" if backend == "off" else None
        return staged
