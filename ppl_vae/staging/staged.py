r"""A function of tensors that is captured once and replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

from torch import Tensor

from ..restoring import restoring
from .agree import check_agreement, other_batch
from .arguments import flattened, kind_of, tensors_of
from .cuda import CudaGraph
from .errors import StagingError, reason_of, warn
from .graph import Graph, capture
from .inductor import compile_graph
from .places import Place, places_of
from .watch import Watch

__all__ = ["Entry", "Staged"]

DATA = 2**24
r"""The number of elements from which on a tensor is data."""

ENTRIES = 8
r"""How many graphs are kept for one shape, as training flags and attributes change."""

KINDS = 64
r"""How many shapes are captured."""

Check = Callable[[Callable[..., Sequence[Tensor]]], None]


class Entry(NamedTuple):
    r"""A graph, ready to replay: a function of the tensors among the arguments."""

    run: Callable[..., Sequence[Tensor]]
    graph: Graph
    watch: Watch

    def __call__(self, tensors: Sequence[Tensor]) -> Any:
        return self.graph.result.fill(self.run(*self.graph.state, *tensors))

    def flat(self, tensors: Sequence[Tensor]) -> Sequence[Tensor]:
        r"""The tensors of the result, in a row."""
        return self.run(*self.graph.state, *tensors)


class Staged:
    r"""A function of tensors, captured once for each shape of its arguments, and replayed.

    A call returns what the function returns: the same numbers from the same random state, and the
    same changes of buffers and parameters. Whether it does is checked, twice in a row on two
    batches, before a graph is trusted. A function that cannot be captured is called as it is; one
    warning says why.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(3, 2)
        >>> staged = Staged(lambda x: layer(x) + torch.randn(2), [layer])
        >>> x = torch.ones(5, 3)
        >>> staged(x).shape, staged.reason is None
        (torch.Size([5, 2]), True)

    Arguments:
        function: A function of tensors, which returns nested tensors. Other arguments that it
            takes are constants of a graph.
        programs: The modules and functions that it calls; their parameters, buffers, training
            flags, attributes and closures are watched.
        backend: ``"fx"`` replays the operations one by one, to the bit what the function does;
            ``"inductor"`` compiles them, for the first shape; other shapes are replayed;
            ``"cudagraph"`` records what either does as one CUDA graph.
        places: Where else it finds tensors that it reads or changes.
        context: What the function is to be captured in.
        settle: Called before the check, to bring tensors to where rounding matters little; all
            are put back afterwards.
        patience: The number of calls of a shape before its capture.
        uncompiled: Whether shapes that are not compiled are replayed; else the function is called.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        programs: Iterable[Any] = (),
        *,
        backend: str = "fx",
        places: Callable[[], list[Place]] = list,
        context: Callable[[], AbstractContextManager[Any]] = nullcontext,
        settle: Callable[[], None] | None = None,
        patience: int = 0,
        uncompiled: bool = True,
    ) -> None:
        self.function = function
        self.programs = list(programs)
        self.backend = backend
        self.places = places
        self.context = context
        self.settle = settle
        self.patience = patience
        self.uncompiled = uncompiled
        self.calls: dict[Any, int] = {}
        self.full = False
        self.refused: str | None = None
        r"""Why it must not be captured, if that is known beforehand."""
        self.reason: str | None = None
        r"""Why the function is called as it is, if it is."""
        self.slow: str | None = None
        r"""Why it is replayed and not compiled, if it should have been."""
        self.entries: dict[Any, list[Entry]] = {}
        self.compiled: Any = None
        r"""The shapes that are compiled, once there are any."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        tensors = tensors_of(args, kwargs)
        entry = self._entry(tensors, args, kwargs, self.patience)

        if entry is None:
            return self.function(*args, **kwargs)

        return entry(tensors)

    def entry(self, *args: Any, **kwargs: Any) -> Entry | None:
        r"""Captures the function if need be; None if it cannot be.

        For a few calls in a row of arguments of one kind, between which nothing changes but
        tensors in place.
        """
        return self._entry(tensors_of(args, kwargs), args, kwargs, 0)

    def _entry(self, tensors: list[Tensor], args: Any, kwargs: Any, patience: int) -> Entry | None:
        if self.reason is not None:
            return None

        try:
            kind = kind_of(args, kwargs, tensors)
        except StagingError as error:
            self._give_up(error)
            return None

        for entry in self.entries.get(kind, ()):
            if entry.watch.holds():
                return entry

        self.calls[kind] = self.calls.get(kind, 0) + 1
        if self.calls[kind] <= patience:
            return None

        return self._stage(kind, tensors, flattened(self.function, args, kwargs))

    def _stage(self, kind: Any, tensors: list[Tensor], flat: Callable[..., Any]) -> Entry | None:
        entries = self.entries.setdefault(kind, [])

        if not self.uncompiled and self.compiled not in (None, kind):
            return None
        if len(self.entries) > KINDS:
            # Those that are captured go on.
            if not self.full:
                self.full = True
                warn(
                    f"Running new shapes eagerly: there were {KINDS} of them already, and each "
                    "costs a capture; take batches of few sizes, and pass numbers as tensors."
                )
            return None

        try:
            if self.refused is not None:
                raise StagingError(self.refused)
            if len(entries) >= ENTRIES:
                raise StagingError(
                    f"its parameters or attributes were replaced {ENTRIES} times; change tensors "
                    "in place"
                )
            with self.context():
                entry = self._build(kind, tensors, flat)
        except Exception as error:
            self._give_up(error)
            return None

        entries.insert(0, entry)
        return entry

    def _give_up(self, error: Exception) -> None:
        self.reason = reason_of(error)
        how = "Running eagerly" if self.uncompiled else "Replaying it uncompiled"
        warn(f"{how}, which is slower than it could be: {self.reason}.")

    def _build(self, kind: Any, tensors: list[Tensor], flat: Callable[..., Any]) -> Entry:
        before = Watch(places_of(*self.programs), self.places())

        try:
            with restoring(before.tensors):
                graph = capture(flat, tensors, before.tensors)
            if names := before.changes():
                raise StagingError(
                    f"it changes {', '.join(repr(n) for n in names[:3])}, a state of Python that "
                    "a graph would not; keep it in a buffer"
                )
            watch = before.without_caches()
            before.restore()
            run = self._executable(kind, graph, tensors, self._checker(flat, tensors, graph))
        finally:
            # Each run so far was a rehearsal: attributes go back to what they were.
            before.restore()

        return Entry(run, graph, watch)

    def _executable(
        self, kind: Any, graph: Graph, tensors: list[Tensor], check: Check
    ) -> Callable[..., Sequence[Tensor]]:
        run = self._compiled(kind, graph, tensors, check)

        if run is None:
            run = graph.run
            check(run)
        if self.backend == "cudagraph" and graph.device.type == "cuda":
            run = _recorded(run, graph, tensors)
            check(run)

        return run

    def _compiled(
        self, kind: Any, graph: Graph, tensors: list[Tensor], check: Check
    ) -> Callable[..., Sequence[Tensor]] | None:
        if self.backend == "fx" or self.slow or self.compiled not in (None, kind):
            return None

        try:
            run = compile_graph(graph, tensors)
            check(run)
        except StagingError as error:
            if not self.uncompiled:
                raise
            self.slow = str(error)
            warn(f"Replaying it uncompiled, which is slower than it could be: {error}.")
            return None

        self.compiled = kind
        return run

    def _checker(self, flat: Callable[..., Any], tensors: list[Tensor], graph: Graph) -> Check:
        # Tensors under one name, such as the moments of Adam, are compared on one scale.
        groups: dict[Any, list[Tensor]] = {}
        for mapping, name in self.places():
            if isinstance(mapping[name], Tensor):
                groups.setdefault(name, []).append(mapping[name])
        grouped = {id(t) for group in groups.values() for t in group}
        # Large tensors that nobody holds as a parameter or buffer are data: nothing changes them.
        own = [t for t in graph.state if id(t) not in grouped and t.numel() <= DATA]
        state = [[t] for t in own] + list(groups.values())

        def check(run: Callable[..., Sequence[Tensor]]) -> None:
            def staged(*inputs: Tensor) -> Any:
                return graph.result.fill(run(*graph.state, *inputs))

            with restoring([t for group in state for t in group]):
                if self.settle is not None:
                    self.settle()
                check_agreement(flat, staged, [tensors, other_batch(tensors)], state)

        return check


def _recorded(
    run: Callable[..., Sequence[Tensor]], graph: Graph, inputs: list[Tensor]
) -> Callable[..., Sequence[Tensor]]:
    # The state stays where it is; only the inputs are copied to where they were.
    recorded = CudaGraph(lambda *tensors: run(*graph.state, *tensors), inputs, graph.state)
    return lambda *tensors: recorded(*tensors[len(graph.state) :])
