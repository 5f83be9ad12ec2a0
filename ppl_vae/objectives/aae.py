r"""The adversarial auto-encoder."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn.functional import softplus

from ..weights import Weights
from .adversarial import Adversarial, Pair
from .codes import codes_of, joined
from .terms import with_gradient

__all__ = ["AAE"]


class AAE(Adversarial):
    r"""Reconstruction, and codes that a critic cannot tell from draws of the prior.

    .. math::
        \text{loss} & = - \mathbb{E}_{q(z \mid x)} \big[ \log p(x \mid z) \big]
            + \lambda \, \mathbb{E}_{q(z)} \big[ \log (1 + e^{T(z)}) \big] \\
        T^*(z) & = \log \frac{q(z)}{p(z)}

    per datum. The critic :math:`T` is trained to tell codes :math:`z \sim q(z)`, of the aggregate
    posterior, from draws of the prior; the guide follows the loss that does not saturate, the
    surprise that a code is taken for a draw of the prior. The code of a datum is that of all its
    latent sites together, which are matched to a joint draw of the model's, one site after the
    other: parents are the model's own, not the guide's.

    No term keeps the posterior of a datum wide: it shrinks to a point, and :math:`\log p(x)` by
    importance weighting says nothing then. The guide needs no density: that of the paper is
    deterministic, of the posterior Delta, or of a function of noise, Implicit. It bounds nothing,
    and its value is that of a game: it need not fall. All sites must be reparameterized. Trained
    by :class:`ppl_vae.svi.SVI` alone. :class:`WAE` is its like without a critic.

    A prior that is learned follows the codes: its parameters, and no others, get the gradient of
    :math:`-\lambda \log p(z)` at codes that are held fixed, that of
    :math:`\lambda \, \mathrm{KL}(q(z) \| p(z))`. It is left out of the value.

    Example:
        >>> from ppl_vae.conditional import Conditional
        >>> from ppl_vae.families import Delta
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> from ppl_vae.networks import mlp
        >>> model = Linear(features=5, latent=2)
        >>> guide = Amortized(Conditional((5,), Delta((2,)), mlp([8])))
        >>> AAE().loss(model, guide, model(n=10)).shape
        torch.Size([])

    References:
        | Adversarial Autoencoders (Makhzani et al., 2016)
        | https://arxiv.org/abs/1511.05644

        | Wasserstein Auto-Encoders (Tolstikhin et al., 2018)
        | https://arxiv.org/abs/1711.01558

    Arguments:
        weight: The weight :math:`\lambda`.
        hidden: The widths of the critic's hidden layers.
        particles: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If the weight is negative, and as
            :class:`~ppl_vae.objectives.adversarial.Adversarial`.
    """

    implicit = True

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
            raise ValueError(f"The weight of AAE must not be negative, got {weight}.")

        self.weight = weight

    def penalty_of(self, weights: Weights, pair: Pair) -> Tensor:
        taken = softplus(self.critic(codes_of(weights))).mean(0).sum()
        follows = self.held_prior(weights, pair).mean(0).sum()
        return self.weight * with_gradient(taken, taken - follows)

    def samples_of(self, pair: Pair) -> tuple[Tensor, Tensor]:
        z = self.guide_codes(pair, self.particles)
        return joined(z), joined(self.prior_codes(pair, z))

    def extra_repr(self) -> str:
        return f"weight={self.weight}, {super().extra_repr()}"
