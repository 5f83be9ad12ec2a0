r"""The memory that a pass through the programs takes."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from ..modules import preserving
from ..weights import Program, log_weights

__all__ = ["Counter", "bytes_per_row"]


class Counter(TorchDispatchMode):
    r"""Counts the bytes of all results that are no views, as far as operators declare them."""

    total = 0

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = op(*args, **(kwargs or {}))

        if not _aliases(op):
            for t in out if isinstance(out, tuple | list) else (out,):
                if isinstance(t, Tensor):
                    self.total += t.nbytes

        return out


@cache
def _aliases(op: Any) -> bool:
    # Views and changes in place, as the operator declares them.
    return any(result.alias_info is not None for result in op._schema.returns)


def bytes_per_row(model: Program, guide: Program, batch: Any) -> int:
    r"""An upper bound of the bytes that one particle of one datum takes in a pass without gradient.

    All intermediate results are counted as if none was freed before the end.

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`.
        batch: A batch of one datum.
    """
    with preserving(model, guide), torch.no_grad(), Counter() as counter:
        log_weights(model, guide, batch)

    return max(counter.total, 1)
