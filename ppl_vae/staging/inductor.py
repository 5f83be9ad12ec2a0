r"""Compiling a captured graph with Inductor, without Dynamo and its guards."""

from __future__ import annotations

import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..restoring import restoring
from .errors import StagingError
from .graph import Graph

__all__ = ["compile_graph", "has_compiler"]

OPTIONS = {
    # Eager's own generators: the same draws from the same seed, and on a CPU the faster ones.
    "fallback_random": True,
    # The inputs are known to be what they were: Staged looks at them before each call.
    "size_asserts": False,
    "alignment_asserts": False,
    "scalar_asserts": False,
    "nan_asserts": False,
}


def has_compiler(device: torch.device) -> bool:
    r"""Whether there is what Inductor needs: a compiler of C++ for a CPU, Triton for CUDA."""
    if device.type == "cuda":
        from importlib.util import find_spec

        return find_spec("triton") is not None

    names = [os.environ.get("CXX", "g++"), "g++", "clang++", "c++"]
    return any(shutil.which(name) for name in names)


def compile_graph(graph: Graph, inputs: Sequence[Tensor]) -> Callable[..., Sequence[Tensor]]:
    r"""Compiles a graph for the shapes, types and strides of its inputs.

    Random states and all tensors are left as they were. Inductor's configuration is changed only
    while it compiles.

    Arguments:
        graph: The captured graph.
        inputs: What it is called with, besides its state.

    Returns:
        A function of all tensors, state and inputs.

    Raises:
        StagingError: If there is no compiler, or Inductor cannot compile the graph.
    """
    tensors = [*graph.state, *inputs]
    device = tensors[0].device

    if not has_compiler(device):
        missing = "Triton" if device.type == "cuda" else "C++ compiler (such as g++)"
        raise StagingError(f"Inductor finds no {missing} here; install one")

    import torch._inductor
    from torch._inductor import config

    from .matmul import rewrite

    module = rewrite(graph.module)
    for node in module.graph.nodes:
        node.meta.clear()

    options: Any = {name: value for name, value in OPTIONS.items() if hasattr(config, name)}

    try:
        with _quiet(), restoring(tensors), torch.no_grad(), config.patch(options):
            compiled: Any = torch._inductor.compile(module, list(tensors))
            # The first call builds what is still missing, under the same configuration.
            compiled(*tensors)
    except Exception as error:
        text = " ".join(str(error).split())
        raise StagingError(f"Inductor cannot compile it: {text[:200]}") from error

    run: Callable[..., Sequence[Tensor]] = torch.no_grad()(compiled)
    return run


@contextmanager
def _quiet() -> Iterator[None]:
    # What the compiler and its helpers say is of no use to somebody who trains a model.
    logger = logging.getLogger("torch.utils.cpp_extension")
    level = logger.level
    logger.setLevel(logging.ERROR)

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
