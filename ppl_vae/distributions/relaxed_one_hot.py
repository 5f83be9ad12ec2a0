r"""The relaxed one-hot distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor

__all__ = ["RelaxedOneHot"]


class RelaxedOneHot(TorchDistribution):
    r"""Probabilities that sum to one, close to a one-hot vector at low temperatures.

    .. math:: y = \operatorname{softmax} \left( \frac{a + g}{\tau} \right)
        \qquad g_c \sim \operatorname{Gumbel}(0, 1)

    The density is with respect to the first :math:`C - 1` elements,

    .. math:: p(y) = \Gamma(C) \, \tau^{C - 1} \prod_{c=1}^C \frac{e^{a_c} y_c^{-\tau - 1}}
        {\sum_k e^{a_k} y_k^{-\tau}} .

    Pyro has it too, but its draws reach zero, where the density has no finite value, and leave the
    simplex by rounding. Here elements more than :math:`87 \tau` below the largest, in units of
    logits and in single precision, are raised to the smallest number that it holds.

    Example:
        >>> p = RelaxedOneHot(torch.tensor(0.5), torch.zeros(3))
        >>> p.log_prob(torch.tensor([0.2, 0.3, 0.5])).exp()
        tensor(0.5860)

    References:
        | The Concrete Distribution (Maddison et al., 2017)
        | https://arxiv.org/abs/1611.00712

    Arguments:
        temperature: The temperature :math:`\tau > 0`, with shape ``(*)``.
        logits: The logits :math:`a`, with shape ``(*, C)``.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "temperature": constraints.positive,
        "logits": constraints.real_vector,
    }
    support = constraints.simplex
    has_rsample = True

    def __init__(
        self, temperature: Tensor, logits: Tensor, validate_args: bool | None = None
    ) -> None:
        batch_shape = torch.broadcast_shapes(temperature.shape, logits.shape[:-1])
        self.temperature = temperature.expand(batch_shape)
        self.logits = logits.expand(batch_shape + logits.shape[-1:])
        super().__init__(batch_shape, logits.shape[-1:], validate_args=validate_args)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))
        tiny = torch.finfo(self.logits.dtype).tiny
        gumbel = -self.logits.new_empty(shape).exponential_().clamp(min=tiny).log()
        y = ((self.logits + gumbel) / self.temperature.unsqueeze(-1)).softmax(-1)
        # Over thousands of categories, rounding alone would leave the simplex.
        return (y / y.sum(-1, keepdim=True)).clamp(min=tiny)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)

        (size,) = self.event_shape
        log = value.clamp(min=torch.finfo(value.dtype).tiny).log()
        scores = (self.logits - self.temperature.unsqueeze(-1) * log).log_softmax(-1)
        scale = math.lgamma(size) + (size - 1) * self.temperature.log()
        return scale + (scores - log).sum(-1)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> RelaxedOneHot:
        shape = torch.Size(batch_shape)
        return RelaxedOneHot(
            self.temperature.expand(shape),
            self.logits.expand(shape + self.event_shape),
            validate_args=False,
        )
