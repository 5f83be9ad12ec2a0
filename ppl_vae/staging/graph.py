r"""Capturing a function of tensors as a graph of ATen operations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor
from torch.fx import GraphModule, Node
from torch.utils._python_dispatch import TorchDispatchMode

from ..restoring import keeping_checks
from .errors import StagingError

__all__ = ["Graph", "Result", "capture"]

ATEN = torch.ops.aten


class Graph:
    r"""A captured function: a flat list of tensors in, a flat list of tensors out.

    Arguments:
        module: The graph, as a module of :mod:`torch.fx` that takes the tensors ``state``, then
            the inputs.
        state: The tensors that the function found by itself: parameters, buffers, constants. They
            are inputs of the graph, so that in-place changes reach it, in both directions.
        result: How the outputs make up what the function returned.
    """

    def __init__(self, module: GraphModule, state: list[Tensor], result: Result) -> None:
        self.module = module
        self.state = state
        self.result = result

    @property
    def device(self) -> torch.device:
        r"""The GPU, if any tensor is on one, else the CPU."""
        devices = {t.device for t in self.state}
        return next((d for d in devices if d.type != "cpu"), torch.device("cpu"))

    def __call__(self, *inputs: Tensor) -> Sequence[Tensor]:
        return self.run(*self.state, *inputs)

    @torch.no_grad()
    def run(self, *tensors: Tensor) -> Sequence[Tensor]:
        r"""Replays the operations one by one, on a state of its own and the inputs."""
        outputs: Sequence[Tensor] = self.module(*tensors)
        return outputs


class Result:
    r"""The shape of what a function returned: where its tensors go, and all that is none.

    Arguments:
        value: Nested dictionaries, lists and tuples of tensors and other values.
    """

    def __init__(self, value: Any) -> None:
        self.tensors: list[Tensor] = []
        self.fill = self._filler(value)
        r"""A function of other tensors to the value with these in the place of its own."""

    def forget(self) -> Result:
        r"""Lets go of the tensors."""
        self.tensors = []
        return self

    def _filler(self, value: Any) -> Callable[[Sequence[Tensor]], Any]:
        # It is called at each step, and therefore made beforehand.
        if isinstance(value, Tensor):
            self.tensors.append(value)
            return itemgetter(len(self.tensors) - 1)
        if isinstance(value, dict):
            items = [(key, self._filler(part)) for key, part in value.items()]
            return lambda tensors: {key: fill(tensors) for key, fill in items}
        if isinstance(value, (list, tuple)):
            fills = [self._filler(part) for part in value]
            kind = type(value)
            make = kind._make if hasattr(kind, "_make") else kind
            return lambda tensors: make([fill(tensors) for fill in fills])

        return lambda tensors: value


class _Guarded(TorchDispatchMode):
    r"""Refuses operations whose results' shapes depend on data, where they stand in the program."""

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if torch.Tag.dynamic_output_shape in op.tags and not _static_index(op, args):
            name = str(op.name()).removeprefix("aten::").split(".")[0]
            raise StagingError(
                f"the shape of the result of {name} depends on data, as that of a boolean index "
                "does; use torch.where"
            )

        return op(*args, **(kwargs or {}))


def _static_index(op: Any, args: Any) -> bool:
    if op is not ATEN.index.Tensor:
        return False

    return all(i is None or i.dtype not in (torch.bool, torch.uint8) for i in args[1])


def capture(
    function: Callable[..., Any], inputs: Sequence[Tensor], known: Sequence[Tensor]
) -> Graph:
    r"""Runs a function once, and returns the graph of what it did.

    Random draws stay draws. All tensors that the function reads besides its inputs become inputs
    too; the numbers of Python that it reads become constants.

    Arguments:
        function: The function; it may return nested tensors and other values.
        inputs: What it is called with.
        known: Tensors that it may read or change elsewhere.

    Raises:
        StagingError: If what it does depends on data in a way that a graph cannot tell.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    known = list({id(t): t for t in known}.values())
    result: list[Result] = []

    def flat(*tensors: Tensor) -> list[Tensor]:
        with _Guarded():
            result.append(Result(function(*tensors[len(known) :])))
        return result[-1].tensors

    with keeping_checks():
        # Checks of values look at data; the batches were checked before.
        torch.distributions.Distribution.set_default_validate_args(False)
        module: GraphModule = make_fx(flat, tracing_mode="real")(*known, *inputs)

    found = _lift(module, len(known))
    module.graph.eliminate_dead_code()
    module.recompile()
    return Graph(module, [*known, *found], result[-1].forget())


def _lift(module: GraphModule, position: int) -> list[Tensor]:
    # Tensors that were there before the capture become inputs, after the known ones. What is only
    # copied out of its node is a literal of the program.
    found: dict[int, tuple[Tensor, Node]] = {}
    placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
    after = placeholders[position - 1] if position else None

    for node in [node for node in module.graph.nodes if node.op == "get_attr"]:
        value = getattr(module, str(node.target))
        if not isinstance(value, Tensor) or _literal(node):
            continue

        if id(value) not in found:
            first = next(iter(module.graph.nodes))
            place = (
                module.graph.inserting_after(after)
                if after is not None
                else module.graph.inserting_before(first)
            )
            with place:
                after = module.graph.placeholder(f"found_{len(found)}")
            found[id(value)] = value, after

        node.replace_all_uses_with(found[id(value)][1])
        module.graph.erase_node(node)

    return [value for value, _ in found.values()]


def _literal(node: Node) -> bool:
    copies = ATEN.lift_fresh.default, ATEN.lift_fresh_copy.default
    return all(user.target in copies for user in node.users)
