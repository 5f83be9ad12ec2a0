r"""Priors of independent elements with a location and a scale."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..families.scale import bounded, check_bounds
from .base import Prior

__all__ = ["LocationScale"]


class LocationScale(Prior):
    r"""A prior whose elements have location zero and scale one, or learned ones.

    To write a new one, subclass it and build the distribution in :meth:`forward` from ``self.loc``
    and ``self.scale``, each with shape ``(*event_shape)``.

    Arguments:
        event_shape: The shape of one draw.
        learned: Whether location and scale are learned, each element its own.
        floor: The smallest scale, if it is learned.
        ceiling: The largest scale, if it is learned.

    Raises:
        ValueError: Unless ``0 < floor < 1 < ceiling``.
    """

    loc: Tensor
    rho: Tensor

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        learned: bool = False,
        floor: float = 1e-3,
        ceiling: float = 1e3,
    ) -> None:
        super().__init__(event_shape)
        self.learned = learned
        self.floor = floor
        self.ceiling = ceiling
        self.hold("loc", torch.zeros(self.event_shape), learned=learned)
        self.hold("rho", torch.zeros(self.event_shape), learned=learned)
        check_bounds(floor, ceiling)

    @property
    def scale(self) -> Tensor:
        r"""The scale, with shape ``(*event_shape)``; exactly one unless it is learned."""
        if not self.learned:
            return torch.ones_like(self.loc)

        return bounded(self.rho, self.floor, self.ceiling)
