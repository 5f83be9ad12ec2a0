r"""Families of counts with extra zeros."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor

from ..distributions import zero_inflated
from .poisson import Poisson
from .wrapper import Builder, Wrapper

__all__ = ["ZeroInflated"]


class ZeroInflated(Wrapper):
    r"""Counts that another family explains, but for extra zeros, such as of failed detections.

    .. math:: p_h(y) = \prod_i g_i \, 1[y_i = 0] + (1 - g_i) \, p_{h'}(y_i)

    where the first parameter of each element is the logit of the gate :math:`g_i`.

    Example:
        >>> family = ZeroInflated((3,), Poisson)
        >>> family.param_shape
        torch.Size([2, 3])

    References:
        | Deep Generative Modeling for Single-Cell Transcriptomics (Lopez et al., 2018)
        | https://doi.org/10.1038/s41592-018-0229-2

    Arguments:
        event_shape: The shape of one draw.
        family: The family of the counts, but for its shape.

    Raises:
        ValueError: If the elements of the family depend on each other, are no counts, or cannot
            be zero.
    """

    def __init__(self, event_shape: Sequence[int], family: Builder = Poisson) -> None:
        super().__init__(event_shape, family, features=1)
        support: Any = self.example().support

        if not support.is_discrete or not bool(support.check(torch.zeros(self.event_shape)).all()):
            raise ValueError(
                "ZeroInflated needs a family of counts, zero among them, such as Poisson, got "
                f"{type(self.family).__name__}; for real numbers take Clamped, which has a point "
                "mass at a bound."
            )

    def forward(self, h: Tensor, **given: Any) -> dist.TorchDistribution:
        r"""
        Arguments:
            h: The unconstrained parameters, with shape ``(*, *param_shape)``.
            given: What else the family takes, such as an exposure.
        """
        (logits,), p = self.elements(h, **given)
        inflated = zero_inflated.ZeroInflated(p, gate_logits=logits)
        return inflated.to_event(len(self.event_shape))

    def at_mean(self, mean: Tensor) -> Tensor:
        # With a gate of 5 %: at one half, all elements would start at twice their rate.
        logit = torch.full((), -3.0, dtype=mean.dtype, device=mean.device)
        h = super().at_mean(mean / (-logit).sigmoid())
        h[0] = logit
        return h
