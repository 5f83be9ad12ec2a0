r"""The family of independent unbounded counts, whose variance exceeds their mean."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
from torch import Tensor

from ..distributions.negative_binomial import NegativeBinomial as Distribution
from .base import Family
from .poisson import exposed
from .positive import Choice, Positive
from .scale import bounded, check_bounds, unbounded

__all__ = ["NegativeBinomial"]


class NegativeBinomial(Family):
    r"""Independent counts at rates that vary by themselves, such as those of genes in cells.

    .. math::
        \lambda_i & \sim \mathrm{Gamma}(\theta_i, \theta_i / e r_i) \\
        y_i & \sim \mathrm{Poisson}(\lambda_i)

    The mean is :math:`\mu_i = e r_i`, the exposure :math:`e` of the datum times a rate, and the
    variance :math:`\mu_i + \mu_i^2 / \theta_i` with the inverse dispersion :math:`\theta`: the
    larger it is, the closer are the counts to Poisson's.

    Example:
        >>> import torch
        >>> family = NegativeBinomial((3,), concentration=2.0)
        >>> p = family(torch.zeros(2, 1, 3), exposure=torch.tensor([1.0, 10.0]))
        >>> p.mean[:, 0], p.variance[:, 0]
        (tensor([ 1., 10.]), tensor([ 1.5000, 60.0000]))

    References:
        | Deep Generative Modeling for Single-cell Transcriptomics (Lopez et al., 2018)
        | https://doi.org/10.1038/s41592-018-0229-2

    Arguments:
        event_shape: The shape of one draw.
        concentration: The concentration, or inverse dispersion, :math:`\theta`. ``"element"``:
            from :math:`h`, for each element of each datum; ``"shared"``: one learned number for
            each element, the same for all data, as genes have; a number: that one, fixed. Learned
            ones start at 1.
        floor: The smallest rate, for an exposure of 1.
        ceiling: The largest rate, for an exposure of 1.
        concentration_floor: The smallest learned concentration.
        concentration_ceiling: The largest learned concentration.

    Raises:
        ValueError: If a fixed concentration is not positive and finite, or bounds are not
            ``0 < floor < 1 < ceiling``.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        concentration: Choice = "shared",
        floor: float = 1e-8,
        ceiling: float = 1e6,
        concentration_floor: float = 1e-3,
        concentration_ceiling: float = 1e3,
    ) -> None:
        super().__init__(event_shape, features=2 if concentration == "element" else 1)
        self.floor = floor
        self.ceiling = ceiling
        check_bounds(floor, ceiling)
        name, bounds = (
            "The concentration of NegativeBinomial",
            (concentration_floor, concentration_ceiling),
        )
        self.concentration = Positive(name, concentration, *bounds, shape=self.event_shape)

    def forward(self, h: Tensor, exposure: Tensor | None = None) -> dist.TorchDistribution:
        r"""
        Arguments:
            h: The unconstrained parameters, with shape ``(*, *param_shape)``.
            exposure: The exposures, with a shape that broadcasts to ``(*)``; 1 if None.
        """
        rho, *rest = self.unbind(h)
        theta = self.concentration(rest, rho)
        mean = exposed(bounded(rho, self.floor, self.ceiling), exposure, len(self.event_shape))
        return Distribution(mean, theta).to_event(len(self.event_shape))

    def at_mean(self, mean: Tensor) -> Tensor:
        h = super().at_mean(mean)
        h[0] = unbounded(mean, self.floor, self.ceiling)
        return h
