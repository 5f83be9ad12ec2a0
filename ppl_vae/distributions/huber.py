r"""The distribution whose negative log density is the Huber loss."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.utils import broadcast_all

__all__ = ["Huber"]


class Huber(TorchDistribution):
    r"""A normal centre with exponential tails.

    .. math::
        p(y) & = \frac{1}{\sigma Z} e^{-\rho(u)} \quad u = \frac{y - \mu}{\sigma} \\
        \rho(u) & = \begin{cases} u^2 / 2 \beta & |u| \leq \beta \\
            |u| - \beta / 2 & |u| > \beta \end{cases} \\
        Z & = \sqrt{2 \pi \beta} \operatorname{erf} \sqrt{\beta / 2} + 2 e^{-\beta / 2}

    It tends to the Laplace distribution as :math:`\beta \to 0`, and to the normal one of variance
    :math:`\beta \sigma^2` as :math:`\beta` grows.

    Example:
        >>> import torch
        >>> p = Huber(torch.zeros(5), 1.0, beta=0.5)
        >>> p.log_prob(p.rsample()).shape
        torch.Size([5])

    References:
        | Robust Estimation of a Location Parameter (Huber, 1964)
        | https://doi.org/10.1214/aoms/1177703732

    Arguments:
        loc: The mean and median :math:`\mu`.
        scale: The scale :math:`\sigma`: far out the log density falls by one in each scale.
        beta: Where the tails begin, in units of the scale.
        validate_args: Whether arguments and values are checked.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": constraints.real,
        "scale": constraints.positive,
        "beta": constraints.positive,
    }
    support = constraints.real
    has_rsample = True

    def __init__(
        self,
        loc: Tensor | float,
        scale: Tensor | float,
        beta: Tensor | float = 1.0,
        validate_args: bool | None = None,
    ) -> None:
        self.loc, self.scale, self.beta = broadcast_all(loc, scale, beta)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Huber:
        new: Huber = self._get_checked_instance(Huber, _instance)
        shape = torch.Size(batch_shape)
        new.loc, new.scale, new.beta = (t.expand(shape) for t in (self.loc, self.scale, self.beta))
        super(Huber, new).__init__(shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def _parts(self) -> tuple[Tensor, Tensor]:
        # The mass of the centre and of one tail, before they are divided by Z.
        centre = (2 * math.pi * self.beta).sqrt() * (self.beta / 2).sqrt().erf()
        return centre, (-self.beta / 2).exp()

    @property
    def _normalizer(self) -> Tensor:
        centre, tail = self._parts
        return centre + 2 * tail

    @property
    def mean(self) -> Tensor:
        return self.loc

    @property
    def variance(self) -> Tensor:
        centre, tail = self._parts
        spread = self.beta * centre + 4 * (1 + self.beta) * tail
        return self.scale**2 * spread / self._normalizer

    def entropy(self) -> Tensor:
        centre, tail = self._parts
        Z = self._normalizer
        return self.scale.log() + Z.log() + (centre / 2 + 2 * tail) / Z

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)

        distance = ((value - self.loc) / self.scale).abs()
        inner = distance.minimum(self.beta)
        loss = inner**2 / (2 * self.beta) + (distance - inner)
        return -loss - self._normalizer.log() - self.scale.log()

    def cdf(self, value: Tensor) -> Tensor:
        u = (value - self.loc) / self.scale
        # Not abs(), whose gradient at zero is zero.
        distance = torch.where(u > 0, u, -u)
        outer = (self.beta / 2 - distance.maximum(self.beta)).exp() / self._normalizer
        inner = 0.5 - (distance.minimum(self.beta) / (2 * self.beta).sqrt()).erf() * (
            (math.pi * self.beta / 2).sqrt() / self._normalizer
        )
        # The mass beyond the distance, on one side.
        beyond = torch.where(distance > self.beta, outer, inner)
        return torch.where(u > 0, 1 - beyond, beyond)

    def icdf(self, value: Tensor) -> Tensor:
        _, tail = self._parts
        Z = self._normalizer
        beyond = value.minimum(1 - value)
        # Each formula only sees the numbers that it is for, so that no gradient is NaN.
        in_tail = beyond * Z < tail
        outer = self.beta / 2 - (torch.where(in_tail, beyond, tail / Z) * Z).log()
        centred = torch.where(in_tail, 0.0, (1 - 2 * value).abs())
        inner = (2 * self.beta).sqrt() * (centred * Z / (2 * math.pi * self.beta).sqrt()).erfinv()
        u = torch.where(in_tail, outer, inner)
        return self.loc + self.scale * torch.where(value < 0.5, -u, u)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))
        uniform = torch.rand(shape, dtype=self.loc.dtype, device=self.loc.device)
        return self.icdf(uniform.clamp(min=torch.finfo(uniform.dtype).tiny))
