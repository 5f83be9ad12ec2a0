r"""What bounds of several particles have in common."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from ..weights import Weights
from .base import Objective
from .schedule import Schedule
from .terms import with_gradient

__all__ = ["MultiSample"]


class MultiSample(Objective):
    r"""A function of the :math:`K` log weights of each datum.

    .. math:: \mathcal{L}(x) = \mathbb{E}_{z_{1:K} \sim q(z \mid x)} \big[ f(\log w_1, \dots,
        \log w_K) \big] \qquad w_k = \frac{p(x, z_k)}{q(z_k \mid x)}

    The scale of a minibatch stays outside of :math:`f`. Sites that are not reparameterized get the
    score-function gradient. For :math:`\beta \neq 1` the terms of the latent variables in
    :math:`\log w` are weighted, and it bounds nothing.

    To write a new one, subclass it, return :math:`f` from :meth:`value_of`, and tell in
    :attr:`~ppl_vae.objectives.Objective.bound` what it bounds. Where the score of a draw has a
    better reward than :math:`f`, return that from :meth:`reward_of`.

    Arguments: those of :class:`~ppl_vae.objectives.Objective`; eight particles by default.

    Raises:
        ValueError: If a site lies outside of the plate of the data.
    """

    def __init__(
        self,
        particles: int = 8,
        kl_weight: float | Schedule = 1.0,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        super().__init__(particles, kl_weight, vectorized, max_plate_nesting)

    @abstractmethod
    def value_of(self, log_w: Tensor) -> Tensor:
        r"""
        Arguments:
            log_w: The log weights, with shape ``(K, *)``.

        Returns:
            The value :math:`f`, with shape ``(*)``.
        """

    def reward_of(self, log_w: Tensor, value: Tensor) -> Tensor:
        r"""
        Arguments:
            log_w: The log weights, with shape ``(K, *)``, without gradient.
            value: The value :math:`f` of them, with shape ``(*)``, without gradient.

        Returns:
            What weights the score :math:`\nabla \log q(z_k \mid x)` of each particle, with a shape
            that broadcasts to ``(K, *)``.
        """
        return value

    def log_weight_of(self, weights: Weights) -> Tensor:
        r"""The log weights with the terms of the latent variables times :math:`\beta`."""
        weights.check_local()
        return weights.likelihood + self.beta * (weights.prior - weights.guide)

    def tightened(self, weights: Weights) -> Tensor | None:
        return self.value_of(weights.log_weight.detach()) if self.bound == "lower" else None

    def loss_of(self, weights: Weights) -> Tensor:
        log_w = self.log_weight_of(weights)
        value = self.value_of(log_w)
        surrogate = value
        reward = self.reward_of(log_w.detach(), value.detach())

        for site in weights.sites.values():
            if not site.reparameterized:
                surrogate = surrogate + (reward * site.log_q).sum(0)

        return -weights.scale * with_gradient(value.sum(), surrogate.sum())
