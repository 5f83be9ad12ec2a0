r"""The continuous Bernoulli distribution, exact at all logits.

The one of torch clamps probabilities and cuts a neighbourhood of one half out of its formulas: in
single precision its densities stop at 16, and are off by up to 1e-4 near the cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.kl import register_kl

from .numerics.cut_exponential import apart, log_normalizer, mean_of, variance_of

__all__ = ["ContinuousBernoulli", "logits_of_mean"]


class ContinuousBernoulli(TorchDistribution):
    r"""An exponential distribution, rising or falling, cut to :math:`[0, 1]`.

    .. math:: p(y) = \frac{l}{e^l - 1} e^{l y} \quad y \in [0, 1]

    Example:
        >>> import torch
        >>> p = ContinuousBernoulli(torch.tensor([-3.0, 0.0, 3.0]))
        >>> p.mean
        tensor([0.2809, 0.5000, 0.7191])

    References:
        | The Continuous Bernoulli (Loaiza-Ganem & Cunningham, 2019)
        | https://arxiv.org/abs/1907.06845

    Arguments:
        logits: The logit :math:`l`.
        validate_args: Whether arguments and values are checked.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {"logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, logits: Tensor, validate_args: bool | None = None) -> None:
        self.logits = logits
        super().__init__(logits.shape, validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> ContinuousBernoulli:
        new: ContinuousBernoulli = self._get_checked_instance(ContinuousBernoulli, _instance)
        new.logits = self.logits.expand(torch.Size(batch_shape))
        super(ContinuousBernoulli, new).__init__(new.logits.shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def _rising(self) -> Tensor:
        return self.logits > 0

    @property
    def _slope(self) -> Tensor:
        # Not abs(), whose gradient at zero is zero.
        return torch.where(self._rising, self.logits, -self.logits)

    @property
    def mean(self) -> Tensor:
        c = mean_of(self._slope)
        return torch.where(self._rising, 1 - c, c)

    @property
    def variance(self) -> Tensor:
        return variance_of(self._slope)

    def entropy(self) -> Tensor:
        return log_normalizer(self._slope) + self._slope * mean_of(self._slope)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)

        # From the end where the density is highest, so that large logits do not cancel.
        distance = torch.where(self._rising, value - 1, value)
        return self.logits * distance - log_normalizer(self._slope)

    def cdf(self, value: Tensor) -> Tensor:
        t = torch.where(self._rising, 1 - value, value)
        small, a = apart(self._slope, 1e-4)
        flat = t * (1 + self._slope * (1 - t) / 2 * (1 + self._slope * (1 - 2 * t) / 6))
        share = torch.where(small, flat, (-a * t).expm1() / (-a).expm1())
        return torch.where(self._rising, 1 - share, share)

    def icdf(self, value: Tensor) -> Tensor:
        t = torch.where(self._rising, 1 - value, value)
        small, a = apart(self._slope, 0.02)
        # Nearly uniform, it is the series of cumulants of a Bernoulli variable.
        s, v = -torch.where(small, self._slope, 0.0), t * (1 - t)
        k3, k4, k5 = 1 - 2 * t, 1 - 6 * v, (1 - 2 * t) * (1 - 12 * v)
        flat = t + v * s * (1 / 2 + s * (k3 / 6 + s * (k4 / 24 + s * k5 / 120)))
        y = torch.where(small, flat, -(t * (-a).expm1()).log1p() / a).clamp(0, 1)
        return torch.where(self._rising, 1 - y, y)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))
        return self.icdf(torch.rand(shape, dtype=self.logits.dtype, device=self.logits.device))


def logits_of_mean(mean: Tensor) -> Tensor:
    r"""Returns the logits of given means, the inverse of :attr:`ContinuousBernoulli.mean`.

    Newton's method; its start is right to five hundredths, so six steps reach double precision.

    Example:
        >>> import torch
        >>> logits_of_mean(torch.tensor([0.1, 0.5, 0.9]))
        tensor([-9.9954,  0.0000,  9.9954])

    Arguments:
        mean: The means, between 0 and 1.
    """
    low = mean.minimum(1 - mean)
    x = 1 - 2 * low
    a = 2 * x * (3 - x**2) / (1 - x**2)

    for _ in range(6):
        a = a + (mean_of(a) - low) / variance_of(a)

    return a * (mean - 0.5).sign()


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _kl(p: ContinuousBernoulli, q: ContinuousBernoulli) -> Tensor:
    # E_p of log p - log q, whose terms are linear in y.
    y = p.mean
    ahead = p.logits * torch.where(p._rising, y - 1, y) - log_normalizer(p._slope)
    back = q.logits * torch.where(q._rising, y - 1, y) - log_normalizer(q._slope)
    return ahead - back
