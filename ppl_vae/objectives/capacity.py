r"""A divergence that is held at a capacity."""

from __future__ import annotations

import torch
from torch import Tensor

from ..weights import Weights
from .divergences import divergences
from .reweighted import Reweighted
from .schedule import Schedule

__all__ = ["Capacity"]


class Capacity(Reweighted):
    r"""The ELBO, whose divergence is pressed towards a capacity.

    .. math:: \text{loss} = - \mathbb{E}_{q(z \mid x)} \big[ \log p(x \mid z) \big]
        + \gamma \, \Big| \frac{1}{n} \sum_x \mathrm{KL}(q(z \mid x) \| p(z)) - C \Big|

    per datum of a batch, the divergences of all sites added. The capacity :math:`C`, in nats, is a
    number or rises over training, so that codes take up one factor after another. It bounds
    nothing. All sites must be reparameterized.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> from ppl_vae.objectives import LinearWarmup
        >>> model = Linear(features=5, latent=2)
        >>> objective = Capacity(LinearWarmup(steps=1000, end=25.0), gamma=100.0)
        >>> objective.loss(model, Amortized(model.posterior), model(n=10)).shape
        torch.Size([])

    References:
        | Understanding Disentangling in beta-VAE (Burgess et al., 2018)
        | https://arxiv.org/abs/1804.03599

    Arguments:
        capacity: The capacity :math:`C` in nats per datum, or its schedule.
        gamma: The weight :math:`\gamma`.
        particles: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If the capacity or the weight is negative, a site is not reparameterized, or
            lies outside of the plate of the data.
    """

    capacity: Tensor

    def __init__(
        self,
        capacity: float | Schedule = 25.0,
        gamma: float = 10.0,
        particles: int = 1,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        super().__init__(particles, vectorized, max_plate_nesting)

        if gamma < 0 or (not isinstance(capacity, Schedule) and capacity < 0):
            raise ValueError(
                "Capacity needs a capacity and a weight that are not negative, got "
                f"capacity={capacity} and gamma={gamma}."
            )

        self.gamma = gamma
        self.follow("capacity", capacity)

    def penalty_of(self, weights: Weights) -> Tensor:
        total = torch.stack([*divergences(weights).values()]).sum(0)
        return self.gamma * weights.n * (total.mean() - self.capacity).abs()

    def extra_repr(self) -> str:
        return f"gamma={self.gamma}, particles={self.particles}"
