r"""The family of independent elements with heavy tails."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
from torch import Tensor

from .base import Family
from .positive import Choice, Positive
from .scale import bounded, check_bounds

__all__ = ["StudentT"]


class StudentT(Family):
    r"""Independent elements of Student's t distribution, whose tails are power laws.

    .. math:: p_h(y) = \prod_i \frac{\Gamma(\frac{\nu + 1}{2})}{\Gamma(\frac{\nu}{2})
        \sqrt{\pi \nu} \, \sigma_i} \left( 1 + \frac{(y_i - \mu_i)^2}{\nu \sigma_i^2}
        \right)^{- \frac{\nu + 1}{2}}

    The mean is :math:`\mu` where :math:`\nu > 1`; with :math:`\nu \leq 1` there is none. Learned
    degrees of freedom start at 5 and stay between 1.1 and 201.

    Example:
        >>> import torch
        >>> StudentT((3,), df=4.0)(torch.zeros(5, 2, 3)).event_shape
        torch.Size([3])

    References:
        | The Probable Error of a Mean (Student, 1908)
        | https://doi.org/10.2307/2331554

        | Student-t Variational Autoencoder for Robust Density Estimation (Takahashi et al., 2018)
        | https://doi.org/10.24963/ijcai.2018/374

    Arguments:
        event_shape: The shape of one draw.
        df: The degrees of freedom :math:`\nu`. ``"element"``: for each element, from :math:`h`;
            ``"shared"``: one learned number; a number: that one, fixed.
        floor: The smallest scale :math:`\sigma`.
        ceiling: The largest scale :math:`\sigma`.

    Raises:
        ValueError: If fixed degrees of freedom are not positive and finite, or the bounds are not
            ``0 < floor < 1 < ceiling``.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        df: Choice = "shared",
        floor: float = 1e-4,
        ceiling: float = 1e3,
    ) -> None:
        super().__init__(event_shape, features=3 if df == "element" else 2)
        self.floor = floor
        self.ceiling = ceiling
        check_bounds(floor, ceiling)
        # From 1 + 4 / 40 to 1 + 4 * 50, and 5 at zero.
        self.df = Positive("The df of StudentT", df, 1 / 40, 50.0, start=5.0, least=1.0)

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        loc, rho, *rest = self.unbind(h)
        scale = bounded(rho, self.floor, self.ceiling)
        return dist.StudentT(self.df(rest, loc), loc, scale).to_event(len(self.event_shape))

    def at_mean(self, mean: Tensor) -> Tensor:
        h = super().at_mean(mean)
        h[0] = mean
        return h
