r"""The family of functions of noise."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..distributions import Implicit as Law
from ..networks import mlp
from .base import Family

__all__ = ["Implicit"]


class Implicit(Family):
    r"""A network of noise: posteriors of any shape, but without a density.

    .. math:: z = g(h, \epsilon) \qquad \epsilon \sim \mathcal{N}(0, I_m)

    The network :math:`g` belongs to the family, and is trained. It is for objectives that need no
    density of the guide, such as AVB and AAE; of :math:`\log p(x)` they tell nothing.

    Example:
        >>> import torch
        >>> family = Implicit((3,))
        >>> family.param_shape, family(torch.zeros(5, 64)).rsample().shape
        (torch.Size([64]), torch.Size([5, 3]))

    References:
        | Adversarial Variational Bayes (Mescheder et al., 2017)
        | https://arxiv.org/abs/1701.04722

    Arguments:
        event_shape: The shape of one draw.
        noise: The number :math:`m` of elements of the noise.
        features: The number of elements of :math:`h`.
        hidden: The widths of the hidden layers of :math:`g`, a multi-layer perceptron.

    Raises:
        ValueError: If a size is not positive.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        noise: int = 16,
        features: int = 64,
        hidden: Sequence[int] = (64, 64),
    ) -> None:
        super().__init__(event_shape)

        if noise < 1 or features < 1:
            raise ValueError(
                f"Implicit needs positive sizes, got noise={noise} and features={features}."
            )

        self.noise = noise
        self.param_shape = torch.Size([features])
        self.net = mlp(hidden)([features + noise], [self.event_shape.numel()])

    def forward(self, h: Tensor) -> Law:
        return Law(h, self.push, self.noise, self.event_shape)

    def push(self, h: Tensor, noise: Tensor) -> Tensor:
        r"""The function :math:`g`, of leading dimensions of any number."""
        both = torch.cat([h, noise], dim=-1)
        z: Tensor = self.net(both.flatten(0, -2) if both.ndim > 1 else both.unsqueeze(0))
        # Under autocast networks compute in bfloat16; codes need more.
        return z.to(h.dtype).reshape(both.shape[:-1] + self.event_shape)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, noise={self.noise}, features={self.param_shape.numel()}"
