r"""The cross entropy of a prior."""

from __future__ import annotations

from torch import Tensor

from ..weights import Weights
from .base import Objective

__all__ = ["CrossEntropy"]


class CrossEntropy(Objective):
    r"""The density of what the guide draws under the prior, by which a prior alone is fitted.

    .. math:: \text{loss} = - \mathbb{E}_{q(z \mid x)} \big[ \log p(z) \big]

    per datum: the cross entropy of the aggregate posterior and the prior. For a prior it has the
    gradient of :class:`ELBO`, and the guide needs no density: ``ppl-vae fit-prior`` takes it for
    guides that have none. It trains no likelihood, and is for programs all else of which is kept
    as it is. It bounds nothing. No site need be reparameterized.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> CrossEntropy().loss(model, Amortized(model.posterior), model(n=10)).shape
        torch.Size([])

    References:
        | From Variational to Deterministic Autoencoders (Ghosh et al., 2020)
        | https://arxiv.org/abs/1903.12436

    Arguments:
        particles: The number of draws for each datum.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If a site lies outside of the plate of the data.
    """

    bound = "none"
    judged_by = "loss"
    weighted = False
    implicit = True

    def __init__(
        self, particles: int = 1, vectorized: bool = True, max_plate_nesting: int | None = None
    ) -> None:
        super().__init__(particles, 1.0, vectorized, max_plate_nesting)

    def loss_of(self, weights: Weights) -> Tensor:
        weights.check_local()
        return -weights.scale * weights.prior.mean(0).sum()

    def extra_repr(self) -> str:
        return f"particles={self.particles}"
