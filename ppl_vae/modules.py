r"""The modules behind programs, which may be modules, methods of modules, or plain functions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from .restoring import restoring

__all__ = ["evaluating", "home_of", "modules_of", "preserving"]

Program = Callable[..., Any]


def modules_of(*programs: Program | nn.Module | None) -> list[nn.Module]:
    r"""The modules that programs are, or are methods of, each once.

    Example:
        >>> layer = nn.Linear(2, 3)
        >>> modules_of(layer, layer.forward, print)
        [Linear(in_features=2, out_features=3, bias=True)]
    """
    owners = [getattr(program, "__self__", program) for program in programs]
    return list(dict.fromkeys(owner for owner in owners if isinstance(owner, nn.Module)))


def home_of(*programs: Program | None) -> torch.device | None:
    r"""The device of the programs' parameters; None where there are none, or several devices.

    Example:
        >>> home_of(nn.Linear(2, 3), print)
        device(type='cpu')
    """
    devices = {p.device for module in modules_of(*programs) for p in module.parameters()}
    return next(iter(devices)) if len(devices) == 1 else None


@contextmanager
def evaluating(*programs: Program) -> Iterator[None]:
    r"""Within it, modules are in evaluation mode and there are no gradients."""
    flags = [(m, m.training) for root in modules_of(*programs) for m in root.modules()]

    try:
        for module, _ in flags:
            module.training = False
        with torch.no_grad():
            yield
    finally:
        for module, training in flags:
            module.training = training


@contextmanager
def preserving(*programs: Program | None) -> Iterator[None]:
    r"""After it, random states and buffers (running means) are as before it."""
    modules = modules_of(*programs)
    buffers = [buffer for module in modules for buffer in module.buffers()]
    devices = [parameter.device for module in modules for parameter in module.parameters()]

    with restoring(buffers, devices):
        yield
