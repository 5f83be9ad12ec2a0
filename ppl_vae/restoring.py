r"""Runs that leave no trace."""

from __future__ import annotations

import random
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.distributions import Distribution

__all__ = ["keeping_checks", "restoring", "shared_within"]


@contextmanager
def restoring(tensors: Iterable[Tensor], devices: Iterable[torch.device] = ()) -> Iterator[None]:
    r"""After it, random states and tensors are as before it.

    Example:
        >>> x = torch.zeros(2)
        >>> with restoring([x]):
        ...     x += torch.rand(2)
        >>> x
        tensor([0., 0.])

    Arguments:
        tensors: The tensors.
        devices: Devices whose random states are meant, besides those of the tensors. The states
            of the CPU, of :mod:`random` and of NumPy, if it is loaded, always are.
    """
    tensors = list(tensors)
    # Nothing can be written into a tensor that shows one number in several places.
    old = {t: t.detach().clone() for t in tensors if not shared_within(t)}
    used = {t.device for t in tensors}.union(devices)
    python, numpy = random.getstate(), sys.modules.get("numpy")
    arrays = None if numpy is None else numpy.random.get_state()

    with torch.random.fork_rng(devices=[device for device in used if device.type == "cuda"]):
        try:
            yield
        finally:
            random.setstate(python)
            if numpy is not None:
                numpy.random.set_state(arrays)
            with torch.no_grad():
                for t, value in old.items():
                    t.copy_(value)


@contextmanager
def keeping_checks() -> Iterator[None]:
    r"""After it, torch checks the arguments and values of distributions if it did before it.

    Example:
        >>> with keeping_checks():
        ...     import zuko  # turns them off for the whole process as it is loaded
        >>> Distribution._validate_args
        True
    """
    before = Distribution._validate_args

    try:
        yield
    finally:
        Distribution.set_default_validate_args(before)


def shared_within(t: Tensor) -> bool:
    r"""Whether a tensor shows one number in several places, as an expanded one does.

    Example:
        >>> shared_within(torch.zeros(1, 2).expand(3, 2)), shared_within(torch.zeros(3, 2))
        (True, False)
    """
    return any(stride == 0 and size > 1 for size, stride in zip(t.shape, t.stride(), strict=True))
