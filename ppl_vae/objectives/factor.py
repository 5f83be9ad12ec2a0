r"""The ELBO with a total correlation that a critic estimates."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..weights import Weights
from .adversarial import Adversarial, Pair
from .codes import codes_of, joined
from .divergences import divergences

__all__ = ["Factor", "shuffled"]


class Factor(Adversarial):
    r"""The ELBO, and the total correlation of the aggregate posterior against it: FactorVAE.

    .. math::
        \text{loss} & = - \mathrm{ELBO} + \gamma \, \mathbb{E}_{q(z)} \big[ T(z) \big] \\
        T^*(z) & = \log \frac{q(z)}{\prod_d q(z_d)} \qquad
            \mathbb{E}_{q(z)}[T^*] = \mathrm{KL} \Big( q(z) \| \prod_d q(z_d) \Big)

    per datum. The critic :math:`T` is trained to tell codes :math:`z \sim q(z)` from codes whose
    elements are permuted over the batch, each by itself. The code of a datum is that of all its
    latent sites together, so that those are made independent of each other too.

    Divergences are in closed form where one is known. The value bounds nothing, and is biased by
    what the critic is short of; the metrics tell the true ELBO. A permutation leaves about one
    element in :math:`n` where it was, so that of two elements no more than about :math:`\log n`
    nats are told, and of a batch of one nothing. All sites must be reparameterized.
    Trained by :class:`ppl_vae.svi.SVI` alone. :class:`BetaTC` needs no critic, but a posterior of
    independent elements, and is biased by the size of the batch.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> Factor().loss(model, Amortized(model.posterior), model(n=10)).shape
        torch.Size([])

    References:
        | Disentangling by Factorising (Kim & Mnih, 2018)
        | https://arxiv.org/abs/1802.05983

    Arguments:
        weight: The weight :math:`\gamma`.
        hidden: The widths of the critic's hidden layers; the paper takes six of 1000.
        particles: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If the weight is negative, the guide has no density, and as
            :class:`~ppl_vae.objectives.adversarial.Adversarial`.
    """

    def __init__(
        self,
        weight: float = 10.0,
        hidden: Sequence[int] = (256, 256),
        particles: int = 1,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        super().__init__(hidden, particles, 1.0, vectorized, max_plate_nesting)

        if weight < 0:
            raise ValueError(f"The weight of Factor must not be negative, got {weight}.")

        self.weight = weight

    def penalty_of(self, weights: Weights, pair: Pair) -> Tensor:
        terms = [kl.mean(0).sum() for kl in divergences(weights).values()]
        correlation = self.critic(codes_of(weights)).mean(0).sum()
        return torch.stack(terms).sum() + self.weight * correlation

    def samples_of(self, pair: Pair) -> tuple[Tensor, Tensor]:
        z = joined(self.guide_codes(pair, self.particles))
        return z, shuffled(z)

    def extra_repr(self) -> str:
        return f"weight={self.weight}, {super().extra_repr()}"


def shuffled(z: Tensor) -> Tensor:
    r"""Permutes each element of codes over the data, independently.

    Particles of a datum are alike, so each particle is a sample of its own.

    Example:
        >>> import torch
        >>> z = torch.arange(12.0).reshape(1, 6, 2)
        >>> bool((shuffled(z).sort(1).values == z).all())
        True

    Arguments:
        z: The codes, with shape ``(K, n, D)``.
    """
    return z.gather(1, torch.rand_like(z).argsort(1))
