r"""Steps that are recorded whole."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..staging import CudaGraph, Entry, StagingError, reason_of, tensors_of, warn
from ..weights import Arguments
from .base import Row, named
from .gradient import GradientSteps
from .setting import Setting
from .whole import WholeSteps

__all__ = ["GraphedSteps"]


class GraphedSteps(WholeSteps):
    r"""The whole step, draws, gradient and update, as one CUDA graph.

    A step whose loss is not finite, and all after it in the same call, leave the parameters as they
    were. The gradients' graphs are checked against the programs; the recording is not.

    Arguments:
        setting: What a step works on; :meth:`takes` has to be true of it.
        backend: ``"fx"`` or ``"inductor"``: what the graph's kernels are made by.
    """

    kind = "cuda"
    several = 16

    def __init__(self, setting: Setting, backend: str) -> None:
        super().__init__(setting)
        self.gradients = GradientSteps(setting, backend)
        device = setting.players[0].parameters[0].device
        self.bad = torch.zeros((), dtype=torch.float32, device=device)
        self.graphs: dict[Any, tuple[Any, ...]] = {}
        self.failed: str | None = None

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

        self.follow()
        self.bad.zero_()
        outs: list[Tensor] = []

        for call in calls:
            outs += graph(*tensors_of(call.args, dict(call.kwargs)))
            self.setting.objective.advance()

        return self.unpack(outs)

    def _graph(self, entries: list[Entry | None], call: Arguments) -> CudaGraph | None:
        # A recording holds addresses and constants: one of others is of no use.
        found = [entry for entry in entries if entry is not None]
        if self.failed is not None or len(found) < len(entries) or not self.takes(self.setting):
            return None

        inputs = tensors_of(call.args, dict(call.kwargs))
        kind = tuple((t.shape, t.stride(), t.dtype) for t in inputs)
        fixed = [mapping[key] for mapping, key in self.constants()]
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
        rates = [t for rates in self.rates for t in rates.values()]
        moments = [mapping[key] for mapping, key in self.moments()]
        return [self.bad, *rates, *moments, *(t for entry in entries for t in entry.graph.state)]

    def _body(self, entries: list[Entry], *inputs: Tensor) -> list[Tensor]:
        row: Row = {}

        for (player, adam, rates), entry in zip(self.players(), entries, strict=True):
            out = entry(inputs)
            # Once bad, always bad: no later step of the same call moves the parameters.
            self.bad.copy_(torch.maximum(self.bad, (~out["loss"].isfinite()).float()))
            adam.update(player.parameters, out["gradients"], rates, self.bad)
            row |= named(player, out, first=not row)

        return [self.pack(row)]
