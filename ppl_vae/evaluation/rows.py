r"""The rows of a batch that is evaluated piece by piece."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["Rows"]


class Rows:
    r"""Rows of a batch, which go to the device of the programs; the rest may stay where it is.

    Arguments:
        batch: The observed sites by name, or the one tensor of data.
        home: The device of the programs, if they have one.

    Example:
        >>> rows = Rows(torch.arange(4), None)
        >>> len(rows), rows[1:3]
        (4, tensor([1, 2]))
    """

    def __init__(self, batch: Mapping[str, Tensor] | Tensor, home: torch.device | None) -> None:
        self.named = isinstance(batch, Mapping)
        batch = batch if self.named else torch.as_tensor(batch)
        self.sites: dict[str, Tensor] = dict(batch) if self.named else {"": batch}  # type: ignore[dict-item]
        self.home = home

    def __len__(self) -> int:
        return len(next(iter(self.sites.values()))) if self.sites else 0

    def __getitem__(self, part: slice) -> Any:
        chosen = {name: t[part] for name, t in self.sites.items()}
        if self.home is not None:
            chosen = {name: t.to(self.home) for name, t in chosen.items()}

        return chosen if self.named else chosen[""]
