r"""The variational Renyi bound."""

from __future__ import annotations

import math

from torch import Tensor

from .iwae import log_mean_exp
from .multi_sample import MultiSample
from .schedule import Schedule

__all__ = ["Renyi", "renyi"]


class Renyi(MultiSample):
    r"""The variational Renyi bound of order :math:`\alpha`.

    .. math:: \mathcal{L}_\alpha(x) = \mathbb{E}_{z_{1:K} \sim q(z \mid x)} \left[
        \frac{1}{1 - \alpha} \log \frac{1}{K} \sum_{k=1}^K w_k^{1 - \alpha} \right]

    It is the ELBO at :math:`\alpha = 1`, :class:`IWAE` at :math:`\alpha = 0`. As :math:`K` grows it
    goes to :math:`\log p(x) - \mathrm{D}_\alpha(q(z \mid x) \| p(z \mid x))`, for
    :math:`\alpha > 0`:

    - for :math:`0 \leq \alpha \leq 1` it is a lower bound of :math:`\log p(x)` that rises with
      :math:`K`;
    - for :math:`\alpha > 1` it is a lower bound that falls with :math:`K`;
    - for :math:`\alpha < 0` it rises with :math:`K`, from the ELBO to an upper bound: at a given
      :math:`K` it may lie on either side, and is no bound.

    It is estimated without bias for its :math:`K`. Sites that are not reparameterized get the
    score-function gradient, which :class:`pyro.infer.RenyiELBO` loses at :math:`\alpha = 0`.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> Renyi(alpha=0.5).loss(model, Amortized(model.posterior), model(n=10)).shape
        torch.Size([])
        >>> Renyi(alpha=0.5).bound, Renyi(alpha=-1.0).bound
        ('lower', 'upper, as the number of particles grows')

    References:
        | Renyi Divergence Variational Inference (Li & Turner, 2016)
        | https://arxiv.org/abs/1602.02311

    Arguments:
        alpha: The order :math:`\alpha`.
        particles: The number :math:`K` of draws for each datum.
        kl_weight: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If the order is not finite (that of minus infinity is :class:`VRMax`), or a
            site lies outside of the plate of the data.
    """

    def __init__(
        self,
        alpha: float = 0.5,
        particles: int = 8,
        kl_weight: float | Schedule = 1.0,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        super().__init__(particles, kl_weight, vectorized, max_plate_nesting)

        if not math.isfinite(alpha):
            raise ValueError(
                f"The order of Renyi must be finite, got {alpha}; VRMax is that of minus infinity."
            )

        self.alpha = alpha
        self.bound = "lower" if alpha >= 0 else "upper, as the number of particles grows"
        self.judged_by = "bound" if alpha >= 0 else "loss"

    def value_of(self, log_w: Tensor) -> Tensor:
        return renyi(log_w, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, {super().extra_repr()}"


def renyi(log_w: Tensor, alpha: float) -> Tensor:
    r"""The Renyi bound of order :math:`\alpha` along the first dimension of the log weights."""
    order = 1 - alpha

    if order == 0:
        return log_w.mean(0)
    if abs(order) > 1e-2:
        return log_mean_exp(order * log_w) / order

    # Close to one, the quotient of small numbers would be rounding: this one has no cancellation,
    # and, from the end where powers are the largest, no overflow.
    end = log_w.detach().amax(0) if order > 0 else log_w.detach().amin(0)
    return end + (order * (log_w - end)).expm1().mean(0).log1p() / order
