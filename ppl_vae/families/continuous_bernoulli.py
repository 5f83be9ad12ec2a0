r"""The family of independent elements between 0 and 1, exponential between these ends."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
from torch import Tensor

from ..distributions.continuous_bernoulli import ContinuousBernoulli as Distribution
from ..distributions.continuous_bernoulli import logits_of_mean
from .base import Family

__all__ = ["ContinuousBernoulli"]


class ContinuousBernoulli(Family):
    r"""Independent elements in :math:`[0, 1]`, such as grey pixels.

    .. math:: p_h(y) = \prod_i \frac{h_i}{e^{h_i} - 1} e^{h_i y_i} \quad y_i \in [0, 1]

    What the cross-entropy of grey pixels lacks to be a likelihood is its normalizer, which this
    family has.

    Example:
        >>> import torch
        >>> ContinuousBernoulli((1, 8, 8))(torch.zeros(5, 1, 1, 8, 8)).event_shape
        torch.Size([1, 8, 8])

    References:
        | The Continuous Bernoulli (Loaiza-Ganem & Cunningham, 2019)
        | https://arxiv.org/abs/1907.06845

    Arguments:
        event_shape: The shape of one draw.
    """

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__(event_shape, features=1)

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        (logits,) = self.unbind(h)
        return Distribution(logits).to_event(len(self.event_shape))

    def at_mean(self, mean: Tensor) -> Tensor:
        return logits_of_mean(mean.clamp(1e-3, 1 - 1e-3)).unsqueeze(0)
