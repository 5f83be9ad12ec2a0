r"""The Laplace prior."""

from __future__ import annotations

import pyro.distributions as dist

from .location_scale import LocationScale

__all__ = ["Laplace"]


class Laplace(LocationScale):
    r"""Independent Laplace elements, which draw codes towards the axes.

    .. math:: p(z) = \prod_i \frac{1}{2 b_i} \exp \left( - \frac{|z_i - \mu_i|}{b_i} \right)

    Example:
        >>> Laplace((8,))().event_shape
        torch.Size([8])

    Arguments:
        event_shape: The shape of one draw.
        learned: Whether :math:`\mu` and :math:`b` are learned, or stay zero and one.
        floor: The smallest scale :math:`b`, if it is learned.
        ceiling: The largest scale :math:`b`, if it is learned.

    Raises:
        ValueError: Unless ``0 < floor < 1 < ceiling``.
    """

    def forward(self) -> dist.TorchDistribution:
        return dist.Laplace(self.loc, self.scale).to_event(len(self.event_shape))
