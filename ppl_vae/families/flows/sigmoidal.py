r"""Deep sigmoidal maps of the real line, the univariate maps of a neural autoregressive flow."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Transform, constraints

from .root import solve

__all__ = ["SigmoidalTransform"]


class SigmoidalTransform(Transform):
    r"""A mixture of sigmoids seen through the logit, which increases on all of the real line.

    .. math:: y = c + \operatorname{logit} \sum_j \pi_j \, \mathrm{sigmoid}(a_j x + b_j)

    Its tails are straight lines. The logit of a mean of sigmoids lies between the least and the
    greatest of :math:`a_j x + b_j`, hence the inverse between the least and the greatest of
    :math:`(y - c - b_j) / a_j`: a bracket that holds for every :math:`y`. Slopes
    :math:`a_j \in (1/50, 50)` and offsets :math:`b_j \in (-10, 10)` are bounded, so that the
    inverse is well-conditioned.

    References:
        | Neural Autoregressive Flows (Huang et al., 2018)
        | https://arxiv.org/abs/1804.00779

    Arguments:
        slope: The unconstrained slopes, with shape ``(*, J)``.
        offset: The unconstrained offsets, with shape ``(*, J)``.
        logits: The logits of the weights :math:`\pi_j`, with shape ``(*, J)``.
        shift: The shift :math:`c`, with shape ``(*)``.
    """

    domain = constraints.real
    codomain = constraints.real
    bijective = True
    sign = +1

    def __init__(self, slope: Tensor, offset: Tensor, logits: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.log_a = _clip(slope, math.log(50))
        self.a = self.log_a.exp()
        self.b = _clip(offset, 10.0)
        self.log_pi = logits.log_softmax(-1)
        self.shift = shift

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        r"""Returns :math:`y` and :math:`\log \partial y / \partial x`."""
        u = self.a * x.unsqueeze(-1) + self.b
        left, right = F.logsigmoid(u), F.logsigmoid(-u)
        p = (self.log_pi + left).logsumexp(-1)
        q = (self.log_pi + right).logsumexp(-1)
        ladj = (self.log_pi + self.log_a + left + right).logsumexp(-1) - p - q
        return p - q + self.shift, ladj

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.call_and_ladj(x)[1]

    def _call(self, x: Tensor) -> Tensor:
        u = self.a * x.unsqueeze(-1) + self.b
        p = (self.log_pi + F.logsigmoid(u)).logsumexp(-1)
        q = (self.log_pi + F.logsigmoid(-u)).logsumexp(-1)
        return p - q + self.shift

    def _inverse(self, y: Tensor) -> Tensor:
        with torch.no_grad():
            ends = ((y - self.shift).unsqueeze(-1) - self.b) / self.a
            low, high = ends.amin(-1), ends.amax(-1)

        # The logarithm of the slope changes by less than 100 for a unit of x, and the bracket is
        # shorter than 50 |y - c| + 1000: after 30 halvings Newton's method is safe to |y| = 1e4;
        # farther out the map is a straight line.
        return solve(
            self._call, lambda x: self.call_and_ladj(x)[1].exp(), y, low, high, halvings=30
        )


def _clip(x: Tensor, bound: float) -> Tensor:
    return x / (1 + (x / bound).abs())
