r"""The family of independent, relaxed one-hot vectors."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
from torch import Tensor

from ..distributions.relaxed_one_hot import RelaxedOneHot as Distribution
from .base import Family
from .one_hot import check_categories
from .temperature import Temperature

__all__ = ["RelaxedOneHot"]


class RelaxedOneHot(Family):
    r"""Independent vectors of the simplex along the last dimension, close to one-hot ones.

    .. math:: y_i = \operatorname{softmax} \left( \frac{h_i + g_i}{\tau} \right)
        \qquad g_{ic} \sim \operatorname{Gumbel}(0, 1)

    A reparameterized stand-in for :class:`~ppl_vae.families.OneHot` as a posterior, also called
    Concrete or Gumbel-softmax. The bound is that of a model whose prior is over the simplex too,
    such as ``FamilyPrior`` of this family. The temperature is that of
    :class:`~ppl_vae.families.temperature.Temperature`.

    Example:
        >>> import torch
        >>> family = RelaxedOneHot((2, 3))
        >>> family(torch.zeros(5, 1, 2, 3)).rsample().shape
        torch.Size([5, 2, 3])

    References:
        | The Concrete Distribution (Maddison et al., 2017)
        | https://arxiv.org/abs/1611.00712

        | Categorical Reparameterization with Gumbel-Softmax (Jang et al., 2017)
        | https://arxiv.org/abs/1611.01144

    Arguments:
        event_shape: The shape ``(*, C)`` of one draw, where :math:`C \geq 2`.
        temperature: The temperature :math:`\tau`, at the start.
        final: The temperature at the end of its fall; it stays constant if None.
        steps: The number of training passes of the fall.

    Raises:
        ValueError: If a draw has no dimension, there are fewer than two categories, a temperature
            is not positive and finite, or ``steps`` is not positive.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        temperature: float = 0.5,
        final: float | None = None,
        steps: int = 10000,
    ) -> None:
        super().__init__(event_shape)
        check_categories(self)
        self.temperature = Temperature(temperature, final, steps)

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        (logits,) = self.unbind(h)
        distribution = Distribution(self.temperature(h), logits)
        return distribution.to_event(len(self.event_shape) - 1)
