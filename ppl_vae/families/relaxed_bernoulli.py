r"""The family of independent, relaxed binary elements."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
from torch import Tensor

from ..distributions.relaxed_bernoulli import RelaxedBernoulli as Distribution
from .base import Family
from .temperature import Temperature

__all__ = ["RelaxedBernoulli"]


class RelaxedBernoulli(Family):
    r"""Independent elements between zero and one, close to binary at low temperatures.

    .. math:: y_i = \sigma \left( \frac{h_i + \ell_i}{\tau} \right)
        \qquad \ell_i \sim \operatorname{Logistic}(0, 1)

    A reparameterized stand-in for :class:`~ppl_vae.families.Bernoulli` as a posterior, also
    called binary Concrete. The bound is that of a model whose prior is over :math:`(0, 1)` too,
    such as ``FamilyPrior`` of this family. The temperature is that of
    :class:`~ppl_vae.families.temperature.Temperature`.

    Example:
        >>> import torch
        >>> family = RelaxedBernoulli((3,))
        >>> family(torch.zeros(5, 1, 3)).rsample().shape
        torch.Size([5, 3])

    References:
        | The Concrete Distribution (Maddison et al., 2017)
        | https://arxiv.org/abs/1611.00712

        | Categorical Reparameterization with Gumbel-Softmax (Jang et al., 2017)
        | https://arxiv.org/abs/1611.01144

    Arguments:
        event_shape: The shape of one draw.
        temperature: The temperature :math:`\tau`, at the start.
        final: The temperature at the end of its fall; it stays constant if None.
        steps: The number of training passes of the fall.

    Raises:
        ValueError: If a temperature is not positive and finite, or ``steps`` is not positive.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        temperature: float = 0.5,
        final: float | None = None,
        steps: int = 10000,
    ) -> None:
        super().__init__(event_shape)
        self.temperature = Temperature(temperature, final, steps)

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        (logits,) = self.unbind(h)
        return Distribution(self.temperature(h), logits).to_event(len(self.event_shape))
