r"""The validation of an epoch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..svi import SVI
from .row import Row, add
from .seeds import mix

__all__ = ["PIECE", "validate"]

PIECE = 1000
r"""The number of rows that go through the programs at once."""


def validate(svi: SVI, data: Any, *, seed: int, device: torch.device) -> Row:
    r"""The means over the validation split, in nats per datum.

    Arguments:
        svi: The programs and the objective.
        data: The data set, a :class:`ppl_vae.data.Data`.
        seed: The seed of the training.
        device: Where the programs are.
    """
    # One seed for all epochs: differences are those of the parameters, not of the noise.
    torch.manual_seed(mix(seed, -1))
    n = len(data["validation"])
    sums: dict[str, Tensor] = {}

    for rows in torch.arange(n).split(PIECE):
        estimate = svi.evaluate(**data.batch("validation", rows, device=device))
        add(sums, len(rows), loss=estimate.loss / estimate.size, **estimate.metrics)

    return {name: float(total) / n for name, total in sums.items()}
