r"""What estimators have in common that leave the score of the guide out."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor

from ..weights import Program, Weights
from .base import Objective
from .copies import draw_copies
from .role import Estimate
from .terms import with_gradient

__all__ = ["DoublyReparameterized"]


class DoublyReparameterized(Objective):
    r"""A bound :math:`f(\log w_1, \dots, \log w_K)`, whose guide learns along paths alone.

    .. math::
        \nabla_\theta & = \sum_k v_k \, \nabla_\theta \log p_\theta(x, z_k) \qquad
            v_k = \frac{\partial f}{\partial \log w_k} \\
        \nabla_\phi & = \sum_k v_k r_k \, \frac{\partial \log w_k}{\partial z_k} \,
            \nabla_\phi z_k

    The score :math:`\nabla_\phi \log q_\phi` at given draws, which is noise of mean zero or is
    turned into a path by reparameterizing once more, is left out; the factor :math:`r_k` makes
    up for it. Guides of several sites are drawn once and scored at copies of all draws. What the
    guide shares with the model, as a VampPrior does, learns from both.

    To write a new one, subclass it, and return :math:`f`, :math:`v` and :math:`r` from
    :meth:`value_of`.

    Arguments: those of :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If a site is not reparameterized, or lies outside of the plate of the data.
    """

    reparameterized = True

    @abstractmethod
    def value_of(self, log_w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r"""
        Arguments:
            log_w: The log weights, with shape ``(K, n)``, without gradient.

        Returns:
            The value :math:`f`, with shape ``(n,)``, and :math:`v` and :math:`r`, with shape
            ``(K, n)``.
        """

    def estimate(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Estimate:
        drawn = draw_copies(self, model, guide, *args, **kwargs)
        w = drawn.weights
        joint = w.likelihood + self.beta * w.prior
        value, v, r = self.value_of((joint - self.beta * w.guide).detach())
        drawn.slow_down(r)
        # The gradient of the first term goes on to the draws; that of the second is told apart,
        # or it would reach the parameters of the densities.
        surrogate = (v * joint).sum() - drawn.path((v * self.beta * w.guide).sum())
        loss = -w.scale * with_gradient(value.sum(), surrogate)
        return Estimate(loss, self.metrics_of(w), w.n * w.scale)

    def tightened(self, weights: Weights) -> Tensor | None:
        return self.value_of(weights.log_weight.detach())[0] if self.bound == "lower" else None

    def loss_of(self, weights: Weights) -> Tensor:
        raise NotImplementedError("Its gradient needs the programs: the weights do not tell it.")
