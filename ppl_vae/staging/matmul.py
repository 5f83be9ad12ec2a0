r"""Faster matrix products on CPUs.

torch hands matrix products to MKL, which on many processors leaves half of their speed unused, and
for small matrices costs more than the product itself. In a graph that is to be compiled, large
products go to oneDNN, whose kernels are made for the processor at hand, and small ones become sums
that are fused with what is around them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.fx import Graph, GraphModule, Node

from .graph import ATEN

__all__ = ["rewrite"]

LARGE, SMALL = 2**21, 2**16
r"""The numbers of multiplications from which, and up to which, a product is rewritten."""

_library = torch.library.Library("ppl_vae", "DEF")
_library.define("linear(Tensor x, Tensor weight, Tensor? bias) -> Tensor")


def _linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    out: Tensor = torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, "none", [], "")
    return out


def _shape(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    return x.new_empty(x.shape[0], weight.shape[0])


_library.impl("linear", _linear, "CPU")
_library.impl("linear", _shape, "Meta")
LINEAR = torch.ops.ppl_vae.linear.default


def rewrite(module: GraphModule) -> GraphModule:
    r"""Returns the module with its products of float32 matrices on a CPU rewritten.

    Sums are taken in another order: results differ by rounding.
    """
    graph = Graph()
    out = graph.graph_copy(module.graph, {})
    graph.output(out)

    for node in list(graph.nodes):
        if node.target in (ATEN.mm.default, ATEN.addmm.default) and not node.kwargs:
            with graph.inserting_before(node):
                new = _product(graph, node)
            if new is not None:
                node.replace_all_uses_with(new)
                graph.erase_node(node)

    return GraphModule(module, graph)


def _product(graph: Graph, node: Node) -> Node | None:
    *bias, a, b = node.args
    val = a.meta["val"]  # type: ignore[union-attr]
    (M, K), N = val.shape, b.meta["val"].shape[1]  # type: ignore[union-attr]

    if val.dtype != torch.float32 or val.device.type != "cpu":
        return None
    if M * K * N <= SMALL:
        return _sum(graph, a, b, bias)
    if M * K * N >= LARGE and _onednn():
        # The first factor is copied if it is transposed: a b = (b' a')', whichever copies less.
        flip = not bias and _transposed(a) and K * N + M * N < M * K
        return _onednn_product(graph, a, b, bias, flip=flip)

    return None


def _sum(graph: Graph, a: Any, b: Any, bias: list[Any]) -> Node:
    call = graph.call_function
    terms = call(
        ATEN.mul.Tensor,
        (call(ATEN.unsqueeze.default, (a, 2)), call(ATEN.unsqueeze.default, (b, 0))),
    )
    out = call(ATEN.sum.dim_IntList, (terms, [1]))
    return call(ATEN.add.Tensor, (out, bias[0])) if bias else out


def _onednn_product(graph: Graph, a: Any, b: Any, bias: list[Any], *, flip: bool) -> Node:
    turned = graph.call_function(ATEN.t.default, (b,))
    if flip:
        out = graph.call_function(LINEAR, (turned, a, None))
        back = graph.call_function(ATEN.t.default, (out,))
        # In memory it has to lie as the product did: optimizers walk through gradients.
        return graph.call_function(
            ATEN.clone.default, (back,), {"memory_format": torch.contiguous_format}
        )

    if _transposed(a):
        # oneDNN would copy it: here the copy is fused with what makes the factor.
        a = graph.call_function(
            ATEN.clone.default, (a,), {"memory_format": torch.contiguous_format}
        )

    return graph.call_function(LINEAR, (a, turned, bias[0] if bias else None))


def _transposed(node: Any) -> bool:
    return node.target in (ATEN.t.default, ATEN.transpose.int, ATEN.permute.default)


def _onednn() -> bool:
    there = torch.backends.mkldnn.is_available() and bool(torch.backends.mkldnn.enabled)
    return there and hasattr(torch.ops.mkldnn, "_linear_pointwise")
