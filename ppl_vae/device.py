r"""Devices."""

from __future__ import annotations

import torch

__all__ = ["fits", "pick_device"]


def pick_device(name: str = "auto") -> torch.device:
    r"""Returns a device by name; ``"auto"`` is CUDA if there is one, else MPS, else the CPU.

    Example:
        >>> pick_device("cpu")
        device(type='cpu')

    Raises:
        ValueError: If there is no such device here.
    """
    available = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }

    if name == "auto":
        name = next(kind for kind, there in available.items() if there)

    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"There is no device {name!r}; take auto, cuda, mps or cpu.") from None

    if not available.get(device.type, False):
        there = [kind for kind, there in available.items() if there]
        raise ValueError(
            f"Device {name!r} is not available here; take auto, or {', '.join(there)}."
        )

    return device


def fits(size: int, device: torch.device) -> bool:
    r"""Whether data of a size in bytes may live on the device, with half its memory left free."""
    if device.type != "cuda":
        return True

    free, _ = torch.cuda.mem_get_info(device)
    return size < free / 2
