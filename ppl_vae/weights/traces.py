r"""Running programs, and the sites of their traces."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from typing import Any, NamedTuple

import pyro
import torch
from pyro import poutine
from pyro.poutine.util import site_is_subsample
from torch import Tensor

from ..modules import preserving
from .layout import PARTICLES, frames

__all__ = [
    "Arguments",
    "Batch",
    "Detached",
    "Node",
    "Program",
    "arguments",
    "as_trace",
    "batch_size",
    "by_name",
    "call",
    "enumerated",
    "latent_sites",
    "named",
    "particle_plate",
    "plate_depth",
    "replay_model",
    "run_traced",
    "sites_of",
]


class Arguments(NamedTuple):
    r"""What programs are called with, by position and by name."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


Program = Callable[..., Any]
Batch = Tensor | Sequence[Any] | Mapping[str, Any] | Arguments
Node = Mapping[str, Any]


def call(program: Program, batch: Batch) -> Any:
    r"""Calls a program with a batch; ``index`` is left out unless the program takes it."""
    args, kwargs = arguments(batch)

    if "index" in kwargs:
        forward = getattr(program, "forward", program)
        if "index" not in inspect.signature(forward).parameters:
            kwargs = {name: value for name, value in kwargs.items() if name != "index"}

    return program(*args, **kwargs)


def plate_depth(model: Program, guide: Program | None, batch: Batch) -> int:
    r"""Tells the number of nested plates of the programs, from one dry run.

    Random states and buffers are left as they were.
    """
    with preserving(model, guide), torch.no_grad(), poutine.block():
        q = None if guide is None else run_traced(guide, batch)
        p = run_traced(model, batch, replay=q)

    nodes = [*sites_of(p).values(), *({} if q is None else sites_of(q)).values()]
    return max((-f.dim for node in nodes for f in frames(node)), default=0)


class Detached(poutine.messenger.Messenger):
    r"""Within it, draws carry no gradient."""

    def _pyro_post_sample(self, message: Any) -> None:
        if not message["is_observed"] and isinstance(message["value"], Tensor):
            message["value"] = message["value"].detach()


class Left(Exception):
    r"""A program was left after the last site that was asked for."""


class LeaveAfter(poutine.messenger.Messenger):
    r"""Leaves a program, by :class:`Left`, once it has drawn all of some sites."""

    def __init__(self, sites: Iterable[str]) -> None:
        super().__init__()
        self.missing = set(sites)

    def _pyro_post_sample(self, message: Any) -> None:
        self.missing.discard(message["name"])
        if not self.missing:
            raise Left


def run_traced(
    program: Program,
    batch: Batch,
    replay: poutine.Trace | None = None,
    enumerate_from: int | None = None,
    until: Iterable[str] | None = None,
) -> poutine.Trace:
    r"""Runs a program with a batch, and returns its trace.

    Arguments:
        program: The program.
        batch: What it is called with.
        replay: A trace whose values are taken instead of draws.
        enumerate_from: The rightmost dimension that enumerated sites may take, if any may.
        until: The sites after the last of which the program is left; None to run it to its end.
    """
    run: Program = partial(call, program, batch)
    run = run if replay is None else poutine.replay(run, trace=replay)
    run = run if enumerate_from is None else poutine.enum(run, first_available_dim=enumerate_from)
    if until is None:
        return poutine.trace(run).get_trace()

    # The trace is within: a site is noted in it before the program is left.
    with poutine.trace() as tracer, suppress(Left), LeaveAfter(until):
        run()
    return tracer.get_trace()


def particle_plate(particles: int, depth: int | None) -> AbstractContextManager[Any]:
    r"""The plate of the particles, outside of ``depth`` nested plates."""
    # One particle needs no plate: its densities are those of the programs as they stand.
    if particles == 1:
        return nullcontext()

    return pyro.plate(PARTICLES, particles, dim=-1 - (depth or 1))


def sites_of(trace: poutine.Trace) -> dict[str, Node]:
    r"""The sample sites of a trace, without those that only choose a minibatch or tell a value."""
    nodes: Mapping[str, Any] = trace.nodes
    return {
        name: node
        for name, node in nodes.items()
        if node["type"] == "sample"
        and not site_is_subsample(node)
        and not node["infer"].get("_deterministic")
    }


def replay_model(
    model: Program, batch: Batch, q: poutine.Trace, particles: int, depth: int | None
) -> poutine.Trace:
    r"""Runs the model at the draws of a guide, and at all values of the sites it enumerates."""
    with particle_plate(particles, depth):
        p = run_traced(model, batch, replay=q)

    marked = any(
        node["infer"].get("enumerate") == "parallel"
        for name, node in sites_of(p).items()
        if not node["is_observed"] and name not in q
    )
    if not marked:
        return p

    # Sites that the model marks, and the guide does not draw, are summed out.
    if depth is None:
        depth = max(-f.dim for node in sites_of(p).values() for f in frames(node))

    with particle_plate(particles, depth):
        return run_traced(model, batch, replay=q, enumerate_from=-1 - depth - (particles > 1))


def latent_sites(model: Mapping[str, Node]) -> list[str]:
    r"""The latent sites of a model that a guide has to draw."""
    return [k for k, node in model.items() if not node["is_observed"] and not enumerated(node)]


def enumerated(node: Node) -> bool:
    r"""Whether a site was run at all its values at once."""
    return node["infer"].get("_enumerate_dim") is not None


def batch_size(batch: Batch) -> int | None:
    r"""The number of rows of a batch, if it has any."""
    args, kwargs = arguments(batch)
    entries = [*args, *kwargs.values()]
    return next((len(t) for t in entries if isinstance(t, Tensor) and t.ndim > 0), None)


def as_trace(values: Mapping[str, Tensor], particles: int) -> poutine.Trace:
    r"""A trace of given values, each with shape ``(K, n, *event_shape)``, to replay."""
    trace = poutine.Trace()

    for name, value in values.items():
        value = value[0] if particles == 1 else value
        trace.add_node(name, type="sample", name=name, value=value, is_observed=False, infer={})

    return trace


def by_name(program: Program, batch: Batch) -> dict[str, Any]:
    r"""The entries of a batch, by the names of the program's arguments; ``index`` left out."""
    args, kwargs = arguments(batch)
    signature = inspect.signature(getattr(program, "forward", program))
    kwargs = {name: value for name, value in kwargs.items() if name in signature.parameters}
    return dict(signature.bind_partial(*args, **kwargs).arguments)


def named(batch: Batch) -> list[tuple[str, Any]]:
    r"""The entries of a batch, with the names that people know them by."""
    args, kwargs = arguments(batch)
    return [*(("of the batch", value) for value in args), *kwargs.items()]


def arguments(batch: Batch) -> Arguments:
    r"""What programs are called with, by position and by name."""
    if isinstance(batch, Arguments):
        return batch
    if isinstance(batch, Mapping):
        return Arguments((), batch)

    return Arguments((batch,) if isinstance(batch, Tensor) else tuple(batch), {})
