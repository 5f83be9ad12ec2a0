r"""Storing sites in the smallest type that holds them exactly, or as float32."""

from __future__ import annotations

__all__ = ["compact"]

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from .split import Split


def compact(splits: Mapping[str, Split]) -> dict[str, Split]:
    r"""Stores each site in the smallest of uint8, int32 and float32 that holds all its splits.

    Whole numbers in 0..255 become uint8 whatever their type was: the cast back is exact.

    Example:
        >>> splits = compact({"train": Split({"x": torch.tensor([[0.0], [16.0]])})})
        >>> splits["train"].sites["x"].dtype
        torch.uint8
    """

    names = next(iter(splits.values())).sites
    dtypes = {k: _smallest([split.sites[k] for split in splits.values()]) for k in names}

    return {
        name: Split(
            {k: _cast(v, dtypes[k]) for k, v in split.sites.items()},
            split.labels,
            split.class_names,
        )
        for name, split in splits.items()
    }


def _smallest(tensors: Sequence[Tensor]) -> torch.dtype:
    if all(x.dtype in (torch.uint8, torch.bool) for x in tensors):
        return torch.uint8

    if any(x.is_floating_point() and bool((x != x.round()).any()) for x in tensors):
        return torch.float32  # NaN differs from itself and ends up here too

    low = min(float(x.min()) for x in tensors)
    high = max(float(x.max()) for x in tensors)

    if low >= 0 and high <= 255:
        return torch.uint8

    integers = not any(x.is_floating_point() for x in tensors)

    return torch.int32 if integers and max(-low, high) < 2**31 else torch.float32


def _cast(x: Tensor, dtype: torch.dtype) -> Tensor:
    y = x.to(dtype).contiguous()

    if dtype == torch.float32 and y.isinf().any():
        raise ValueError("the data holds values beyond the range of float32: scale them down.")

    return y
