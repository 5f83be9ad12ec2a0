r"""Any prior, shifted and scaled."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import constraints

from ..families.scale import bounded, unbounded
from .base import Prior
from .standard_normal import StandardNormal

__all__ = ["Shifted"]


class Shifted(Prior):
    r"""The distribution of :math:`z = a + b z'` for draws :math:`z'` of another prior.

    .. math:: p(z) = p' \left( \frac{z - a}{b} \right) \prod_i b_i^{-1}

    Example:
        >>> prior = Shifted((8,), shift=3.0, scale=0.5)
        >>> prior().sample((1000,)).mean().round()
        tensor(3.)

    Arguments:
        event_shape: The shape of one draw.
        prior: The prior of :math:`z'` but for its shape, over real numbers.
        shift: The shift :math:`a`, at the start if it is learned.
        scale: The scale :math:`b`, at the start if it is learned.
        learned: Whether each element learns its own :math:`a` and :math:`b`.
        floor: The smallest scale, if it is learned.
        ceiling: The largest scale, if it is learned.

    Raises:
        ValueError: If the shift is not finite, the scale is not positive and finite, the bounds
            are not ``0 < floor < 1 < ceiling`` or do not hold the scale, or the prior is not over
            real numbers.
    """

    shift: Tensor
    rho: Tensor

    def __init__(
        self,
        event_shape: Sequence[int],
        prior: Callable[[Sequence[int]], Prior] = StandardNormal,
        shift: float = 0.0,
        scale: float = 1.0,
        *,
        learned: bool = False,
        floor: float = 1e-3,
        ceiling: float = 1e3,
    ) -> None:
        super().__init__(event_shape)

        if not (math.isfinite(shift) and 0 < scale < math.inf):
            raise ValueError(
                "Shifted needs a finite shift and a positive, finite scale, got "
                f"shift={shift} and scale={scale}."
            )
        if learned and not floor < scale < ceiling:
            raise ValueError(
                f"The scale of Shifted is learned between {floor} and {ceiling}, and cannot start "
                f"at {scale}; move the bounds or the scale."
            )

        self.prior = prior(self.event_shape)
        self.learned = learned
        self.floor = floor
        self.ceiling = ceiling
        start = torch.full(self.event_shape, float(scale))
        self.hold("shift", torch.full(self.event_shape, float(shift)), learned=learned)
        rho = unbounded(start, floor, ceiling)
        self.hold("rho", rho if learned else start, learned=learned)

    def attach(self, posterior: Any = None, data: Tensor | None = None) -> Prior:
        self.prior.attach(posterior, data)
        return self

    def forward(self) -> dist.TorchDistribution:
        p = self.prior()

        if not _real(p.support):
            raise ValueError(
                f"Shifted needs a prior over real numbers, but {type(self.prior).__name__} is over "
                f"{p.support}, which shifted draws would leave; take one such as StandardNormal."
            )

        scale = bounded(self.rho, self.floor, self.ceiling) if self.learned else self.rho
        affine = dist.transforms.AffineTransform(self.shift, scale, len(self.event_shape))
        return dist.TransformedDistribution(p, [affine])


def _real(support: Any) -> bool:
    while hasattr(support, "base_constraint"):  # of independent elements, or of a mixture
        support = support.base_constraint
    return support is constraints.real
