r"""The best reconstruction at a given rate."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..weights import Weights
from .divergences import divergences
from .lagrangian import Lagrangian

__all__ = ["TargetRate"]


class TargetRate(Lagrangian):
    r"""The best reconstruction among codes of a given rate.

    .. math:: \max \; \mathbb{E}_{q(z \mid x)} \big[ \log p(x \mid z) \big] \quad
        \text{subject to} \quad \mathrm{KL}(q(z \mid x) \| p(z)) \leq R

    on the mean over the data, by a Lagrange multiplier: see
    :class:`~ppl_vae.objectives.lagrangian.Lagrangian`. The rate is what codes take in nats per
    datum by bits-back coding, so that one training gives one point of the rate-distortion curve.
    It bounds nothing. All sites must be reparameterized.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> TargetRate(nats=2.0).loss(model, Amortized(model.posterior), model(n=10)).shape
        torch.Size([])

    References:
        | Fixing a Broken ELBO (Alemi et al., 2018)
        | https://arxiv.org/abs/1711.00464

        | Taming VAEs (Rezende & Viola, 2018)
        | https://arxiv.org/abs/1810.00597

    Arguments:
        nats: The rate :math:`R`, in nats per datum.
        rate: As in :class:`~ppl_vae.objectives.lagrangian.Lagrangian`.
        momentum: As in :class:`~ppl_vae.objectives.lagrangian.Lagrangian`.
        particles: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If the rate is not positive and finite, and as its base class.
    """

    def __init__(
        self,
        nats: float = 10.0,
        rate: float = 0.01,
        momentum: float = 0.99,
        particles: int = 1,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        super().__init__(rate, momentum, particles, vectorized, max_plate_nesting)

        if not 0 < nats < math.inf:
            raise ValueError(f"The rate to reach must be positive and finite, got {nats} nats.")

        self.nats = nats

    def terms_of(self, weights: Weights) -> tuple[Tensor, Tensor]:
        kl = torch.stack([*divergences(weights).values()]).sum(0)
        return -weights.likelihood.mean(), kl.mean() - self.nats

    def extra_repr(self) -> str:
        return f"nats={self.nats}, {super().extra_repr()}"
