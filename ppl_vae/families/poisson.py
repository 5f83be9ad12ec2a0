r"""The family of independent unbounded counts, whose variance is their mean."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor

from ..distributions.poisson import Poisson as Distribution
from .base import Family
from .scale import bounded, check_bounds, unbounded

__all__ = ["Poisson", "exposed"]


class Poisson(Family):
    r"""Independent counts of events, each at a rate.

    .. math:: p_h(y) = \prod_i \frac{(e r_i)^{y_i}}{y_i!} \exp(-e r_i)

    where the exposure :math:`e` of the datum, such as the time of observation or the size of a
    document, multiplies all rates :math:`r_i`; it is 1 if none is given.

    Example:
        >>> family = Poisson((3,))
        >>> p = family(torch.zeros(2, 1, 3), exposure=torch.tensor([1.0, 10.0]))
        >>> p.mean[:, 0]
        tensor([ 1., 10.])

    Arguments:
        event_shape: The shape of one draw.
        floor: The smallest rate, for an exposure of 1.
        ceiling: The largest rate, for an exposure of 1.

    Raises:
        ValueError: Unless ``0 < floor < 1 < ceiling``.
    """

    def __init__(
        self, event_shape: Sequence[int], floor: float = 1e-8, ceiling: float = 1e6
    ) -> None:
        super().__init__(event_shape, features=1)
        self.floor = floor
        self.ceiling = ceiling
        check_bounds(floor, ceiling)

    def forward(self, h: Tensor, exposure: Tensor | None = None) -> dist.TorchDistribution:
        r"""
        Arguments:
            h: The unconstrained parameters, with shape ``(*, *param_shape)``.
            exposure: The exposures, with a shape that broadcasts to ``(*)``; 1 if None.
        """
        (rho,) = self.unbind(h)
        rate = bounded(rho, self.floor, self.ceiling)
        rate = exposed(rate, exposure, len(self.event_shape))
        return Distribution(rate).to_event(len(self.event_shape))

    def at_mean(self, mean: Tensor) -> Tensor:
        return unbounded(mean, self.floor, self.ceiling).unsqueeze(0)


def exposed(rate: Tensor, exposure: Tensor | None, dims: int) -> Tensor:
    r"""Multiplies the rates of each datum by its exposure.

    Without exposure a datum has no counts; its rates are as good as zero then, for at zero itself
    the gradient of the log density is none.

    Arguments:
        rate: The rates, with shape ``(*, *event_shape)``.
        exposure: The exposures, with a shape that broadcasts to ``(*)``; None for 1.
        dims: The number of dimensions of an event.
    """
    if exposure is None:
        return rate

    rate = rate * exposure.reshape(*exposure.shape, *[1] * dims)
    return rate.clamp(min=torch.finfo(rate.dtype).tiny)
