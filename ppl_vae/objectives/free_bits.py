r"""A divergence that costs nothing below a floor."""

from __future__ import annotations

import torch
from torch import Tensor

from ..weights import Weights
from .aggregate import check_plain
from .divergences import divergences, elements
from .reweighted import Reweighted

__all__ = ["FreeBits"]


class FreeBits(Reweighted):
    r"""The ELBO, whose divergence costs nothing below a floor for each group.

    .. math:: \text{loss} = - \mathbb{E}_{q(z \mid x)} \big[ \log p(x \mid z) \big]
        + \sum_g \max \Big( \lambda, \frac{1}{n} \sum_x
        \mathrm{KL}(q(z_g \mid x) \| p(z_g)) \Big)

    per datum of a batch. Groups whose mean divergence over the batch is below :math:`\lambda` nats
    are not pressed to the prior, so that codes do not collapse early. A group is a latent site, or
    an element of one where both laws are of independent elements. It is below the ELBO, and not
    to compare models by. All sites must be reparameterized.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> objective = FreeBits(floor=0.5)
        >>> objective.loss(model, Amortized(model.posterior), model(n=10)).shape
        torch.Size([])

    References:
        | Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016)
        | https://arxiv.org/abs/1606.04934

    Arguments:
        floor: The floor :math:`\lambda` in nats per datum and group.
        per: What a group is: a ``"site"``, or an ``"element"`` of one.
        particles: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If the floor is negative, the kind of group is unknown, a site is not
            reparameterized, lies outside of the plate of the data, or has no divergence for each
            element although groups are elements.
    """

    def __init__(
        self,
        floor: float = 0.5,
        per: str = "site",
        particles: int = 1,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        super().__init__(particles, vectorized, max_plate_nesting)

        if floor < 0:
            raise ValueError(f"The floor of FreeBits must not be negative, got {floor}.")
        if per not in ("element", "site"):
            raise ValueError(f"A group of FreeBits is an 'element' or a 'site', got {per!r}.")

        self.floor = floor
        self.per = per

    def penalty_of(self, weights: Weights) -> Tensor:
        groups = self._sites(weights) if self.per == "site" else self._elements(weights)
        return weights.n * groups.clamp(min=self.floor).sum()

    def _sites(self, weights: Weights) -> Tensor:
        return torch.stack([kl.mean() for kl in divergences(weights).values()])

    def _elements(self, weights: Weights) -> Tensor:
        means = []

        for name, site in weights.sites.items():
            check_plain("FreeBits", name, site)
            kl = None if site.parts else elements(site)
            if kl is None or tuple(weights.sites) != weights.guide_order:
                raise ValueError(
                    f"Site {name!r} has no divergence for each of its elements in closed form; "
                    "take FreeBits with per='site', or a posterior and a prior of independent "
                    "elements, such as Normal and StandardNormal."
                )
            means.append(kl.flatten(0, -2).mean(0))

        return torch.cat(means)

    def extra_repr(self) -> str:
        return f"floor={self.floor}, per={self.per}, particles={self.particles}"
