r"""Gated maps of the real line, the univariate maps of an inverse autoregressive flow."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Transform, constraints

__all__ = ["GatedTransform"]


class GatedTransform(Transform):
    r"""A convex combination of the input and a mean.

    .. math:: y = \sigma x + (1 - \sigma) m \quad \sigma = \mathrm{sigmoid}(s + 2)

    The gate starts near 0.9, hence the map near the identity. It is bounded, :math:`|s| < 7`, so
    that :math:`\sigma > 0.006` and the map has an inverse in floating point.

    References:
        | Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016)
        | https://arxiv.org/abs/1606.04934

    Arguments:
        mean: The mean :math:`m`, with shape ``(*)``.
        gate: The unconstrained gate, with shape ``(*)``.
    """

    domain = constraints.real
    codomain = constraints.real
    bijective = True
    sign = +1

    def __init__(self, mean: Tensor, gate: Tensor) -> None:
        super().__init__()
        self.s = gate / (1 + (gate / 7).abs()) + 2
        self.shift = F.sigmoid(-self.s) * mean

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""Returns :math:`y` and :math:`\log \partial y / \partial x`."""
        y = self._call(x)
        return y, self.log_abs_det_jacobian(x, y)

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return F.logsigmoid(self.s).expand(x.shape)

    def _call(self, x: Tensor) -> Tensor:
        return F.sigmoid(self.s) * x + self.shift

    def _inverse(self, y: Tensor) -> Tensor:
        return (y - self.shift) / F.sigmoid(self.s)
