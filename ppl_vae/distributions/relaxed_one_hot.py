r"""The relaxed one-hot distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor

from .numerics.ends import ends

__all__ = ["RelaxedOneHot"]


class RelaxedOneHot(TorchDistribution):
    r"""Probabilities that sum to one, close to a one-hot vector at low temperatures.

    .. math:: y = \operatorname{softmax} \left( \frac{a + g}{\tau} \right)
        \qquad g_c \sim \operatorname{Gumbel}(0, 1)

    The density is with respect to the first :math:`C - 1` elements,

    .. math:: p(y) = \Gamma(C) \, \tau^{C - 1} \prod_{c=1}^C \frac{e^{a_c} y_c^{-\tau - 1}}
        {\sum_k e^{a_k} y_k^{-\tau}} .

    Pyro has it too, but its draws reach zero, where the density has no finite value, and leave the
    simplex by rounding. Here all elements up to :math:`\ell = 2^{-103}` (in double precision,
    :math:`2^{-970}`) count as one cell, to which :math:`71 \tau` in units of logits below the
    largest lead. Draws are set to :math:`\ell` there, and the density is the mean one over the
    cells of these elements: integrals of the above are in closed form,

    .. math:: p(y) = \Gamma(n) \, \tau^{n - 1} \ell^{n - C} \, \prod_{c : y_c > \ell}
        \frac{e^{a_c} y_c^{-\tau - 1}}{\sum_k e^{a_k} \max(y_k, \ell)^{-\tau}}

    where :math:`n` elements are above :math:`\ell`. What that means for the ratios of densities,
    and for gradients with respect to logits, :mod:`~ppl_vae.distributions.numerics.ends` tells.

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
        log = ((self.logits + gumbel) / self.temperature.unsqueeze(-1)).log_softmax(-1)
        # Over thousands of categories, rounding alone would leave the simplex.
        y = log.exp() / log.exp().sum(-1, keepdim=True)
        low, _ = ends(y.dtype)
        rate = (-self._jump(y.detach().clamp(min=low))).exp().detach()
        return torch.where(y > low, y, low + low * rate * (log - log.detach()))

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)

        low, _ = ends(value.dtype)
        above = value > low
        log = value.clamp(min=low).log()
        n = above.sum(-1).to(value.dtype)
        scale = n.lgamma() + (n - 1) * self.temperature.log()
        # Zero in value, as in `ends`.
        moved = (value.detach() - value) / low * self._jump(value)
        terms = torch.where(above, self._scores(log) - log, moved - math.log(low))
        return scale + terms.sum(-1)

    def _scores(self, log: Tensor) -> Tensor:
        return (self.logits - self.temperature.unsqueeze(-1) * log).log_softmax(-1)

    def _jump(self, value: Tensor) -> Tensor:
        # By how much the log density jumps where an element enters its cell.
        low, _ = ends(value.dtype)
        n = (value > low).sum(-1, keepdim=True).to(value.dtype)
        scores = self._scores(value.clamp(min=low).log())
        return -scores - (n * self.temperature.unsqueeze(-1)).log()

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> RelaxedOneHot:
        new = self._get_checked_instance(RelaxedOneHot, _instance)
        shape = torch.Size(batch_shape)
        new.temperature = self.temperature.expand(shape)
        new.logits = self.logits.expand(shape + self.event_shape)
        super(RelaxedOneHot, new).__init__(shape, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new
