r"""The negative binomial distribution by its mean, exact for large counts."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.utils import broadcast_all

from .numerics.saddle import deviance, log_ratio, stirling_error

__all__ = ["NegativeBinomial"]


class NegativeBinomial(TorchDistribution):
    r"""A Poisson count whose rate has a gamma distribution.

    .. math:: p(y) = \frac{\Gamma(y + \theta)}{\Gamma(\theta) \, y!}
        \left( \frac{\theta}{\theta + \mu} \right)^\theta \left( \frac{\mu}{\theta + \mu} \right)^y

    It is computed from deviances and errors of Stirling's formula,

    .. math:: \log p(y) = D(\theta + y, \theta + \mu) - D(y, \mu) + \delta(\theta + y)
        - \delta(\theta) - \delta(y) + \frac{1}{2} \log \frac{\theta}{2 \pi y (\theta + y)}

    see :mod:`ppl_vae.distributions.numerics.saddle`.

    Example:
        >>> import torch
        >>> p = NegativeBinomial(torch.tensor([1.0, 10.0]), torch.tensor(2.0))
        >>> p.variance
        tensor([ 1.5000, 60.0000])

    Arguments:
        rate: The mean :math:`\mu`.
        concentration: The inverse dispersion :math:`\theta`; the variance is
            :math:`\mu + \mu^2 / \theta`.
        validate_args: Whether arguments and values are checked.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "rate": constraints.positive,
        "concentration": constraints.positive,
    }
    support = constraints.nonnegative_integer

    def __init__(
        self, rate: Tensor, concentration: Tensor | float, validate_args: bool | None = None
    ) -> None:
        self.rate, self.concentration = broadcast_all(rate, concentration)
        super().__init__(self.rate.shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> NegativeBinomial:
        new: NegativeBinomial = self._get_checked_instance(NegativeBinomial, _instance)
        shape = torch.Size(batch_shape)
        new.rate, new.concentration = self.rate.expand(shape), self.concentration.expand(shape)
        super(NegativeBinomial, new).__init__(shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def mean(self) -> Tensor:
        return self.rate

    @property
    def variance(self) -> Tensor:
        return self.rate + self.rate**2 / self.concentration

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)

        value = value.to(self.rate.dtype)
        theta, y = self.concentration, torch.where(value > 0, value, 1.0)
        many = (
            self._deviances(y)
            + (stirling_error(theta + y) - stirling_error(theta) - stirling_error(y))
            + (theta.log() - (2 * math.pi * y).log() - (theta + y).log()) / 2
        )
        return torch.where(value > 0, many, -theta * (self.rate / theta).log1p())

    def _deviances(self, y: Tensor) -> Tensor:
        theta, mean = self.concentration, self.rate
        total, means = theta + y, theta + mean
        # The difference of the two cancels far from the mean, where its parts are large.
        close = deviance(total, means) - deviance(y, mean)
        large = mean > theta
        growth = (theta / torch.where(large, mean, 1.0)).log1p()
        growth = torch.where(large, growth, means.log() - mean.log())
        apart = y * ((theta / y).log1p() - growth) + theta * log_ratio(total, means)
        return torch.where((y - mean).abs() < theta, close, apart)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))

        with torch.no_grad():
            theta = self.concentration.expand(shape)
            return torch.poisson(torch._standard_gamma(theta) / theta * self.rate)
