r"""The family of independent elements with a normal centre and exponential tails."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
from torch import Tensor

from ..distributions.huber import Huber as Distribution
from .base import Family
from .positive import Choice, Positive

__all__ = ["Huber"]


class Huber(Family):
    r"""Independent elements whose negative log density is the Huber loss, made a likelihood.

    .. math:: p_h(y) = \prod_i \frac{1}{\sigma_i Z(\beta)} \exp \left( - \rho_\beta \left(
        \frac{y_i - \mu_i}{\sigma_i} \right) \right)

    where :math:`\rho_\beta` is quadratic within :math:`\pm \beta` and linear beyond; see
    :class:`ppl_vae.distributions.Huber`.

    Example:
        >>> import torch
        >>> family = Huber((3,), scale="shared")
        >>> family(torch.zeros(5, 1, 3)).event_shape
        torch.Size([3])

    References:
        | Robust Estimation of a Location Parameter (Huber, 1964)
        | https://doi.org/10.1214/aoms/1177703732

    Arguments:
        event_shape: The shape of one draw.
        beta: Where the tails begin, in units of the scale.
        scale: ``"element"``: a scale for each element, from :math:`h`; ``"shared"``: one learned
            scale for all elements and data; a number: that scale, fixed.
        floor: The smallest scale (``"element"`` and ``"shared"``).
        ceiling: The largest scale (``"element"`` and ``"shared"``).

    Raises:
        ValueError: If ``beta`` is not in (0, 100], a fixed scale not positive and finite, or the
            bounds not ``0 < floor < 1 < ceiling``.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        beta: float = 1.0,
        scale: Choice = 1.0,
        floor: float = 1e-4,
        ceiling: float = 1e3,
    ) -> None:
        super().__init__(event_shape, features=2 if scale == "element" else 1)

        if not 0 < beta <= 100:
            raise ValueError(
                f"The beta of Huber must be positive and at most 100, where the tails have gone: "
                f"got {beta}; a larger one is a Normal."
            )

        self.beta = beta
        self.scale = Positive("The scale of Huber", scale, floor, ceiling)

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        loc, *rest = self.unbind(h)
        p = Distribution(loc, self.scale(rest, loc), self.beta)
        return p.to_event(len(self.event_shape))

    def at_mean(self, mean: Tensor) -> Tensor:
        h = super().at_mean(mean)
        h[0] = mean
        return h
