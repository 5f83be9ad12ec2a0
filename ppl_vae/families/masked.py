r"""Families of data with missing entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
from torch import Tensor

from ..distributions.masked_elements import MaskedElements
from .normal import Normal
from .wrapper import Builder, Wrapper

__all__ = ["Masked"]


class Masked(Wrapper):
    r"""Elements of another family, some of which may be missing, which NaN tells.

    .. math:: p_h(y) = \prod_{i \text{ present}} p_{h}(y_i)

    This is the likelihood of the entries that are there, if what is missing does not depend on
    its value. The guide sees which are missing by ``Conditional(..., missing=True)``. Draws are
    complete.

    Example:
        >>> import torch
        >>> p = Masked((3,))(torch.zeros(2, 3))
        >>> p.log_prob(torch.tensor([0.0, torch.nan, torch.nan]))
        tensor(-0.9189)

    References:
        | MIWAE: Deep Generative Modelling and Imputation of Incomplete Data (Mattei & Frellsen,
        | 2019)
        | https://arxiv.org/abs/1812.02633

        | Handling Incomplete Heterogeneous Data using VAEs (Nazabal et al., 2020)
        | https://arxiv.org/abs/1807.03653

    Arguments:
        event_shape: The shape of one draw.
        family: The family of the elements, but for its shape.

    Raises:
        ValueError: If the elements of the family depend on each other.
    """

    def __init__(self, event_shape: Sequence[int], family: Builder = Normal) -> None:
        super().__init__(event_shape, family)

    def forward(self, h: Tensor, **given: Any) -> dist.TorchDistribution:
        r"""
        Arguments:
            h: The unconstrained parameters, with shape ``(*, *param_shape)``.
            given: What else the family takes, such as an exposure.
        """
        _, p = self.elements(h, **given)
        return MaskedElements(p).to_event(len(self.event_shape))
