r"""The relaxed Bernoulli distribution."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor

from .numerics import ends

__all__ = ["RelaxedBernoulli"]


class RelaxedBernoulli(TorchDistribution):
    r"""A number between zero and one, close to either at low temperatures.

    .. math:: \operatorname{logit} y = \frac{a + \ell}{\tau}
        \qquad \ell \sim \operatorname{Logistic}(0, 1)

    Pyro has it too, but bounds the probabilities of what it draws, not those of the density, which
    is without a finite value from :math:`a = 89` on in single precision. Here both are of the same
    law for all logits. At the ends, closer to zero or one than numbers are told apart, all draws
    are one number, whose density is the mean one there: see
    :mod:`~ppl_vae.distributions.numerics.ends`.

    Example:
        >>> p = RelaxedBernoulli(torch.tensor(0.5), torch.tensor([-1e6, 0.0, 1e6]))
        >>> p.log_prob(torch.tensor(0.5))
        tensor([-1.0000e+06, -6.9315e-01, -1.0000e+06])

    References:
        | The Concrete Distribution (Maddison et al., 2017)
        | https://arxiv.org/abs/1611.00712

    Arguments:
        temperature: The temperature :math:`\tau > 0`, with shape ``(*)``.
        logits: The logits :math:`a`, with shape ``(*)``.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "temperature": constraints.positive,
        "logits": constraints.real,
    }
    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self, temperature: Tensor, logits: Tensor, validate_args: bool | None = None
    ) -> None:
        self.temperature, self.logits = torch.broadcast_tensors(temperature, logits)
        super().__init__(self.logits.shape, validate_args=validate_args)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))
        info = torch.finfo(self.logits.dtype)
        # A logistic number is the difference of two Gumbel ones: precise in both tails.
        e, f = self.logits.new_empty(2, *shape).exponential_().clamp(min=info.tiny).log()
        logit = (self.logits + e - f) / self.temperature
        return ends.draw(logit, *self._log_ends(logit.dtype))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)

        return ends.log_density(value, self._log_inside, *self._log_ends(value.dtype))

    def _log_inside(self, value: Tensor) -> Tensor:
        log, other = value.log(), (-value).log1p()
        difference = self.logits - self.temperature * (log - other)
        # log of tau e^u / (1 + e^u)^2, the same for u and -u.
        density = -difference.abs() - 2 * F.softplus(-difference.abs())
        return self.temperature.log() + density - log - other

    def _log_ends(self, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        first, last = ends.logits(dtype)
        below = F.logsigmoid(self.temperature * first - self.logits)
        return below, F.logsigmoid(self.logits - self.temperature * last)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> RelaxedBernoulli:
        new = self._get_checked_instance(RelaxedBernoulli, _instance)
        shape = torch.Size(batch_shape)
        new.temperature, new.logits = self.temperature.expand(shape), self.logits.expand(shape)
        super(RelaxedBernoulli, new).__init__(shape, validate_args=False)
        new._validate_args = self._validate_args
        return new
