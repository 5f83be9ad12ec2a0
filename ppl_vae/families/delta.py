r"""The family of points."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..distributions import Implicit
from .base import Family

__all__ = ["Delta"]


class Delta(Family):
    r"""A point, :math:`z = h`: the posterior of a deterministic encoder, without a density.

    It is for objectives that need no density of the guide, such as RAE, WAE and AAE; of
    :math:`\log p(x)` they tell nothing.

    Example:
        >>> import torch
        >>> Delta((3,))(torch.ones(1, 3)).rsample()
        tensor([1., 1., 1.])

    References:
        | From Variational to Deterministic Autoencoders (Ghosh et al., 2020)
        | https://arxiv.org/abs/1903.12436

    Arguments:
        event_shape: The shape of one draw.

    Raises:
        ValueError: If a size in ``event_shape`` is not positive.
    """

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__(event_shape)

    def forward(self, h: Tensor) -> Implicit:
        (z,) = self.unbind(h)
        return Implicit(z, h_dim=len(self.event_shape))

    def at_mean(self, mean: Tensor) -> Tensor:
        return mean.unsqueeze(0)
