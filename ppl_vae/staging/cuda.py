r"""A function of tensors as one CUDA graph: all its kernels in a single launch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..restoring import restoring

__all__ = ["CudaGraph"]

WARM_UP = 3


class CudaGraph:
    r"""A function of tensors on a GPU, recorded once and replayed.

    The recorded kernels read and write fixed addresses, hence the inputs are copied to where they
    were, and parameters have to stay where they are. Draws come from the device's default
    generator, whose seed and offset are looked up at each replay.

    References:
        | Accelerating PyTorch with CUDA Graphs (Nguyen et al., 2021)
        | https://pytorch.org/blog/accelerating-pytorch-with-cuda-graphs/

    Arguments:
        function: A function of tensors that never waits for the device, and returns tensors.
        inputs: What it is called with.
        state: All tensors that it changes; they are put back, as are random states.
    """

    def __init__(
        self, function: Callable[..., Any], inputs: Sequence[Tensor], state: Sequence[Tensor]
    ) -> None:
        self.inputs = [t.clone() for t in inputs]
        self.graph = torch.cuda.CUDAGraph()
        device = self.inputs[0].device

        with torch.cuda.device(device), restoring(state), torch.no_grad():
            # Libraries set themselves up in their first calls, which cannot be recorded.
            stream = torch.cuda.Stream()
            stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(stream):
                for _ in range(WARM_UP):
                    function(*self.inputs)
            torch.cuda.current_stream().wait_stream(stream)

            with torch.cuda.graph(self.graph):
                self.outputs: list[Tensor] = list(function(*self.inputs))

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        r"""Replays the function; what it returns is apart from what later calls return."""
        for place, value in zip(self.inputs, inputs, strict=True):
            if place is not value:
                place.copy_(value, non_blocking=True)

        self.graph.replay()
        return [t.clone() for t in self.outputs]
