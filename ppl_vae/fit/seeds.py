r"""The seeds and random states of a training."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["get_states", "mix", "set_states"]


def mix(seed: int, epoch: int) -> int:
    r"""The seed of an epoch; that of the validations is of epoch -1."""
    return (seed * 1_000_003 + (epoch + 1) * 7919 * 2) % 2**62


def get_states(device: torch.device) -> dict[str, Tensor]:
    r"""The states of torch's generators of the CPU and of the device."""
    states = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)

    return states


def set_states(states: dict[str, Tensor], device: torch.device) -> None:
    r"""Puts back what :func:`get_states` returned."""
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda":
        torch.cuda.set_rng_state(states["cuda"], device)
