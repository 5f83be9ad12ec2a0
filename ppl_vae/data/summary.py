r"""What building, loading and reporting need to know of a data set, as plain numbers."""

from __future__ import annotations

__all__ = ["describe", "fingerprint"]

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .binarize import probability
from .scaling import Affine
from .split import Split


def fingerprint(splits: Mapping[str, Split]) -> str:
    r"""SHA-256 over the names, shapes, types and bytes of all sites, as hexadecimal digits.

    Labels are left out: they never reach a likelihood and may be unknown to some users.

    Example:
        >>> fingerprint({"train": Split({"x": torch.zeros(1, 1)})})[:8]
        '334e790a'
    """

    digest = hashlib.sha256()

    for name in sorted(splits):
        for site, x in splits[name].sites.items():
            digest.update(f"{name}/{site}/{tuple(x.shape)}/{x.dtype};".encode())
            digest.update(x.contiguous().numpy().data)

    return digest.hexdigest()


def describe(splits: Mapping[str, Split], scaling: Affine | None, *, grey: bool) -> dict[str, Any]:
    r"""The facts of a data set; volumes in nats per complete datum.

    Arguments:
        splits: The prepared splits.
        scaling: The scaling that they went through.
        grey: Whether the training split holds grey values that are drawn from, in which case
            mean and maximum are those of the draws.

    Example:
        >>> describe({"train": Split({"x": torch.tensor([[1], [4]])})}, None, grey=False)["mean"]
        [2.5]
    """

    x = splits["train"].sites["x"]
    volume = (
        torch.zeros(()) if scaling is None else scaling.log_volume(torch.zeros(1, *x.shape[1:]))
    )
    labelled = next((s.class_names for s in splits.values() if s.class_names), None)

    return {
        "event_shape": list(x.shape[1:]),
        "dtype": str(x.dtype).removeprefix("torch."),
        "counts": {name: len(split) for name, split in splits.items()},
        "hash": fingerprint(splits),
        "log_volume": float(volume) + 0.0,
        "maximum": 1.0
        if grey
        else float(x[~x.isnan()].max() if x.is_floating_point() else x.max()),
        "mean": _digits(_mean(x, grey=grey)),
        "scaling": None if scaling is None else scaling.state(),
        "class_names": None if labelled is None else list(labelled),
    }


def _mean(x: Tensor, *, grey: bool) -> Tensor:
    # by pieces of rows, in float64, so that no copy of the whole set is made
    total = torch.zeros(x.shape[1:], dtype=torch.float64)
    seen = torch.zeros(x.shape[1:], dtype=torch.float64)

    for piece in x.split(10_000):
        y = (probability(piece) if grey else piece).double()
        total += y.nansum(0)
        seen += (~y.isnan()).sum(0)

    return (total / seen.clamp(min=1)).float()


def _digits(x: Tensor) -> list[Any]:
    # nine significant digits give a float32 back exactly
    if x.dim() == 0:
        return float(f"{x.item():.9g}")  # type: ignore[return-value]

    return [_digits(row) for row in x]
