r"""The logistic normal family."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor

from ..distributions.additive_logistic import AdditiveLogistic
from .base import Family, check_vector
from .scale import bounded, check_bounds

__all__ = ["LogisticNormal"]


class LogisticNormal(Family):
    r"""Vectors of :math:`d` probabilities that sum to one, whose logarithms are normal.

    .. math:: y = \operatorname{softmax}(x_1, \dots, x_{d-1}, 0)
        \qquad x_i \sim \mathcal{N}(\mu_i, \sigma_i^2)

    The density is with respect to the first :math:`d - 1` elements. Reparameterized without
    approximation, and close to a Dirichlet distribution for suitable parameters.

    Example:
        >>> family = LogisticNormal((3,))
        >>> family.param_shape
        torch.Size([2, 2])
        >>> family(torch.zeros(5, 2, 2)).event_shape
        torch.Size([3])

    References:
        | Logistic-Normal Distributions: Some Properties and Uses (Aitchison & Shen, 1980)
        | https://doi.org/10.1093/biomet/67.2.261

        | Autoencoding Variational Inference for Topic Models (Srivastava & Sutton, 2017)
        | https://arxiv.org/abs/1703.01488

    Arguments:
        event_shape: The shape ``(d,)`` of one draw, where :math:`d \geq 2`.
        floor: The smallest scale :math:`\sigma`.
        ceiling: The largest scale :math:`\sigma`.

    Raises:
        ValueError: If a draw is not a vector of two elements or more, or the bounds are not
            ``0 < floor < 1 < ceiling``.
    """

    def __init__(
        self, event_shape: Sequence[int], floor: float = 1e-4, ceiling: float = 1e3
    ) -> None:
        super().__init__(event_shape)
        self.param_shape = torch.Size([2, check_vector(self, least=2) - 1])
        self.floor = floor
        self.ceiling = ceiling
        check_bounds(floor, ceiling)

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        loc, rho = self.unbind(h)
        normal = dist.Normal(loc, bounded(rho, self.floor, self.ceiling)).to_event(1)
        return dist.TransformedDistribution(normal, [AdditiveLogistic()])

    def at_mean(self, mean: Tensor) -> Tensor:
        h = super().at_mean(mean)
        # The point whose coordinates are the medians of x; the mean has no closed form.
        h[0] = AdditiveLogistic().inv(mean.clamp(min=1e-6))
        return h
