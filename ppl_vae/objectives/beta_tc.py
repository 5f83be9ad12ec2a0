r"""The ELBO with a weighted total correlation."""

from __future__ import annotations

from torch import Tensor

from ..weights import Weights
from .aggregate import check_plain, densities_of_aggregate, elements_of, vectors
from .reweighted import Reweighted

__all__ = ["BetaTC"]


class BetaTC(Reweighted):
    r"""The ELBO, whose divergence is split in three, each with its weight.

    .. math::
        \frac{1}{N} \sum_x \mathrm{KL}(q(z \mid x) \| p(z)) & =
            \underbrace{\mathrm{KL}(q(z, x) \| q(z) q(x))}_{\text{mutual information}}
            + \underbrace{\mathrm{KL} \big( q(z) \| \textstyle\prod_d q(z_d)
            \big)}_{\text{total correlation}}
            + \underbrace{\mathbb{E} \Big[ \log \frac{\prod_d q(z_d)}{p(z)}
            \Big]}_{\text{marginals}} \\
        \text{penalty} & = \alpha \, \mathrm{MI} + \beta \, \mathrm{TC} + \gamma \, \mathrm{M}

    The aggregate posterior :math:`q(z)` is estimated from the batch, stratified: see
    :func:`~ppl_vae.objectives.aggregate.densities_of_aggregate`; its logarithm is biased downwards.
    With all weights at one the penalty is that of :class:`ELBO`, whatever the estimate; at others
    it bounds nothing. All sites must be reparameterized, their elements independent given the
    data.

    Example:
        >>> from ppl_vae.conditional import Conditional
        >>> from ppl_vae.families import Normal
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> from ppl_vae.networks import mlp
        >>> model = Linear(features=5, latent=2)
        >>> guide = Amortized(Conditional((5,), Normal((2,)), mlp([8])))
        >>> BetaTC(beta=6.0).loss(model, guide, model(n=10)).shape
        torch.Size([])

    References:
        | Isolating Sources of Disentanglement in Variational Autoencoders (Chen et al., 2018)
        | https://arxiv.org/abs/1802.04942

    Arguments:
        beta: The weight :math:`\beta` of the total correlation.
        information: The weight :math:`\alpha` of the mutual information.
        marginals: The weight :math:`\gamma` of the divergence of the marginals.
        particles: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If a weight is negative, the elements of a site depend on each other, a site is
            not reparameterized, or lies outside of the plate of the data.
    """

    def __init__(
        self,
        beta: float = 6.0,
        information: float = 1.0,
        marginals: float = 1.0,
        particles: int = 1,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        super().__init__(particles, vectorized, max_plate_nesting)

        if min(beta, information, marginals) < 0:
            raise ValueError(
                "The weights of BetaTC must not be negative, got "
                f"beta={beta}, information={information} and marginals={marginals}."
            )

        self.correlation = beta
        self.information = information
        self.marginals = marginals

    def penalty_of(self, weights: Weights) -> Tensor:
        total = self.total or round(weights.n * weights.scale)
        penalty = weights.likelihood.new_zeros(())

        for name, site in weights.sites.items():
            check_plain("BetaTC", name, site)

            for run in site.parts or (site,):
                law = elements_of("BetaTC", name, run.q)
                value = vectors(run.value, run)
                whole, parts = densities_of_aggregate(law, value, total)
                split = (
                    self.information * (run.log_q - whole)
                    + self.correlation * (whole - parts)
                    + self.marginals * (parts - run.log_p)
                )
                penalty = penalty + split.sum() / self.particles

        return penalty

    def extra_repr(self) -> str:
        return f"beta={self.correlation}, particles={self.particles}"
