r"""The autoregressive prior."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
import torch
import torch.nn.functional as F
from torch import Tensor

from ..distributions.autoregressive import Autoregressive as Vector
from ..families.scale import bounded, check_bounds
from ..restoring import keeping_checks
from .base import Prior

__all__ = ["Autoregressive"]


class Autoregressive(Prior):
    r"""A prior whose elements follow each other, each a mixture of normal distributions.

    .. math:: p(z) = \prod_{i=1}^d \sum_{k=1}^C \pi_k(z_{<i}) \,
        \mathcal{N}(z_i \mid \mu_k(z_{<i}), \sigma_k^2(z_{<i}))

    One masked network computes all conditionals: it scores a code in one pass, and draws one in
    :math:`d` passes.

    Example:
        >>> Autoregressive((8,), components=3)().event_shape
        torch.Size([8])

    References:
        | MADE: Masked Autoencoder for Distribution Estimation (Germain et al., 2015)
        | https://arxiv.org/abs/1502.03509

    Arguments:
        event_shape: The shape ``(d,)`` of one draw.
        components: The number :math:`C` of components of each conditional.
        hidden: The widths of the hidden layers.
        floor: The smallest scale :math:`\sigma`.
        ceiling: The largest scale :math:`\sigma`.

    Raises:
        ValueError: If a draw is not a vector, there is no component, a width is not positive, or
            the bounds are not ``0 < floor < 1 < ceiling``.
    """

    start: Tensor

    def __init__(
        self,
        event_shape: Sequence[int],
        components: int = 5,
        hidden: Sequence[int] = (64, 64),
        floor: float = 1e-3,
        ceiling: float = 1e3,
    ) -> None:
        super().__init__(event_shape)

        if len(self.event_shape) != 1:
            raise ValueError(
                f"Autoregressive is over vectors, got event_shape {tuple(self.event_shape)}; "
                "give it one dimension, such as (8,)."
            )
        if components < 1 or any(width < 1 for width in hidden):
            raise ValueError(
                "Autoregressive needs one component or more and positive widths, got "
                f"components={components}, hidden={list(hidden)}."
            )

        with keeping_checks():
            import zuko  # heavy, and needed here only

        (d,) = self.event_shape
        self.components = components
        self.floor = floor
        self.ceiling = ceiling
        check_bounds(floor, ceiling)
        self.hold("start", torch.zeros(self.event_shape))
        # The network sees (1, z_1, ..., z_{d-1}): element i depends on the first i of these.
        seen = torch.ones(d, d, dtype=torch.bool).tril().repeat_interleave(3 * components, dim=0)
        self.net: Any = zuko.nn.MaskedMLP(seen, hidden)

    def forward(self) -> dist.TorchDistribution:
        return Vector(self._conditionals, self.start)

    def _conditionals(self, z: Tensor) -> dist.TorchDistribution:
        h = self.net(F.pad(z[..., :-1], (1, 0), value=1.0))
        logits, loc, rho = h.unflatten(-1, (-1, 3, self.components)).unbind(-2)
        normal = dist.Normal(loc, bounded(rho, self.floor, self.ceiling))
        return dist.MixtureSameFamily(dist.Categorical(logits=logits), normal)
