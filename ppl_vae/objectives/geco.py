r"""The least divergence at a given reconstruction."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..weights import Weights
from .divergences import divergences
from .lagrangian import Lagrangian

__all__ = ["GECO"]


class GECO(Lagrangian):
    r"""The least divergence among codes that reconstruct well enough.

    .. math:: \min \; \mathrm{KL}(q(z \mid x) \| p(z)) \quad \text{subject to} \quad
        \mathbb{E}_{q(z \mid x)} \big[ \log p(x \mid z) \big] \geq R

    on the mean over the data, by a Lagrange multiplier: see
    :class:`~ppl_vae.objectives.lagrangian.Lagrangian`. Where :math:`R` cannot be reached the
    multiplier grows, and codes become deterministic. It bounds nothing. All sites must be
    reparameterized.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> GECO(target=-6.0).loss(model, Amortized(model.posterior), model(n=10)).shape
        torch.Size([])

    References:
        | Taming VAEs (Rezende & Viola, 2018)
        | https://arxiv.org/abs/1810.00597

    Arguments:
        target: The reconstruction :math:`R` to reach, in nats per datum.
        rate: As in :class:`~ppl_vae.objectives.lagrangian.Lagrangian`.
        momentum: As in :class:`~ppl_vae.objectives.lagrangian.Lagrangian`.
        particles: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If the target is not finite, and as its base class.
    """

    def __init__(
        self,
        target: float = -100.0,
        rate: float = 0.01,
        momentum: float = 0.99,
        particles: int = 1,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        super().__init__(rate, momentum, particles, vectorized, max_plate_nesting)

        if not math.isfinite(target):
            raise ValueError(f"The target of GECO must be finite, got {target}.")

        self.target = target

    def terms_of(self, weights: Weights) -> tuple[Tensor, Tensor]:
        kl = torch.stack([*divergences(weights).values()]).sum(0)
        return kl.mean(), self.target - weights.likelihood.mean()

    def extra_repr(self) -> str:
        return f"target={self.target}, {super().extra_repr()}"
