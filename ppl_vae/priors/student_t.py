r"""The prior of Student's t."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pyro.distributions as dist
import torch

from .location_scale import LocationScale

__all__ = ["StudentT"]


class StudentT(LocationScale):
    r"""Independent elements of Student's t, whose heavy tails let codes of outliers be far away.

    .. math:: p(z) \propto \prod_i \left( 1 + \frac{(z_i - \mu_i)^2}{\nu \sigma_i^2}
        \right)^{-\frac{\nu + 1}{2}}

    Example:
        >>> StudentT((8,), df=3)().event_shape
        torch.Size([8])

    Arguments:
        event_shape: The shape of one draw.
        df: The degrees of freedom :math:`\nu`.
        learned: Whether :math:`\mu` and :math:`\sigma` are learned, or stay zero and one.
        floor: The smallest scale :math:`\sigma`, if it is learned.
        ceiling: The largest scale :math:`\sigma`, if it is learned.

    Raises:
        ValueError: If the degrees of freedom are not positive and finite, or the bounds are not
            ``0 < floor < 1 < ceiling``.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        df: float = 5.0,
        *,
        learned: bool = False,
        floor: float = 1e-3,
        ceiling: float = 1e3,
    ) -> None:
        super().__init__(event_shape, learned=learned, floor=floor, ceiling=ceiling)

        if not 0 < df < math.inf:
            raise ValueError(f"The df of StudentT must be positive and finite, got {df}.")

        self.df = df

    def forward(self) -> dist.TorchDistribution:
        df = torch.full_like(self.loc, self.df)
        return dist.StudentT(df, self.loc, self.scale).to_event(len(self.event_shape))
