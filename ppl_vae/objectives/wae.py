r"""The Wasserstein auto-encoder's objective."""

from __future__ import annotations

from torch import Tensor

from ..weights import Weights
from .info_vae import InfoVAE

__all__ = ["WAE"]


class WAE(InfoVAE):
    r"""Reconstruction, and a discrepancy of the aggregate posterior in place of the divergence.

    .. math:: \text{loss} = - \mathbb{E}_{q(z \mid x)} \big[ \log p(x \mid z) \big]
        + \lambda \, \mathrm{MMD}^2(q(z) \| p(z))

    per datum. With a normal likelihood of fixed scale the first term is the squared error, and it
    is the Wasserstein auto-encoder of that cost. No term keeps the posterior of a datum wide: it
    shrinks to a point, and :math:`\log p(x)` by importance weighting says nothing then. The guide
    needs no density: a deterministic one, of the posterior Delta, is that of the paper. It bounds
    nothing. All sites must be reparameterized.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> WAE().loss(model, Amortized(model.posterior), model(n=10)).shape
        torch.Size([])

    References:
        | Wasserstein Auto-Encoders (Tolstikhin et al., 2018)
        | https://arxiv.org/abs/1711.01558

    Arguments:
        weight: The weight :math:`\lambda`.
        kernel: The kernel, ``"imq"`` or ``"rbf"``.
        width: The scale :math:`\sigma` of the kernel: that of the prior's elements.
        particles: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If the weight is negative, and as its base class.
    """

    implicit = True

    def __init__(
        self,
        weight: float = 10.0,
        kernel: str = "imq",
        width: float = 1.0,
        particles: int = 1,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        if weight < 0:
            raise ValueError(f"The weight of WAE must not be negative, got {weight}.")

        super().__init__(1.0, weight, kernel, width, particles, vectorized, max_plate_nesting)

    def penalty_of(self, weights: Weights) -> Tensor:
        return self.weight * self.discrepancy_of(weights)
