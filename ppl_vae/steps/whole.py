r"""What steps have in common that compute gradient and update as one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from ..player import Player
from ..staging import Adam, Place
from .base import Row, Way
from .setting import Setting

__all__ = ["Rates", "WholeSteps"]


class WholeSteps(Way):
    r"""Gradient and update as one, for players whose optimizers are the fused Adam.

    Arguments:
        setting: What a step works on; :meth:`takes` has to be true of it.
    """

    kind = "cpu"
    r"""The kind of device that all parameters have to be on."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.rates = [Rates(player) for player in setting.players]
        self.names: list[str] = []

    @classmethod
    def takes(cls, setting: Setting) -> bool:
        r"""Whether all parameters are on such a device, all optimizers are the fused Adam, and
        every player moves at each step: one graph does the same at all of them."""
        devices = {p.device for player in setting.players for p in player.parameters}
        return (
            len(devices) == 1
            and not setting.turns
            and next(iter(devices)).type == cls.kind
            and all(Adam.takes(player.optimizer) for player in setting.players)
        )

    def follow(self) -> None:
        r"""Takes over what schedulers have changed."""
        for rates in self.rates:
            rates.follow()

    def players(self) -> Iterator[tuple[Player, Adam, Rates]]:
        r"""The players, each with its optimizer on raw tensors."""
        for player, rates in zip(self.setting.players, self.rates, strict=True):
            yield player, Adam(player.optimizer), rates

    def moments(self) -> list[Place]:
        r"""Where the optimizers keep what they remember of each parameter."""
        return [
            (adam.state(parameter), key)
            for player, adam, _ in self.players()
            for parameter in player.parameters
            for key in ("step", "exp_avg", "exp_avg_sq")
        ]

    def constants(self) -> list[Place]:
        r"""Where the settings of the optimizers stand that are constants of a graph."""
        groups = [g for player in self.setting.players for g in player.optimizer.param_groups]
        return [(group, key) for group in groups for key in ("eps", "weight_decay")]

    def pack(self, row: Row) -> Tensor:
        r"""Puts the numbers of a step in one tensor."""
        self.names = list(row)
        return torch.stack([value.to(row["loss"]) for value in row.values()])

    def unpack(self, values: Sequence[Tensor]) -> list[Row]:
        r"""Returns the numbers of several steps by name."""
        return [dict(zip(self.names, value.unbind(), strict=True)) for value in values]


class Rates(dict[int, Tensor]):
    r"""What schedulers change, as tensors, so that it reaches the graph.

    For each group of the optimizer: the learning rate, and both decay rates of the moments.
    """

    def __init__(self, player: Player) -> None:
        self.optimizer = player.optimizer  # whose list of groups is another after loading
        device, count = player.parameters[0].device, len(self.optimizer.param_groups)
        # A fused kernel on a GPU takes float32; on a CPU, rounding would show in the first steps.
        dtype = torch.float32 if device.type == "cuda" else torch.float64
        super().__init__({i: torch.zeros(3, dtype=dtype, device=device) for i in range(count)})
        self.told: dict[int, list[float]] = {}

    def follow(self) -> None:
        r"""Takes over what the groups say now."""
        for i, group in enumerate(self.optimizer.param_groups):
            now = [float(group["lr"]), *map(float, group["betas"])]
            if now != self.told.get(i):
                self[i].copy_(torch.tensor(now, dtype=torch.float64))
                self.told[i] = now
