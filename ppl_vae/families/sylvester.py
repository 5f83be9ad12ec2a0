r"""The family of Sylvester flows."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor

from .base import Family, check_vector
from .flow import FlowDistribution
from .flows.layers import SLOPE, Layers
from .flows.sylvester_layer import SylvesterLayer
from .scale import bounded, check_bounds

__all__ = ["Sylvester"]


class Sylvester(Family):
    r"""A normal base pushed through Sylvester maps, whose parameters come per datum.

    .. math::
        \epsilon & \sim \mathcal{N}(\mu, \operatorname{diag} \sigma^2) \\
        y & = f_L \circ \dots \circ f_1(\epsilon) \quad
        f_l(x) = x + Q_l R_l \tanh(\tilde{R}_l Q_l^\top x + b_l)

    A Sylvester map moves points in all directions, where a planar one moves them in one. This is
    the variant with Householder reflections. Drawing takes one pass, and a draw keeps its log
    density; scoring any other point solves one scalar equation for each map and element, exactly
    up to rounding. At :math:`h = 0` the matrices are zero, and it is the standard normal.

    Example:
        >>> family = Sylvester((3,), transforms=2, reflections=2)
        >>> family.param_shape
        torch.Size([48])
        >>> q = family(torch.zeros(5, 48))
        >>> q.log_prob(q.rsample()).shape
        torch.Size([5])

    References:
        | Sylvester Normalizing Flows for Variational Inference (van den Berg et al., 2018)
        | https://arxiv.org/abs/1803.05649

    Arguments:
        event_shape: The shape ``(d,)`` of one draw.
        transforms: The number :math:`L` of maps.
        reflections: The number of reflections in each :math:`Q_l`.
        floor: The smallest scale of the base.
        ceiling: The largest scale of the base.

    Raises:
        ValueError: If a draw is not a vector, there is no map or no reflection, or the bounds are
            not ``0 < floor < 1 < ceiling``.
    """

    above: Tensor
    axes: Tensor

    def __init__(
        self,
        event_shape: Sequence[int],
        transforms: int = 4,
        reflections: int = 4,
        floor: float = 1e-4,
        ceiling: float = 1e3,
    ) -> None:
        super().__init__(event_shape)

        if transforms < 1 or reflections < 1:
            raise ValueError(
                "Sylvester needs one transform and one reflection or more, got "
                f"transforms={transforms} and reflections={reflections}."
            )

        d = check_vector(self)
        corner = d * (d - 1) // 2
        self.layer_sizes = [reflections * d, d, corner, d, corner, d]
        self.sizes = [d, d, *[sum(self.layer_sizes)] * transforms]
        self.param_shape = torch.Size([sum(self.sizes)])
        self.floor = floor
        self.ceiling = ceiling
        check_bounds(floor, ceiling)
        self.register_buffer("above", torch.triu_indices(d, d, 1), persistent=False)
        # Where the normals start: along the axes, lest they have length zero at h = 0.
        axes = torch.eye(d)[torch.arange(reflections) % d]
        self.register_buffer("axes", axes, persistent=False)

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        loc, rho, *rest = h.split(self.sizes, dim=-1)
        base = dist.Normal(loc, bounded(rho, self.floor, self.ceiling)).to_event(1)
        return FlowDistribution(base, Layers([self._layer(part) for part in rest]))

    def at_mean(self, mean: Tensor) -> Tensor:
        h = super().at_mean(mean)
        h[: len(mean)] = mean
        return h

    def _layer(self, h: Tensor) -> SylvesterLayer:
        normals, diagonal, corner, inner_diagonal, inner_corner, b = h.split(
            self.layer_sizes, dim=-1
        )
        return SylvesterLayer(
            normals.unflatten(-1, self.axes.shape) + self.axes,
            self._upper(diagonal, corner),
            self._upper(inner_diagonal, inner_corner),
            b,
        )

    def _upper(self, diagonal: Tensor, corner: Tensor) -> Tensor:
        matrix = torch.diag_embed((1 - SLOPE) ** 0.5 * diagonal.tanh())
        i, j = self.above
        matrix[..., i, j] = corner
        return matrix
