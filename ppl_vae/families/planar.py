r"""The family of planar flows."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor

from .base import Family, check_vector
from .flow import FlowDistribution
from .flows.layers import Layers
from .flows.planar_layer import PlanarLayer
from .scale import bounded, check_bounds

__all__ = ["Planar"]


class Planar(Family):
    r"""A normal base pushed through planar maps, whose parameters come per datum.

    .. math::
        \epsilon & \sim \mathcal{N}(\mu, \operatorname{diag} \sigma^2) \\
        y & = f_L \circ \dots \circ f_1(\epsilon) \quad
        f_l(x) = x + \hat{u}_l \tanh(w_l^\top x + b_l)

    where :math:`h = (\mu, \rho, (u_l, w_l, b_l)_{l=1}^L)`. At :math:`h = 0` it is the standard
    normal. Drawing takes one pass, and a draw keeps its log density; scoring any other point
    solves one scalar equation for each map, exactly up to rounding.

    Example:
        >>> family = Planar((3,), transforms=2)
        >>> family.param_shape
        torch.Size([20])
        >>> q = family(torch.zeros(5, 20))
        >>> q.log_prob(q.rsample()).shape
        torch.Size([5])

    References:
        | Variational Inference with Normalizing Flows (Rezende & Mohamed, 2015)
        | https://arxiv.org/abs/1505.05770

    Arguments:
        event_shape: The shape ``(d,)`` of one draw.
        transforms: The number :math:`L` of maps.
        floor: The smallest scale of the base.
        ceiling: The largest scale of the base.

    Raises:
        ValueError: If a draw is not a vector, there is no map, or the bounds are not
            ``0 < floor < 1 < ceiling``.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        transforms: int = 4,
        floor: float = 1e-4,
        ceiling: float = 1e3,
    ) -> None:
        super().__init__(event_shape)

        if transforms < 1:
            raise ValueError(f"Planar needs one transform or more, got {transforms}.")

        d = check_vector(self)
        self.sizes = [d, d, *[d, d, 1] * transforms]
        self.param_shape = torch.Size([sum(self.sizes)])
        self.floor = floor
        self.ceiling = ceiling
        check_bounds(floor, ceiling)

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        loc, rho, *rest = h.split(self.sizes, dim=-1)
        base = dist.Normal(loc, bounded(rho, self.floor, self.ceiling)).to_event(1)
        parts = zip(rest[::3], rest[1::3], rest[2::3], strict=True)
        return FlowDistribution(base, Layers([PlanarLayer(u, w, b[..., 0]) for u, w, b in parts]))

    def at_mean(self, mean: Tensor) -> Tensor:
        h = super().at_mean(mean)
        h[: len(mean)] = mean
        return h
