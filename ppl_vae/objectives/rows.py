r"""Rows of data as the vectors that a network takes."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from ..weights import Arguments

__all__ = ["flattened", "rows_in", "rows_of"]


def flattened(rows: Iterable[Tensor], dtype: torch.dtype) -> Tensor:
    r"""Each row as one vector, on the scale of the inverse hyperbolic sine.

    Numbers are brought into the range of a layer by it, pictures of 256 levels and counts too.

    Example:
        >>> flattened([torch.zeros(5, 2, 2), torch.zeros(5)], torch.float32).shape
        torch.Size([5, 5])

    Arguments:
        rows: Tensors with shape ``(n, *)``.
        dtype: The type of the vectors.
    """
    return torch.cat([t.to(dtype).reshape(len(t), -1) for t in rows], 1).asinh()


def rows_in(batch: Arguments, n: int, dtype: torch.dtype) -> list[Tensor]:
    r"""The tensors of a batch with a row for each of ``n`` data; missing entries are zero."""
    given = [*batch.args, *(t for name, t in batch.kwargs.items() if name != "index")]
    rows = [t for t in given if isinstance(t, Tensor) and t.ndim and len(t) == n]
    return [t.to(dtype).nan_to_num() for t in rows]


def rows_of(batch: Arguments, like: Tensor) -> Tensor:
    r"""The rows of a batch as vectors, by :func:`flattened`; missing entries are zero.

    Arguments:
        batch: What programs are called with.
        like: A tensor with shape ``(K, n, *)``, whose dtype the rows take.

    Returns:
        A tensor with shape ``(n, m)``.

    Raises:
        ValueError: If no tensor of the batch has as many rows as there are data.
    """
    n = like.shape[1]
    rows = rows_in(batch, n, like.dtype)

    if not rows:
        raise ValueError(
            f"No tensor that the programs are called with has {n} rows, one for each datum of the "
            "batch, so that the critic would not see the data; hand the minibatch to the programs."
        )

    return flattened(rows, like.dtype)
