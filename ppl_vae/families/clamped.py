r"""Families whose values are clamped to bounds."""

from __future__ import annotations

import pyro.distributions as dist

from ..distributions import clamped
from .bounds import Bounds

__all__ = ["Clamped"]


class Clamped(Bounds):
    r"""The law of another family, values beyond a bound told as the bound: censored data.

    .. math::
        p_h(y_i) = \begin{cases}
            P_{h_i}(Y \le a) & y_i = a \\
            p_{h_i}(y_i) & a < y_i < b \\
            P_{h_i}(Y \ge b) & y_i = b
        \end{cases}

    It is a density with respect to Lebesgue measure and a unit mass at each bound, so its
    log-likelihoods stand beside those of the same bounds alone. Normal, Laplace, Huber and
    LogNormal families are exact however far their location is out of the bounds. Draws are not
    reparameterized.

    Example:
        >>> import torch
        >>> from ppl_vae.families import Normal
        >>> family = Clamped((3,), Normal, low=0.0, high=1.0)
        >>> family(torch.zeros(2, 3)).mean
        tensor([0.3156, 0.3156, 0.3156])

    References:
        | Estimation of Relationships for Limited Dependent Variables (Tobin, 1958)
        | https://doi.org/10.2307/1907382

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
        return clamped.Clamped(p, self.low, self.high)
