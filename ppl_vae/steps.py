r"""Ways of taking steps: each computes gradients and updates parameters, alike in every number."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import pyro
import torch
from torch import Tensor

from .objectives import Objective
from .player import Player
from .staging import CudaGraph, Entry, Staged, StagingError, reason_of, tensors_of, warn
from .weights import Arguments, Program

__all__ = [
    "Feed",
    "FusedSteps",
    "GradientSteps",
    "GraphedSteps",
    "Row",
    "Setting",
    "Stopped",
    "Way",
]

Feed = Callable[..., Mapping[str, Tensor]]
Row = dict[str, Tensor]

SMALL = 2**16
r"""The number of parameters up to which an update is compiled into the step."""


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

    def gradient(self, player: Player, *args: Any, **kwargs: Any) -> dict[str, Any]:
        r"""Returns loss, metrics and gradient of a player."""
        if self.feed is not None:
            args, kwargs = (), dict(self.feed(*args, **kwargs))

        return player.gradient(*args, **kwargs)

    def stored(self) -> list[tuple[Any, Any]]:
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
        watched = self.setting.players[0].parameters[0].device.type == "cpu"
        row: Row = {}

        # Each player's step is whole: those before one that stops have moved.
        for player, run in zip(self.setting.players, runs, strict=True):
            random = torch.get_rng_state() if watched else None
            out = run(*call.args, **call.kwargs)
            if watched and not out["loss"].isfinite():
                raise Stopped(index, random)

            player.update(out["gradients"])
            row |= _named(player, out, first=not row)

        self.setting.objective.advance()
        return row


class FusedSteps(Way):
    r"""The whole step, gradient and update, as one compiled graph; for small programs.

    A step whose loss is not finite, and all after it, leave the parameters as they were.

    Arguments:
        setting: What a step works on; :meth:`takes` has to be true of it.
        rest: Takes the steps on batches of other shapes, such as the last of an epoch.
    """

    def __init__(self, setting: Setting, rest: GradientSteps) -> None:
        self.setting = setting
        self.rest = rest
        self.adams = [player.adam for player in setting.players]
        first = setting.players[0].parameters[0]
        self.good = torch.ones((), dtype=torch.bool, device=first.device)
        self.rates = [_Rates(player) for player in setting.players]
        self.staged = setting.stage(
            self._whole,
            "inductor",
            places=self._places,
            settle=self._settle,
            uncompiled=False,
        )
        self.names: list[str] = []
        self.losses: list[int] = []

    @staticmethod
    def takes(setting: Setting) -> bool:
        r"""Whether a setting is small enough, and its optimizers are the fused Adam on a CPU."""
        parameters = [p for player in setting.players for p in player.parameters]
        return (
            sum(p.numel() for p in parameters) <= SMALL
            and all(player.adam is not None for player in setting.players)
            and all(p.device.type == "cpu" for p in parameters)
        )

    several = 32

    @property
    def reason(self) -> str | None:
        return self.rest.reason or self.staged.reason

    def stage(self, given: Arguments) -> None:
        self._follow()
        self.staged.entry(*given.args, **given.kwargs)

    def take(self, calls: Sequence[Arguments]) -> list[Row]:
        if not self.takes(self.setting):
            return self.rest.take(calls)  # somebody has hooked onto the optimizer

        self._follow()
        entry = self.staged.entry(*calls[0].args, **calls[0].kwargs)

        if entry is None:
            return self.rest.take(calls)

        began, outs = int(self.setting.objective.step), list[Tensor]()
        for call in calls:
            outs += entry.flat(tensors_of(call.args, dict(call.kwargs)))
            self.setting.objective.advance()

        for player in self.setting.players:
            player.optimizer._opt_called = True  # type: ignore[attr-defined]

        return self._rows(torch.stack(outs), began)

    def _rows(self, values: Tensor, began: int) -> list[Row]:
        if not self.good:
            self.good.fill_(True)
            done = int((~values[:, self.losses].isfinite().all(1)).nonzero()[0])
            self.setting.objective.seek(began + done)
            raise Stopped(done)

        return [dict(zip(self.names, row.unbind(), strict=True)) for row in values]

    def _follow(self) -> None:
        for rates in self.rates:
            rates.follow()

    def _whole(self, *args: Any, **kwargs: Any) -> Tensor:
        rows: Row = {}
        good = self.good

        for player, adam, rates in zip(self.setting.players, self.adams, self.rates, strict=True):
            out = self.setting.gradient(player, *args, **kwargs)
            good = good & out["loss"].isfinite()
            adam.inline(player.parameters, out["gradients"], rates, good)  # type: ignore[union-attr]
            rows |= _named(player, out, first=not rows)

        self.good.copy_(good)
        self.names = list(rows)
        self.losses = [i for i, name in enumerate(rows) if name.endswith("loss")]
        return torch.stack([value.to(rows["loss"]) for value in rows.values()])

    def _places(self) -> list[tuple[Any, Any]]:
        places = [*self.setting.stored(), (self.__dict__, "good"), *_fixed(self.setting.players)]
        # Loading a state puts other tensors into their place.
        places += [
            (player.optimizer.__dict__, name)
            for player in self.setting.players
            for name in ("state", "param_groups")
        ]

        for player, adam, rates in zip(self.setting.players, self.adams, self.rates, strict=True):
            places += [(rates, i) for i in rates]
            for parameter in player.parameters:
                state = adam.state(parameter)  # type: ignore[union-attr]
                places += [(state, key) for key in ("step", "exp_avg", "exp_avg_sq")]

        return places

    def _settle(self) -> None:
        # Adam's first steps tell only the sign of a gradient: rounding would look like a mistake.
        with torch.no_grad():
            for mapping, key in self._places():
                if key in ("step", "exp_avg_sq"):
                    mapping[key].fill_(1000.0 if key == "step" else 1.0)


class GraphedSteps(Way):
    r"""The whole step, draws, gradient and update, as one CUDA graph.

    A step whose loss is not finite, and all after it, leave the parameters as they were.

    Arguments:
        setting: What a step works on; :meth:`takes` has to be true of it.
        backend: ``"fx"`` or ``"inductor"``: what the graph's kernels are made by.
    """

    def __init__(self, setting: Setting, backend: str) -> None:
        self.setting = setting
        self.gradients = GradientSteps(setting, backend)
        self.adams = [player.adam for player in setting.players]
        device = setting.players[0].parameters[0].device
        self.bad = torch.zeros((), dtype=torch.float32, device=device)
        self.rates = [_Rates(player) for player in setting.players]
        self.graphs: dict[Any, tuple[Any, ...]] = {}
        self.failed: str | None = None
        self.names: list[str] = []

    @staticmethod
    def takes(setting: Setting) -> bool:
        r"""Whether all parameters are on one GPU, and the optimizers are the fused Adam."""
        devices = {p.device for player in setting.players for p in player.parameters}
        return (
            len(devices) == 1
            and all(device.type == "cuda" for device in devices)
            and all(player.adam is not None for player in setting.players)
        )

    several = 16

    @property
    def reason(self) -> str | None:
        return self.gradients.reason or self.failed

    def stage(self, given: Arguments) -> None:
        self.gradients.stage(given)

    def take(self, calls: Sequence[Arguments]) -> list[Row]:
        # Nobody waits for the device here: the loop looks at its losses after an epoch.
        entries = [s.entry(*calls[0].args, **calls[0].kwargs) for s in self.gradients.passes]
        graph = self._graph(entries, calls[0])

        if graph is None:
            return self.gradients.take(calls)

        self._follow()
        self.bad.zero_()
        rows = []

        for call in calls:
            (out,) = graph(*tensors_of(call.args, dict(call.kwargs)))
            rows.append(dict(zip(self.names, out.unbind(), strict=True)))
            self.setting.objective.advance()

        for player in self.setting.players:
            player.optimizer._opt_called = True  # type: ignore[attr-defined]

        return rows

    def _graph(self, entries: list[Entry | None], call: Arguments) -> CudaGraph | None:
        # A recording holds addresses and constants: one of others is of no use.
        found = [entry for entry in entries if entry is not None]
        if self.failed is not None or len(found) < len(entries) or not self.takes(self.setting):
            return None

        inputs = tensors_of(call.args, dict(call.kwargs))
        kind = tuple((t.shape, t.stride(), t.dtype) for t in inputs)
        fixed = [mapping[key] for mapping, key in _fixed(self.setting.players)]
        fixed += [g["betas"] for p in self.setting.players for g in p.optimizer.param_groups]
        addresses = [t.data_ptr() for t in self._state(found)]
        known = self.graphs.get(kind)

        if known is None or known[1:] != (found, fixed, addresses):
            try:
                known = (self._record(found, inputs), found, fixed, addresses)
            except Exception as error:
                self.failed = reason_of(error)
                warn(f"Taking compiled steps one kernel at a time: {self.failed}.")
                return None
            self.graphs[kind] = known

        return known[0]

    def _record(self, entries: list[Entry], inputs: list[Tensor]) -> CudaGraph:
        state = self._state(entries)
        for tensor in (*state, *inputs):
            if tensor.device.type != "cuda":
                raise StagingError(
                    f"it reads a tensor of shape {tuple(tensor.shape)} on the CPU, which a CUDA "
                    "graph would keep as it is now; make it a buffer of the programs"
                )

        return CudaGraph(partial(self._body, entries), inputs, state)

    def _state(self, entries: list[Entry]) -> list[Tensor]:
        own = [self.bad, *(t for rates in self.rates for t in rates.values())]
        moments = [
            adam.state(parameter)[key]  # type: ignore[union-attr]
            for player, adam in zip(self.setting.players, self.adams, strict=True)
            for parameter in player.parameters
            for key in ("step", "exp_avg", "exp_avg_sq")
        ]
        return [*own, *moments, *(t for entry in entries for t in entry.graph.state)]

    def _follow(self) -> None:
        for rates in self.rates:
            rates.follow()

    def _body(self, entries: list[Entry], *inputs: Tensor) -> list[Tensor]:
        rows: Row = {}

        for player, adam, rates, entry in zip(
            self.setting.players, self.adams, self.rates, entries, strict=True
        ):
            out = entry(inputs)
            # Once bad, always bad: no later step of the same call moves the parameters.
            self.bad.copy_(torch.maximum(self.bad, (~out["loss"].isfinite()).float()))
            adam.update(player.parameters, out["gradients"], rates, self.bad)  # type: ignore[union-attr]
            rows |= _named(player, out, first=not rows)

        self.names = list(rows)
        return [torch.stack([value.to(rows["loss"]) for value in rows.values()])]


def _named(player: Player, out: Mapping[str, Any], *, first: bool) -> Row:
    # The first player's loss and metrics are those of the objective.
    row = {"loss": out["loss"], **out["metrics"]}
    return row if first else {f"{player.name}_{name}": value for name, value in row.items()}


def _settled(staged: Staged, first: Arguments) -> Callable[..., Any]:
    entry = staged.entry(*first.args, **first.kwargs)
    if entry is None:
        return staged.function

    return lambda *args, **kwargs: entry(tensors_of(args, kwargs))


class _Rates(dict[int, Tensor]):
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


def _fixed(players: Sequence[Player]) -> list[tuple[Any, Any]]:
    # What is a constant of the graph.
    groups = [group for player in players for group in player.optimizer.param_groups]
    return [(group, key) for group in groups for key in ("eps", "weight_decay")]
