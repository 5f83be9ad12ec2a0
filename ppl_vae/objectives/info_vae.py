r"""The ELBO with a discrepancy of the aggregate posterior."""

from __future__ import annotations

import torch
from torch import Tensor

from ..weights import Weights
from .aggregate import KERNELS, check_plain, mmd, vectors
from .divergences import divergences
from .reweighted import Reweighted

__all__ = ["InfoVAE"]


class InfoVAE(Reweighted):
    r"""The ELBO, whose divergence gives way to one of the aggregate posterior.

    .. math:: \text{penalty} = (1 - \alpha) \, \mathrm{KL}(q(z \mid x) \| p(z))
        + (\alpha + \lambda - 1) \, \mathrm{MMD}^2(q(z) \| p(z))

    per datum, where :math:`q(z)` is the aggregate posterior of the batch: codes as a whole are to
    look like the prior, those of a datum need not, so that they may tell more of it. The
    discrepancy is estimated without bias from the draws of the batch, and as many of the prior,
    and is zero for a batch of one: see :func:`~ppl_vae.objectives.aggregate.mmd`. It bounds
    nothing. All sites must be reparameterized.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> InfoVAE().loss(model, Amortized(model.posterior), model(n=10)).shape
        torch.Size([])

    References:
        | InfoVAE: Balancing Learning and Inference in Variational Autoencoders (Zhao et al., 2019)
        | https://arxiv.org/abs/1706.02262

    Arguments:
        information: The weight :math:`\alpha` that the divergence is short of.
        weight: The weight :math:`\lambda`.
        kernel: The kernel, ``"imq"`` or ``"rbf"``.
        width: The scale :math:`\sigma` of the kernel: that of the prior's elements.
        particles: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If the kernel is unknown, its width is not positive, the weight of the
            discrepancy is negative, a site is not reparameterized, or lies outside of the plate of
            the data.
    """

    def __init__(
        self,
        information: float = 0.0,
        weight: float = 100.0,
        kernel: str = "rbf",
        width: float = 1.0,
        particles: int = 1,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        super().__init__(particles, vectorized, max_plate_nesting)

        if kernel not in KERNELS or width <= 0:
            raise ValueError(
                f"The kernel of a discrepancy is one of {', '.join(KERNELS)}, of positive width, "
                f"got {kernel!r} and {width}."
            )
        if information + weight < 1:
            raise ValueError(
                "The discrepancy of InfoVAE has the weight information + weight - 1, which must "
                f"not be negative, got {information + weight - 1:g}."
            )

        self.information = information
        self.weight = weight
        self.kernel = kernel
        self.width = width

    def penalty_of(self, weights: Weights) -> Tensor:
        terms = [kl.mean(0).sum() for kl in divergences(weights).values()]
        discrepancy = self.discrepancy_of(weights)
        share = self.information + self.weight - 1
        return (1 - self.information) * torch.stack(terms).sum() + share * discrepancy

    def discrepancy_of(self, weights: Weights) -> Tensor:
        r"""The discrepancy of all sites, times the number of data."""
        total = weights.likelihood.new_zeros(())

        for name, site in weights.sites.items():
            check_plain(type(self).__name__, name, site)
            for run in site.parts or (site,):
                # Draws of one datum are alike: each particle is a sample of its own.
                draws = run.p.rsample if run.p.has_rsample else run.p.sample
                each = zip(vectors(run.value, run), vectors(draws(), run), strict=True)
                values = [mmd(z, y, self.kernel, self.width) for z, y in each]
                total = total + torch.stack(values).sum() / self.particles

        return weights.n * total

    def extra_repr(self) -> str:
        return f"information={self.information}, weight={self.weight}, kernel={self.kernel}"
