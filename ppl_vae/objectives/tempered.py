r"""The ELBO of a tempered likelihood."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from ..weights import Weights
from .elbo import ELBO
from .schedule import Schedule

__all__ = ["Tempered"]


class Tempered(ELBO):
    r"""The ELBO of a likelihood that is raised to a power.

    .. math:: \mathcal{L}(x) = \mathbb{E}_{q(z \mid x)} \big[ \tau \log p(x \mid z)
        + \log p(z) - \log q(z \mid x) \big]

    It is :math:`\tau` times the objective of :class:`Beta` with :math:`\beta = 1 / \tau`, and
    fits the posterior of :math:`p(z) \, p(x \mid z)^\tau`: robust where the model is wrong for
    :math:`\tau < 1`. A power is no normalized likelihood, so that it bounds no evidence. Sites
    that are not reparameterized get the score-function gradient.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> Tempered(power=0.5).loss(model, Amortized(model.posterior), model(n=10)).shape
        torch.Size([])

    References:
        | A General Framework for Updating Belief Distributions (Bissiri et al., 2016)
        | https://arxiv.org/abs/1306.6430

    Arguments:
        power: The power :math:`\tau`, or its schedule.
        particles: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If the power is negative.
    """

    bound = "none"
    judged_by = "loss"
    power: Tensor

    def __init__(
        self,
        power: float | Schedule = 0.5,
        particles: int = 1,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        super().__init__(particles, 1.0, vectorized, max_plate_nesting)

        if not isinstance(power, Schedule) and power < 0:
            raise ValueError(f"The power of a likelihood must not be negative, got {power}.")

        self.follow("power", power)

    def loss_of(self, weights: Weights) -> Tensor:
        return super().loss_of(replace(weights, likelihood=self.power * weights.likelihood))
