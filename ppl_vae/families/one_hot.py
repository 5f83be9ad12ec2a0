r"""The family of independent one-hot vectors."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
from torch import Tensor

from ..distributions.one_hot_categorical import OneHotCategorical
from .base import Family

__all__ = ["OneHot", "check_categories"]


class OneHot(Family):
    r"""Independent one-hot vectors along the last dimension, each one of :math:`C` categories.

    .. math:: p_h(y) = \prod_i \prod_{c=1}^C \operatorname{softmax}(h_i)_c^{y_{ic}}

    Draws are not reparameterized; as a posterior, it needs an objective with a score-function
    gradient. :class:`~ppl_vae.families.RelaxedOneHot` is its relaxation, and
    :class:`~ppl_vae.families.Categorical` the same law over integers.

    Example:
        >>> import torch
        >>> family = OneHot((2, 3))
        >>> family.param_shape
        torch.Size([1, 2, 3])
        >>> family(torch.zeros(5, 1, 2, 3)).sample().sum(-1)[0]
        tensor([1., 1.])

    Arguments:
        event_shape: The shape ``(*, C)`` of one draw, where :math:`C \geq 2`.

    Raises:
        ValueError: If a draw has no dimension, or there are fewer than two categories.
    """

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__(event_shape)
        check_categories(self)

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        (logits,) = self.unbind(h)
        return OneHotCategorical(logits=logits).to_event(len(self.event_shape) - 1)

    def at_mean(self, mean: Tensor) -> Tensor:
        return mean.clamp(min=1e-6).log().unsqueeze(0)


def check_categories(family: Family) -> int:
    r"""Returns the number :math:`C` of categories along the last dimension of a draw.

    Raises:
        ValueError: If a draw has no dimension, or there are fewer than two categories.
    """
    name, shape = type(family).__name__, tuple(family.event_shape)

    if not shape:
        raise ValueError(
            f"{name} is over vectors, got event_shape (); give it the number of categories as its "
            "last dimension, such as (8,)."
        )
    if shape[-1] < 2:
        raise ValueError(
            f"The last dimension of {name} is that of the categories; it needs 2 elements or more, "
            f"got event_shape {shape}."
        )

    return int(shape[-1])
