r"""Which way of replay is worth its price."""

from __future__ import annotations

import math

import torch

from .graph import ATEN, Graph
from .inductor import has_compiler

__all__ = ["BACKENDS", "check_backend", "choose", "operations"]

BACKENDS = ("auto", "off", "fx", "inductor", "cudagraph")
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
    if backend not in BACKENDS:
        raise ValueError(f"compile is one of {', '.join(BACKENDS)}, got {backend!r}.")
    if backend == "cudagraph" and device is not None and device.type != "cuda":
        raise ValueError(
            f"compile='cudagraph' is for CUDA devices, and the programs are on {device.type}; take "
            "'auto' or 'inductor'."
        )


def choose(graph: Graph, calls: int | None, device: torch.device) -> str:
    r"""Returns the backend whose price is paid back over a number of calls.

    Compiling with Inductor costs seconds, and saves some microseconds for each node of the graph,
    and a share of the arithmetic. Only shapes and numbers of calls decide, never a clock.

    Arguments:
        graph: The captured graph.
        calls: The planned number of calls; None if it is not known.
        device: The device of its tensors.
    """
    if device.type == "cuda":
        return "cudagraph"
    if device.type != "cpu":
        return "off"  # nobody has tried the others there

    nodes, flops = operations(graph)
    saved = nodes * SECONDS_PER_NODE + flops * SECONDS_PER_FLOP
    paid = COST + nodes * COST_PER_NODE
    worth = calls is not None and calls * saved > paid
    return "inductor" if worth and has_compiler(device) else "fx"


def operations(graph: Graph) -> tuple[int, int]:
    r"""The number of nodes of a graph, and of floating-point operations in its matrix products."""
    nodes = [node for node in graph.module.graph.nodes if node.op == "call_function"]
    products = {ATEN.mm.default: 0, ATEN.addmm.default: 1, ATEN.bmm.default: 0}
    flops = 0

    for node in nodes:
        if node.target in products:
            first = node.args[products[node.target]]
            flops += (
                2
                * first.meta["val"].shape[-2]
                * math.prod(first.meta["val"].shape[:-2])
                * first.meta["val"].shape[-1]
                * node.meta["val"].shape[-1]
            )
        elif node.target is ATEN.convolution.default:
            weight = node.args[1].meta["val"]
            flops += 2 * node.meta["val"].numel() * weight[0].numel()
        elif node.target is ATEN.convolution_backward.default:
            weight = node.args[2].meta["val"]
            flops += 4 * node.args[0].meta["val"].numel() * weight[0].numel()

    return len(nodes), flops
