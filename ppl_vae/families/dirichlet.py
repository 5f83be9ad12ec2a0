r"""The Dirichlet family."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor

from .base import Family, check_vector
from .scale import bounded, check_bounds, unbounded

__all__ = ["Dirichlet"]


class Dirichlet(Family):
    r"""Vectors of :math:`d` probabilities that sum to one.

    .. math:: p_h(y) = \frac{\Gamma(\sum_i \alpha_i)}{\prod_i \Gamma(\alpha_i)}
        \prod_i y_i^{\alpha_i - 1}

    a density with respect to the first :math:`d - 1` elements, uniform at :math:`h = 0`.
    Concentrations much below 0.1 put most of their mass where single precision holds no
    numbers, and draws stop short of it: with a floor of 0.02 or less, the mean of importance
    weights is no longer one, and bounds may come out too high.

    Example:
        >>> family = Dirichlet((3,))
        >>> family.param_shape
        torch.Size([1, 3])
        >>> family(torch.zeros(5, 1, 3)).mean[0]
        tensor([0.3333, 0.3333, 0.3333])

    References:
        | Autoencoding Variational Inference for Topic Models (Srivastava & Sutton, 2017)
        | https://arxiv.org/abs/1703.01488

        | Implicit Reparameterization Gradients (Figurnov et al., 2018)
        | https://arxiv.org/abs/1805.08498

    Arguments:
        event_shape: The shape ``(d,)`` of one draw, where :math:`d \geq 2`.
        floor: The smallest concentration :math:`\alpha`.
        ceiling: The largest concentration :math:`\alpha`.

    Raises:
        ValueError: If a draw is not a vector of two elements or more, or the bounds are not
            ``0 < floor < 1 < ceiling``.
    """

    def __init__(
        self, event_shape: Sequence[int], floor: float = 0.1, ceiling: float = 1e3
    ) -> None:
        super().__init__(event_shape)
        check_vector(self, least=2)
        self.floor = floor
        self.ceiling = ceiling
        check_bounds(floor, ceiling)

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        (rho,) = self.unbind(h)
        return dist.Dirichlet(bounded(rho, self.floor, self.ceiling))

    def at_mean(self, mean: Tensor) -> Tensor:
        # Concentrations may differ by no more than the bounds do.
        largest = mean.max().clamp(min=1e-30)
        p = torch.maximum(mean, 4 * self.floor / self.ceiling * largest)
        p = p / p.sum()
        # As near to the uniform distribution's as leaves each concentration within the bounds.
        total = torch.maximum(p.new_tensor(len(p)), 2 * self.floor / p.min())
        total = torch.minimum(total, 0.5 * self.ceiling / p.max())
        return unbounded(total * p, self.floor, self.ceiling).unsqueeze(0)
