r"""Steps that are compiled whole."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..staging import Place, tensors_of
from ..weights import Arguments
from .base import Row, Stopped, named
from .gradient import GradientSteps
from .setting import Setting
from .whole import WholeSteps

__all__ = ["FusedSteps"]

SMALL = 2**16
r"""The number of parameters up to which an update is compiled into the step."""


class FusedSteps(WholeSteps):
    r"""The whole step, gradient and update, as one compiled graph; for small programs.

    A step whose loss is not finite, and all after it, leave the parameters as they were.

    Arguments:
        setting: What a step works on; :meth:`takes` has to be true of it.
        rest: Takes the steps on batches of other shapes, such as the last of an epoch.
    """

    several = 32

    def __init__(self, setting: Setting, rest: GradientSteps) -> None:
        super().__init__(setting)
        self.rest = rest
        self.good = torch.ones((), dtype=torch.bool)
        self.staged = setting.stage(
            self._whole,
            "inductor",
            places=self._places,
            settle=self._settle,
            uncompiled=False,
        )

    @classmethod
    def takes(cls, setting: Setting) -> bool:
        r"""Whether, besides, there are few parameters."""
        count = sum(p.numel() for player in setting.players for p in player.parameters)
        return count <= SMALL and super().takes(setting)

    @property
    def reason(self) -> str | None:
        return self.rest.reason or self.staged.reason

    def stage(self, given: Arguments) -> None:
        self.follow()
        self.staged.entry(*given.args, **given.kwargs)

    def take(self, calls: Sequence[Arguments]) -> list[Row]:
        if not self.takes(self.setting):
            return self.rest.take(calls)  # somebody has hooked onto the optimizer

        self.follow()
        entry = self.staged.entry(*calls[0].args, **calls[0].kwargs)

        if entry is None:
            return self.rest.take(calls)

        began, outs = int(self.setting.objective.step), list[Tensor]()
        for call in calls:
            outs += entry.flat(tensors_of(call.args, dict(call.kwargs)))
            self.setting.objective.advance()

        return self._rows(torch.stack(outs), began)

    def _rows(self, values: Tensor, began: int) -> list[Row]:
        if not self.good:
            self.good.fill_(True)
            losses = [i for i, name in enumerate(self.names) if name.endswith("loss")]
            done = int((~values[:, losses].isfinite().all(1)).nonzero()[0])
            self.setting.objective.seek(began + done)
            raise Stopped(done)

        return self.unpack(list(values))

    def _whole(self, *args: Any, **kwargs: Any) -> Tensor:
        row: Row = {}
        good = self.good

        for player, adam, rates in self.players():
            out = self.setting.gradient(player, *args, **kwargs)
            good = good & out["loss"].isfinite()
            adam.inline(player.parameters, out["gradients"], rates, good)
            row |= named(player, out, first=not row)

        self.good.copy_(good)
        return self.pack(row)

    def _places(self) -> list[Place]:
        # Loading a state puts other tensors, in other dictionaries, into the place of these.
        optimizers = [player.optimizer.__dict__ for player in self.setting.players]
        return [
            *self.setting.stored(),
            (self.__dict__, "good"),
            *((rates, i) for rates in self.rates for i in rates),
            *((held, name) for held in optimizers for name in ("state", "param_groups")),
            *self.constants(),
            *self.moments(),
        ]

    def _settle(self) -> None:
        # Adam's first steps tell only the sign of a gradient: rounding would look like a mistake.
        for mapping, key in self.moments():
            if key != "exp_avg":
                mapping[key].fill_(1000.0 if key == "step" else 1.0)
