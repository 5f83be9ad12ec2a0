r"""A combination of the ELBO and the importance-weighted bound."""

from __future__ import annotations

from torch import Tensor

from .iwae import log_mean_exp
from .multi_sample import MultiSample
from .schedule import Schedule

__all__ = ["CIWAE"]


class CIWAE(MultiSample):
    r"""A combination of the ELBO and the importance-weighted bound.

    .. math:: \mathcal{L}(x) = \mathbb{E}_{z_{1:K} \sim q(z \mid x)} \left[ \frac{b}{K}
        \sum_{k=1}^K \log w_k + (1 - b) \log \frac{1}{K} \sum_{k=1}^K w_k \right] \leq \log p(x)

    A lower bound of :math:`\log p(x)` for each datum, between the ELBO (:math:`b = 1`) and
    :class:`IWAE` (:math:`b = 0`), estimated without bias. The share of the ELBO keeps the gradient
    of the guide from drowning as :math:`K` grows. Sites that are not reparameterized get the
    score-function gradient.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> CIWAE(weight=0.2).loss(model, Amortized(model.posterior), model(n=10)).shape
        torch.Size([])

    References:
        | Tighter Variational Bounds are Not Necessarily Better (Rainforth et al., 2018)
        | https://arxiv.org/abs/1802.04537

    Arguments:
        weight: The weight :math:`b` of the ELBO, called beta in the reference.
        particles: The number :math:`K` of draws for each datum.
        kl_weight: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If the weight is not between zero and one, or a site lies outside of the plate
            of the data.
    """

    bound = "lower"

    def __init__(
        self,
        weight: float = 0.5,
        particles: int = 8,
        kl_weight: float | Schedule = 1.0,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        super().__init__(particles, kl_weight, vectorized, max_plate_nesting)

        if not 0 <= weight <= 1:
            raise ValueError(f"The weight of the ELBO in CIWAE is between 0 and 1, got {weight}.")

        self.weight = weight

    def value_of(self, log_w: Tensor) -> Tensor:
        return self.weight * log_w.mean(0) + (1 - self.weight) * log_mean_exp(log_w)

    def extra_repr(self) -> str:
        return f"weight={self.weight}, {super().extra_repr()}"
