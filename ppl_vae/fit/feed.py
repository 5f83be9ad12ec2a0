r"""The rows of a training on the device, and the order in which an epoch takes them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..device import fits

__all__ = ["Feed", "chunks", "place"]


class Feed:
    r"""Makes batches of data that live on the device; it is captured with the step.

    Arguments:
        data: The data set.
        sites: The stored rows of its training split by site, on the device.
    """

    def __init__(self, data: Any, sites: dict[str, Tensor]) -> None:
        self.data = data
        # In tuples, which staging does not look into: they are data, and nothing changes them.
        self.sites = tuple(sites.items())

    def __call__(self, rows: Tensor) -> dict[str, Tensor]:
        sites = {name: t.index_select(0, rows) for name, t in self.sites}
        return {**self.data.draw(sites), "index": rows}


def place(data: Any, split: str, device: torch.device) -> Feed | None:
    r"""A feed of a split whose rows, as they are stored, fit on the device; else None."""
    sites = dict(data[split].sites)
    if not fits(sum(t.nbytes for t in sites.values()), device):
        return None

    return Feed(data, {name: t.to(device) for name, t in sites.items()})


def chunks(order: Tensor, size: int, *, position: int = 0, several: int = 1) -> list[Tensor]:
    r"""The rows of the steps that are taken together, each with shape ``(S, B)``.

    Example:
        >>> chunks(torch.arange(5), 2, several=2)
        [tensor([[0, 1],
                [2, 3]]), tensor([[4]])]

    Arguments:
        order: The rows of an epoch in their order, with shape ``(n,)``.
        size: The number of rows of a minibatch; the last may be shorter.
        position: The number of steps that are done already.
        several: The number of steps that may be taken together.
    """
    whole = order[: len(order) - len(order) % size].view(-1, size)
    rest = order[whole.numel() :].unsqueeze(0)
    left = list(whole[position:].split(several)) if position < len(whole) else []
    return left + [rest] * (rest.numel() > 0 and position <= len(whole))
