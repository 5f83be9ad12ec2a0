r"""What objectives have in common that weight the terms of the ELBO otherwise."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from ..weights import Weights
from .base import Objective
from .divergences import check_reparameterized

__all__ = ["Reweighted"]


class Reweighted(Objective):
    r"""The terms of the ELBO, weighted otherwise: no bound, but what it does to the posterior.

    .. math:: \text{loss} = \sum_x \left( - \mathbb{E}_{q(z \mid x)} \big[ \log p(x \mid z) \big]
        \right) + \text{penalty}

    The metrics tell the true ELBO and its terms all the same.

    To write a new one, subclass it, and return the penalty from :meth:`penalty_of`. What
    the penalty has of numbers that change over training steps goes through
    :meth:`~ppl_vae.objectives.Objective.follow`.

    Arguments: those of :class:`~ppl_vae.objectives.Objective`, but for the weight of the KL term.

    Raises:
        ValueError: If a site is not reparameterized, or lies outside of the plate of the data.
    """

    bound = "none"
    judged_by = "loss"
    reparameterized = True
    weighted = False

    def __init__(
        self, particles: int = 1, vectorized: bool = True, max_plate_nesting: int | None = None
    ) -> None:
        super().__init__(particles, 1.0, vectorized, max_plate_nesting)

    @abstractmethod
    def penalty_of(self, weights: Weights) -> Tensor:
        r"""
        Arguments:
            weights: The weights of a batch of :math:`n` data.

        Returns:
            The penalty, summed over the batch: a 0-dimensional tensor.
        """

    def loss_of(self, weights: Weights) -> Tensor:
        weights.check_local()
        check_reparameterized(type(self).__name__, weights)
        reconstruction = weights.likelihood.mean(0).sum()
        return weights.scale * (self.penalty_of(weights) - reconstruction)
