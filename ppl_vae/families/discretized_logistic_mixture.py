r"""The family of pictures of discretized logistic mixtures."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor

from ..distributions import discretized_logistic_mixture as discretized
from .base import Family
from .discretized_logistic import location_of
from .scale import bounded, check_bounds

__all__ = ["DiscretizedLogisticMixture"]


class DiscretizedLogisticMixture(Family):
    r"""Pictures of integer levels: each pixel is a mixture, the channels of which are tied.

    .. math:: p_h(y) = \prod_i \sum_{k=1}^K \pi_{ik} \prod_{c=1}^C
        \operatorname{DiscretizedLogistic}(y_{ic} \mid m_{ikc}, s_{ikc})

    The location :math:`m_{ikc}` of a channel depends linearly on the channels before it, with
    coefficients between -1 and 1; see
    :class:`ppl_vae.distributions.discretized_logistic_mixture.DiscretizedLogisticMixture`. Units
    are those of :class:`DiscretizedLogistic`. For each pixel, :math:`h` holds the :math:`K` logits,
    then the locations and scales, component by component, and the coefficients.

    Example:
        >>> family = DiscretizedLogisticMixture((3, 8, 8), components=5)
        >>> family.param_shape
        torch.Size([50, 8, 8])
        >>> family(torch.zeros(7, 50, 8, 8)).event_shape
        torch.Size([3, 8, 8])

    References:
        | PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other
        | Modifications (Salimans et al., 2017)
        | https://arxiv.org/abs/1701.05517

    Arguments:
        event_shape: The shape ``(C, *rest)`` of one draw, channels first.
        components: The number :math:`K` of components.
        levels: The number of levels.
        floor: The smallest scale, in units of half the range.
        ceiling: The largest scale, in units of half the range.

    Raises:
        ValueError: If a draw has fewer than two dimensions, there is no component, there are
            fewer than two levels, or the bounds are not ``0 < floor < 1 < ceiling``.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        components: int = 10,
        levels: int = 256,
        floor: float = 1e-3,
        ceiling: float = 1e3,
    ) -> None:
        super().__init__(event_shape)

        if len(self.event_shape) < 2:
            raise ValueError(
                "DiscretizedLogisticMixture is over pictures with their channels first, got "
                f"event_shape {tuple(self.event_shape)}; give it two dimensions or more, such as "
                "(3, 32, 32), or take DiscretizedLogistic."
            )
        if components < 1:
            raise ValueError(
                f"DiscretizedLogisticMixture needs one component or more, got {components}."
            )
        if levels < 2:
            raise ValueError(f"DiscretizedLogisticMixture needs two levels or more, got {levels}.")

        C, *rest = self.event_shape
        self.components = components
        self.levels = levels
        self.floor = floor
        self.ceiling = ceiling
        self.sizes = (components, components * C, components * C, components * C * (C - 1) // 2)
        self.param_shape = torch.Size([sum(self.sizes), *rest])
        check_bounds(floor, ceiling)

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        pixels = len(self.event_shape) - 1
        # The parameters of a pixel go last.
        logits, *others = h.movedim(-1 - pixels, -1).split(self.sizes, -1)
        loc, rho, coefficients = (t.unflatten(-1, (self.components, -1)) for t in others)
        half = (self.levels - 1) / 2
        return discretized.DiscretizedLogisticMixture(
            logits,
            half + half * loc,
            half * bounded(rho, self.floor, self.ceiling),
            coefficients.tanh(),
            self.levels,
            pixels,
        )

    def at_mean(self, mean: Tensor) -> Tensor:
        # All components at the mean, with coefficients of zero; the network tells them apart.
        h = super().at_mean(mean)
        scale = bounded(torch.zeros_like(mean), self.floor, self.ceiling)
        loc = location_of(mean, scale, self.levels)
        h[self.components : self.components + self.sizes[1]] = loc.repeat(
            self.components, *[1] * (len(self.event_shape) - 1)
        )
        return h
