r"""The family of independent normal elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from .base import Family
from .scale import bounded, check_bounds

__all__ = ["Normal"]


class Normal(Family):
    r"""Independent normal elements.

    .. math:: p_h(y) = \prod_i \mathcal{N}(y_i \mid \mu_i, \sigma_i^2)

    Example:
        >>> family = Normal((3,))
        >>> family.param_shape
        torch.Size([2, 3])
        >>> family(torch.zeros(5, 2, 3)).batch_shape
        torch.Size([5])

    Arguments:
        event_shape: The shape of one draw.
        scale: ``"element"``: a scale for each element, from :math:`h`; ``"shared"``: one learned
            scale for all elements and data; a number: that scale, fixed.
        floor: The smallest scale (``"element"`` and ``"shared"``).
        ceiling: The largest scale (``"element"`` and ``"shared"``).

    Raises:
        ValueError: If a fixed scale is not positive and finite, or the bounds are not
            ``0 < floor < 1 < ceiling``.

    References:
        | Auto-Encoding Variational Bayes (Kingma & Welling, 2014)
        | https://arxiv.org/abs/1312.6114

        | Simple and Effective VAE Training with Calibrated Decoders (Rybkin et al., 2021)
        | https://arxiv.org/abs/2006.13202
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        scale: Literal["element", "shared"] | float = "element",
        floor: float = 1e-4,
        ceiling: float = 1e3,
    ) -> None:
        super().__init__(event_shape, features=2 if scale == "element" else 1)
        self.scale = scale
        self.floor = floor
        self.ceiling = ceiling
        check_bounds(floor, ceiling)

        if scale == "shared":
            self.rho = nn.Parameter(torch.zeros(()))
        elif not isinstance(scale, str) and not 0 < scale < math.inf:
            raise ValueError(f"The scale of Normal must be positive and finite, got {scale}.")
        elif isinstance(scale, str) and scale != "element":
            raise ValueError(
                f"The scale of Normal is 'element', 'shared' or a number, got {scale!r}."
            )

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        if self.scale == "element":
            loc, rho = self.unbind(h)
            scale = bounded(rho, self.floor, self.ceiling)
        elif self.scale == "shared":
            (loc,) = self.unbind(h)
            scale = bounded(self.rho, self.floor, self.ceiling)
        else:
            (loc,) = self.unbind(h)
            scale = torch.full((), self.scale, dtype=loc.dtype, device=loc.device)

        return dist.Normal(loc, scale).to_event(len(self.event_shape))

    def at_mean(self, mean: Tensor) -> Tensor:
        h = super().at_mean(mean)
        h[0] = mean
        return h
