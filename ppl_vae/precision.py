r"""The precision of matrix products."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal, get_args

import torch

__all__ = ["Precision", "check_precision", "products", "programs"]

Precision = Literal["float32", "tf32", "bf16"]
r"""What ``precision`` may be."""


def check_precision(precision: str, device: torch.device | None = None) -> None:
    r"""Raises a ValueError if there is no such precision, or not on the device."""
    known = get_args(Precision)
    if precision not in known:
        raise ValueError(f"precision is one of {', '.join(known)}, got {precision!r}.")
    if precision == "tf32" and device is not None and device.type != "cuda":
        raise ValueError(
            f"precision 'tf32' is for CUDA devices, not for {device.type}; "
            "take 'float32' or 'bf16'."
        )


def programs(precision: str, device: torch.device) -> AbstractContextManager[Any]:
    r"""The context that programs run in: networks in bfloat16 under ``"bf16"``.

    Parameters, densities and sums stay in float32.
    """
    if precision != "bf16":
        return nullcontext()

    # Casts of parameters are part of the program, not kept beside it: graphs could not see them.
    return torch.autocast(device.type, dtype=torch.bfloat16, cache_enabled=False)


@contextmanager
def products(precision: str) -> Iterator[None]:
    r"""Within it, products of float32 matrices take TensorFloat-32 under ``"tf32"``."""
    if precision != "tf32":
        yield
        return

    settings: list[Any] = [torch.backends.cuda.matmul, torch.backends.cudnn.conv]  # type: ignore[attr-defined]
    before = [setting.fp32_precision for setting in settings]

    try:
        for setting in settings:
            setting.fp32_precision = "tf32"
        yield
    finally:
        for setting, value in zip(settings, before, strict=True):
            setting.fp32_precision = value
