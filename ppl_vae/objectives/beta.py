r"""The beta-VAE's objective."""

from __future__ import annotations

from .elbo import ELBO
from .schedule import Schedule

__all__ = ["Beta"]


class Beta(ELBO):
    r"""The ELBO with a weighted divergence.

    .. math:: \mathcal{L}_\beta(x) = \mathbb{E}_{q(z \mid x)} \big[ \log p(x \mid z)
        + \beta ( \log p(z) - \log q(z \mid x) ) \big]

    For :math:`\beta > 1` codes are cheaper and nearer to the prior than the ELBO has them; it is
    below the ELBO where the divergence is positive, hence a bound of :math:`\log p(x)`, but not
    one to compare models by. For :math:`\beta < 1` it bounds nothing. It is :class:`ELBO` with
    ``kl_weight``, under the name that the field knows it by. Sites that are not reparameterized
    get the score-function gradient.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> Beta(beta=4.0).loss(model, Amortized(model.posterior), model(n=10)).shape
        torch.Size([])

    References:
        | beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework
        | (Higgins et al., 2017)
        | https://openreview.net/forum?id=Sy2fzU9gl

    Arguments:
        beta: The weight :math:`\beta`, or its schedule.
        particles: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.
    """

    bound = "none"
    judged_by = "loss"

    def __init__(
        self,
        beta: float | Schedule = 4.0,
        particles: int = 1,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        super().__init__(particles, beta, vectorized, max_plate_nesting)
