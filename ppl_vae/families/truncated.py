r"""Families restricted to an interval."""

from __future__ import annotations

import pyro.distributions as dist

from ..distributions import truncated
from .bounds import Bounds

__all__ = ["Truncated"]


class Truncated(Bounds):
    r"""The law of another family, given that each element lies between two bounds.

    .. math:: p_h(y) = \prod_i \frac{p_{h_i}(y_i)}{P_{h_i}(a \le Y \le b)} \quad a \le y_i \le b

    Draws are reparameterized, for families that know their ``icdf``. Normal, Laplace, Huber and
    LogNormal families are exact however far their location is out of the bounds.

    Example:
        >>> import torch
        >>> from ppl_vae.families import Normal
        >>> family = Truncated((3,), Normal, low=0.0, high=1.0)
        >>> family(torch.zeros(2, 3)).mean
        tensor([0.4599, 0.4599, 0.4599])

    Arguments:
        event_shape: The shape of one draw.
        family: The family of the elements, but for its shape, which knows its ``cdf``.
        low: The lower bound :math:`a`, a number or minus infinity.
        high: The upper bound :math:`b`, a number or infinity.

    Raises:
        ValueError: If the elements of the family depend on each other, or do not know their
            ``cdf`` and its gradient, or the bounds are not in order, both infinite, or off the
            support.
    """

    def bounded(self, p: dist.TorchDistribution) -> dist.TorchDistribution:
        return truncated.Truncated(p, self.low, self.high)
