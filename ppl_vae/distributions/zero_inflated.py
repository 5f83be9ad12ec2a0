r"""Counts with more zeros than their law explains."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["ZeroInflated"]


class ZeroInflated(dist.ZeroInflatedDistribution):
    r"""Pyro's ``ZeroInflatedDistribution`` of a gate's logit, with a density stable at all logits.

    .. math:: p(y) = g \, 1[y = 0] + (1 - g) \, p_0(y)

    Pyro's cancels at large logits, and takes another, less stable, formula once it has been
    drawn from.

    Example:
        >>> p = ZeroInflated(dist.Poisson(torch.tensor(2.0)), gate_logits=torch.tensor(-1.0))
        >>> p.log_prob(torch.tensor([0.0, 1.0])).exp()
        tensor([0.3679, 0.1979])

    Arguments:
        base_dist: The law of single counts.
        gate_logits: The logit of the probability :math:`g` of an extra zero.
    """

    def __init__(
        self,
        base_dist: dist.TorchDistribution,
        *,
        gate_logits: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(base_dist, gate_logits=gate_logits, validate_args=validate_args)

    @property
    def gate(self) -> Tensor:
        r"""The probability :math:`g`, computed anew each time, lest the graph changes by a look."""
        return self.gate_logits.sigmoid()

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)

        log_prob = F.logsigmoid(-self.gate_logits) + self.base_dist.log_prob(value)
        zero = torch.logaddexp(F.logsigmoid(self.gate_logits), log_prob)
        return torch.where(value == 0, zero, log_prob)

    def expand(self, batch_shape: Any, _instance: Any = None) -> ZeroInflated:
        shape = torch.Size(batch_shape)
        new = ZeroInflated(
            self.base_dist.expand(shape),
            gate_logits=self.gate_logits.expand(shape),
            validate_args=False,
        )
        new._validate_args = self._validate_args
        return new
