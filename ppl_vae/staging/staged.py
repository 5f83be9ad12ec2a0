r"""A function of tensors that is captured once and replayed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_unflatten

from .agree import check_agreement, other_batch
from .cuda import CudaGraph
from .errors import StagingError, reason_of, warn
from .graph import Graph, capture, restoring
from .inductor import compile_graph
from .watch import Place, Watch, places_of

__all__ = ["Staged"]

ENTRIES = 8
r"""How many graphs are kept for one shape, as training flags and attributes change."""


class Entry(NamedTuple):
    r"""A graph, ready to replay."""

    run: Callable[..., Sequence[Tensor]]
    graph: Graph
    watch: Watch


class Staged:
    r"""A function of tensors, captured once for each shape of its arguments, and replayed.

    A call returns what the function returns: the same numbers from the same random state, and the
    same changes of buffers and parameters. Whether it does is checked, twice in a row on two
    batches, before a graph is trusted. A function that cannot be captured is called as it is; one
    warning says why.

    Example:
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
        if self.reason is not None:
            return self.function(*args, **kwargs)

        key, tensors = _signature(args, kwargs)
        entry = self._find(key)

        if entry is None:
            self.calls[key] = self.calls.get(key, 0) + 1
            if self.calls[key] > self.patience:
                entry = self._stage(key, tensors, args, kwargs)
            if entry is None:
                return self.function(*args, **kwargs)

        return entry.graph.result.fill(entry.run(*entry.graph.state, *tensors))

    def replay(self, *args: Any, **kwargs: Any) -> Callable[..., Sequence[Tensor]] | None:
        r"""Returns a function of tensors alone that replays the graph, without looking at anything.

        For a few calls in a row between which nothing but these tensors changes.

        Returns:
            The function, which returns the tensors of the result; None if it cannot be staged.
        """
        entry = self.entry(*args, **kwargs)
        if entry is None:
            return None

        run, state = entry.run, entry.graph.state
        return lambda *tensors: run(*state, *tensors)

    def settled(self, *args: Any, **kwargs: Any) -> Callable[..., Any]:
        r"""Returns what a call would run, for several calls in a row of arguments of one kind.

        Between them nothing may change but tensors in place.
        """
        entry = self.entry(*args, **kwargs)
        if entry is None:
            return self.function

        run, state, fill = entry.run, entry.graph.state, entry.graph.result.fill
        return lambda *args, **kwargs: fill(run(*state, *_tensors(args, kwargs)))

    def tensors(self, *args: Any, **kwargs: Any) -> list[Tensor]:
        r"""The tensors among arguments, in the order in which :meth:`replay` takes them."""
        return _tensors(args, kwargs)

    def entry(self, *args: Any, **kwargs: Any) -> Entry | None:
        r"""Captures the function if need be, and returns its graph; None if it has none."""
        if self.reason is not None:
            return None

        key, tensors = _signature(args, kwargs)
        return self._find(key) or self._stage(key, tensors, args, kwargs)

    def graph(self, *args: Any, **kwargs: Any) -> Graph | None:
        r"""The graph of :meth:`entry`."""
        entry = self.entry(*args, **kwargs)
        return None if entry is None else entry.graph

    def _find(self, key: Any) -> Entry | None:
        for entry in self.entries.get(key, ()):
            if entry.watch.holds():
                return entry

        return None

    def _stage(self, key: Any, tensors: list[Tensor], args: Any, kwargs: Any) -> Entry | None:
        entries = self.entries.setdefault(key, [])

        if not self.uncompiled and self.compiled not in (None, key):
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
                entry = self._build(key, tensors, args, kwargs)
        except Exception as error:
            self.reason = reason_of(error)
            how = "Running eagerly" if self.uncompiled else "Replaying it uncompiled"
            warn(f"{how}, which is slower than it could be: {self.reason}.")
            return None

        entries.insert(0, entry)
        return entry

    def _build(self, key: Any, tensors: list[Tensor], args: Any, kwargs: Any) -> Entry:
        flat = _flattened(self.function, args, kwargs)
        places = [*places_of(*self.programs), *self.places()]
        before, watch = Watch(places), Watch(places)

        try:
            with restoring(watch.tensors):
                graph = capture(flat, tensors, watch.tensors)
            if names := watch.changes():
                raise StagingError(
                    f"it changes {', '.join(repr(n) for n in names[:3])}, a state of Python that "
                    "a graph would not; keep it in a buffer"
                )
            watch.forget_changed()
            check = self._checker(flat, tensors, watch)
            run = self._compiled(key, graph, tensors, check)

            if run is None:
                check(graph)
                run = _replayed(graph)
            if self.backend == "cudagraph" and graph.device.type == "cuda":
                run = _recorded(run, graph, tensors)
        finally:
            # Each run so far was a rehearsal: attributes go back to what they were.
            before.restore()

        return Entry(run, graph, watch)

    def _compiled(
        self,
        key: Any,
        graph: Graph,
        tensors: list[Tensor],
        check: Callable[[Callable[..., Any]], None],
    ) -> Callable[..., Sequence[Tensor]] | None:
        if self.backend == "fx" or self.slow or self.compiled not in (None, key):
            return None

        try:
            run = compile_graph(graph, tensors)
            check(lambda *inputs: graph.result.fill(run(*graph.state, *inputs)))
        except StagingError as error:
            if not self.uncompiled:
                raise
            self.slow = str(error)
            warn(f"Replaying it uncompiled, which is slower than it could be: {error}.")
            return None

        self.compiled = key
        return run

    def _checker(
        self, flat: Callable[..., Any], tensors: list[Tensor], watch: Watch
    ) -> Callable[[Callable[..., Any]], None]:
        # The exact artefact that is to be used goes through the check.
        groups: dict[Any, list[Tensor]] = {}
        for mapping, name in self.places():
            if isinstance(mapping[name], Tensor):
                groups.setdefault(name, []).append(mapping[name])
        grouped = {id(t) for group in groups.values() for t in group}
        own = [[t] for t in watch.tensors if id(t) not in grouped]
        state = own + list(groups.values())

        def check(staged: Callable[..., Any]) -> None:
            run = staged
            if isinstance(staged, Graph):
                graph = staged
                run = lambda *inputs: graph.result.fill(graph(*inputs))  # noqa: E731
            with restoring(watch.tensors):
                if self.settle is not None:
                    self.settle()
                check_agreement(flat, run, [tensors, other_batch(tensors)], state)

        return check


def _replayed(graph: Graph) -> Callable[..., Sequence[Tensor]]:
    module = graph.module

    def run(*tensors: Tensor) -> Sequence[Tensor]:
        with torch.no_grad():
            out: Sequence[Tensor] = module(*tensors)
        return out

    return run


def _recorded(
    run: Callable[..., Sequence[Tensor]], graph: Graph, inputs: list[Tensor]
) -> Callable[..., Sequence[Tensor]]:
    # The state stays where it is; only the inputs are copied to where they were.
    recorded = CudaGraph(lambda *tensors: run(*graph.state, *tensors), inputs, graph.state)
    return lambda *tensors: recorded(*tensors[len(graph.state) :])


def _tensors(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    values = [*args, *kwargs.values()]

    if all(isinstance(value, Tensor) for value in values):
        return values

    return [leaf for leaf in tree_flatten((args, kwargs))[0] if isinstance(leaf, Tensor)]


def _signature(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, list[Tensor]]:
    values = _tensors(args, kwargs)

    if all(isinstance(value, Tensor) for value in (*args, *kwargs.values())):
        layout: Any = (len(args), *kwargs)
    else:
        leaves, spec = tree_flatten((args, kwargs))
        constants = [(type(v), v) for v in leaves if not isinstance(v, Tensor)]
        layout = (str(spec), *constants)

    kinds = [(t.shape, t.stride(), t.dtype, t.device) for t in values]
    casts = torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")
    return (layout, torch.get_default_dtype(), casts, *kinds), values


def _flattened(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Callable[..., Any]:
    # The function of the tensors among its arguments; the others are constants.
    leaves, spec = tree_flatten((args, kwargs))

    def flat(*tensors: Tensor) -> Any:
        rest = iter(tensors)
        filled = [next(rest) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        args, kwargs = tree_unflatten(filled, spec)
        return function(*args, **kwargs)

    return flat
