r"""Which way of replay is worth its price."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch.fx.node import map_arg

from .graph import Graph
from .inductor import has_compiler

__all__ = ["Backend", "check_backend", "choose", "operations"]

Backend = Literal["auto", "off", "fx", "inductor", "cudagraph"]
r"""What ``compile`` may be."""

# Fixed numbers, measured once on two cores, so that one seed gives one result everywhere.
SECONDS_PER_NODE = 2.5e-6
SECONDS_PER_FLOP = 4e-12
COST = 8.0
COST_PER_NODE = 2e-2


def check_backend(backend: str, device: torch.device | None = None) -> None:
    r"""Raises a ValueError if there is no such backend, or not on the device.

    Example:
        >>> check_backend("fx", torch.device("cpu"))
    """
    if backend not in get_args(Backend):
        raise ValueError(f"compile is one of {', '.join(get_args(Backend))}, got {backend!r}.")
    if backend == "cudagraph" and device is not None and device.type != "cuda":
        raise ValueError(
            f"compile='cudagraph' is for CUDA devices, and the programs are on {device.type}; take "
            "'auto' or 'inductor'."
        )


def choose(graphs: Sequence[Graph], calls: int | None, device: torch.device) -> str:
    r"""Returns the backend whose price is paid back over a number of calls.

    Compiling with Inductor costs seconds, and saves some microseconds for each node of a graph,
    and a share of the arithmetic. Only shapes and numbers of calls decide, never a clock.

    Arguments:
        graphs: The captured graphs of a call.
        calls: The planned number of calls; None if it is not known.
        device: The device of its tensors.
    """
    if device.type == "cuda":
        return "cudagraph"
    if device.type != "cpu":
        return "off"  # nobody has tried the others there

    nodes, flops = map(sum, zip(*map(operations, graphs), strict=True))
    saved = nodes * SECONDS_PER_NODE + flops * SECONDS_PER_FLOP
    paid = COST + nodes * COST_PER_NODE
    worth = calls is not None and calls * saved > paid
    return "inductor" if worth and has_compiler(device) else "fx"


def operations(graph: Graph) -> tuple[int, int]:
    r"""The number of nodes of a graph, and of floating-point operations in its products."""
    from torch.utils.flop_counter import flop_registry

    nodes = [node for node in graph.module.graph.nodes if node.op == "call_function"]
    flops = 0

    for node in nodes:
        count = flop_registry.get(getattr(node.target, "overloadpacket", None))
        if count is not None:
            args, kwargs = map_arg((node.args, node.kwargs), lambda n: n.meta.get("val"))
            flops += count(*args, **kwargs, out_val=node.meta.get("val"))

    return len(nodes), flops
