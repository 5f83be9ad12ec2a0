r"""Checking a staged function against the function itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from ..restoring import restoring, shared_within
from .errors import StagingError

__all__ = ["check_agreement", "other_batch"]

TOLERANCE = {torch.float64: 1e-9, torch.float32: 1e-4}
r"""The largest difference, relative to the largest element; rounding alone is far below."""


def check_agreement(
    function: Callable[..., Any],
    staged: Callable[..., Any],
    batches: Sequence[Sequence[Tensor]],
    state: Sequence[Sequence[Tensor]],
) -> None:
    r"""Raises a StagingError unless both do the same, twice in a row, on each batch.

    Arguments:
        function: The function itself.
        staged: What is to take its place.
        batches: The inputs of the calls.
        state: Groups of tensors that they may change; they are put back. Within a group, small
            tensors are compared on the scale of the largest.
    """
    for batch in batches:
        wanted, found = (_twice(f, batch, state) for f in (function, staged))
        floats = [t for group in wanted[: -len(state) or None] for t in group]
        floats = [t for t in floats if t.is_floating_point() and t.numel()]
        if floats and not any(t.isfinite().any() for t in floats):
            raise StagingError(
                "the program gives no finite number here, so nothing can be compared"
            )

        for want, got in zip(wanted, found, strict=True):
            floor = 1e-2 * max((_size(t) for t in want), default=0.0)
            for a, b in zip(want, got, strict=True):
                _check(a, b, floor)


def other_batch(inputs: Sequence[Tensor]) -> list[Tensor]:
    r"""Another batch of the same shapes: the first half of the rows, each twice.

    It has the same strides, which a compiled graph takes for granted. Tensors that show one number
    in several places, as expanded ones do, stay as they are.
    """
    n = max((len(t) for t in inputs if t.ndim), default=0)
    rows = torch.arange(n) // 2
    others = []

    for t in inputs:
        if t.ndim and len(t) == n and not shared_within(t):
            other = torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device=t.device)
            others.append(other.copy_(t[rows.to(t.device)]))
        else:
            others.append(t)

    return others


def _twice(
    function: Callable[..., Any], batch: Sequence[Tensor], state: Sequence[Sequence[Tensor]]
) -> list[list[Tensor]]:
    # The groups of tensors that are returned by two calls, and those that are left behind.
    with restoring([*(t for group in state for t in group), *batch]):
        _seed([t for t in (*batch, *(t for group in state for t in group))])
        groups = [part for _ in range(2) for part in _groups(function(*batch))]
        return groups + [[_copy(t) for t in group] for group in state]


def _seed(tensors: Sequence[Tensor]) -> None:
    # Only the generators that are put back afterwards.
    torch.default_generator.manual_seed(20)

    for index in {t.device.index for t in tensors if t.device.type == "cuda"}:
        torch.cuda.default_generators[index].manual_seed(20)


def _groups(value: Any) -> list[list[Tensor]]:
    parts = list(value.values()) if isinstance(value, dict) else [value]
    return [[_copy(t) for t in tree_leaves(part) if isinstance(t, Tensor)] for part in parts]


def _copy(t: Tensor) -> Tensor:
    return t.detach().clone(memory_format=torch.preserve_format)


def _check(want: Tensor, got: Tensor, floor: float) -> None:
    kinds = [(t.shape, t.dtype, t.stride()) for t in (want, got)]
    if kinds[0] != kinds[1]:
        raise StagingError("the captured program returns tensors of another shape or layout")
    if not want.is_floating_point():
        if not torch.equal(want, got):
            raise StagingError("the captured program disagrees with the program on integers")
        return

    finite = want.isfinite()
    difference = (want - got)[finite].abs()
    scale = max(_size(want), floor, 1e-30)
    error = float(difference.max()) / scale if len(difference) else 0.0

    if not error <= TOLERANCE.get(want.dtype, 2e-2) or not torch.equal(finite, got.isfinite()):
        raise StagingError(
            f"the captured program disagrees with the program (relative error {error:.0e}): it "
            "depends on the state of Python (random's and NumPy's draws among it), on values read "
            "out of tensors, or on its last call; keep what changes in buffers, draw by torch"
        )


def _size(t: Tensor) -> float:
    if not t.is_floating_point():
        return 0.0

    finite = t[t.isfinite()]
    return float(finite.abs().max()) if finite.numel() else 0.0
