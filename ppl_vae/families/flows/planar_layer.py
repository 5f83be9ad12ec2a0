r"""Planar maps, the layers of a planar flow."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor

from .layers import SLOPE, Layer, log1p_sech2, sech2
from .root import solve

__all__ = ["PlanarLayer"]


class PlanarLayer(Layer):
    r"""A planar map, :math:`y = x + \hat{u} \tanh(w^\top x + b)`.

    It moves points along :math:`\hat{u}`, by their distance to a plane. Along :math:`a = w^\top x`
    it is :math:`a + p \tanh(a + b)` with :math:`p = w^\top \hat{u}`, which increases where
    :math:`p > -1`; hence

    .. math:: \hat{u} = u \left( 1 + \delta \max(0, w^\top u)
        + \frac{\max(0, - w^\top u)}{1 - \delta} \right)^{-1}

    for which :math:`\delta - 1 < p < 1 / \delta`, with :math:`\delta` the smallest slope. Unlike
    the paper's formula, it does not divide by :math:`|w|^2`, which is zero where networks start.
    The inverse is the root :math:`a` of one scalar equation.

    Arguments:
        u: The direction :math:`u`, with shape ``(*, d)``.
        w: The normal :math:`w` of the plane, with shape ``(*, d)``.
        b: The offset :math:`b`, with shape ``(*)``.
    """

    def __init__(self, u: Tensor, w: Tensor, b: Tensor) -> None:
        product = (w * u).sum(-1)
        shrink = 1 + SLOPE * F.relu(product) + F.relu(-product) / (1 - SLOPE)
        self.u = u / shrink.unsqueeze(-1)
        self.w = w
        self.b = b
        self.product = product / shrink

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        s = (self.w * x).sum(-1) + self.b
        return x + self.u * s.tanh().unsqueeze(-1), log1p_sech2(self.product, s)

    def inverse(self, y: Tensor) -> tuple[Tensor, Tensor]:
        p, b = self.product, self.b
        target = (self.w * y).sum(-1)
        a = solve(
            lambda a: a + p * (a + b).tanh(),
            lambda a: 1 + p * sech2(a + b),
            target,
            target - p.abs(),
            target + p.abs(),
            # Slopes are above 1e-3 and |p| below 1e3: after 24 halvings Newton's error is 0.03,
            # squared with each step.
            halvings=24,
        )
        return y - self.u * (a + b).tanh().unsqueeze(-1), -log1p_sech2(p, a + b)
