r"""Steps whose gradients and updates are apart."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch

from ..staging import Staged, tensors_of
from ..weights import Arguments
from .base import Row, Stopped, Way, named
from .setting import Setting

__all__ = ["GradientSteps"]


class GradientSteps(Way):
    r"""Gradients by the programs or their graphs, updates by the optimizers.

    Arguments:
        setting: What a step works on.
        backend: ``"off"``, ``"fx"`` or ``"inductor"``.
        patience: The number of batches of a shape that are run through the programs before their
            graph is captured.
    """

    def __init__(self, setting: Setting, backend: str, patience: int = 0) -> None:
        self.setting = setting
        self.backend = backend
        self.passes = [
            setting.stage(partial(setting.gradient, player), backend, patience=patience)
            for player in setting.players
        ]

    @property
    def reason(self) -> str | None:
        if self.backend == "off":
            return None

        return next((s.reason or s.slow for s in self.passes if s.reason or s.slow), None)

    @property
    def eager(self) -> bool:
        r"""Whether a program cannot be captured."""
        return any(staged.reason is not None for staged in self.passes)

    def stage(self, given: Arguments) -> None:
        for staged in self.passes:
            if not staged.patience:
                staged.entry(*given.args, **given.kwargs)

    def take(self, calls: Sequence[Arguments]) -> list[Row]:
        if len(calls) == 1:
            runs: list[Callable[..., Any]] = list(self.passes)
        else:
            # Between steps that are asked for together nothing is replaced: one look is enough.
            first = calls[0]
            runs = [_settled(staged, first) for staged in self.passes]

        return [self._step(i, call, runs) for i, call in enumerate(calls)]

    def _step(self, index: int, call: Arguments, runs: Sequence[Callable[..., Any]]) -> Row:
        setting, done = self.setting, self.setting.objective.done
        watched = setting.players[0].parameters[0].device.type == "cpu"
        row: Row = {}

        # Each player's step is whole: those before one that stops have moved.
        for player, run in zip(setting.players, runs, strict=True):
            if not player.moves(done):
                continue

            random = torch.get_rng_state() if watched else None
            out = run(*call.args, **call.kwargs)
            if watched and not out["loss"].isfinite():
                raise Stopped(index, random)

            player.update(out["gradients"])
            # Steps tell numbers of the same names, whoever moves.
            if not (row and setting.turns):
                row |= named(player, out, first=not row)

        if not row:
            raise ValueError(
                f"No player of {type(setting.objective).__name__} moves at step {done + 1}; let "
                "one at least take each step."
            )

        setting.objective.advance()
        return row


def _settled(staged: Staged, first: Arguments) -> Callable[..., Any]:
    entry = staged.entry(*first.args, **first.kwargs)
    if entry is None:
        return staged.function

    return lambda *args, **kwargs: entry(tensors_of(args, kwargs))
