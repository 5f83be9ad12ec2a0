r"""The doubly reparameterized gradient of importance-weighted and Renyi bounds."""

from __future__ import annotations

import math

from torch import Tensor

from .doubly_reparameterized import DoublyReparameterized
from .renyi import renyi
from .schedule import Schedule

__all__ = ["DReG"]


class DReG(DoublyReparameterized):
    r"""The bound of :class:`IWAE`, or :class:`Renyi`, with a guide that learns without its score.

    .. math:: \nabla_\phi \mathcal{L}_\alpha = \mathbb{E} \left[ \sum_{k=1}^K
        \big( \alpha v_k + (1 - \alpha) v_k^2 \big) \,
        \frac{\partial \log w_k}{\partial z_k} \, \nabla_\phi z_k \right] \qquad
        v_k = \frac{w_k^{1 - \alpha}}{\sum_j w_j^{1 - \alpha}}

    At :math:`\alpha = 0` it is a lower bound of :math:`\log p(x)`, that of :class:`IWAE`, with a
    gradient of the same mean. Where the guide is the exact posterior the guide's gradient has no
    variance, and its signal rises with :math:`K` where that of :class:`IWAE` drowns. All sites must
    be reparameterized. It costs another run of the guide.

    With ``wake`` the guide follows the wake phase of :class:`ReweightedWakeSleep` instead of the
    bound, towards a guide that covers the posterior. By the same identity the score is turned into
    paths, with the same mean at each :math:`K`. Draw by draw that vanishes where the guide is
    exact; far from there it may have more noise than the score:

    .. math:: \mathbb{E} \left[ \sum_{k=1}^K v_k \, \nabla_\phi \log q_\phi(z_k \mid x) \right]
        = \mathbb{E} \left[ \sum_{k=1}^K \big( v_k - v_k^2 \big) \,
        \frac{\partial \log w_k}{\partial z_k} \, \nabla_\phi z_k \right]

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> DReG(particles=8).loss(model, Amortized(model.posterior), model(n=10)).shape
        torch.Size([])

    References:
        | Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives
        | (Tucker et al., 2019)
        | https://arxiv.org/abs/1810.04152

        | Alpha-divergence Variational Inference Meets Importance Weighted Auto-Encoders
        | (Daudel et al., 2023)
        | https://arxiv.org/abs/2210.06226

    Arguments:
        particles: The number :math:`K` of draws for each datum.
        alpha: The order :math:`\alpha` of the bound.
        kl_weight: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.
        wake: Whether the guide follows the wake phase, at :math:`\alpha = 0` alone.

    Raises:
        ValueError: If the order is not finite, or not zero in the wake phase, a site is not
            reparameterized, or lies outside of the plate of the data.
    """

    bound = "lower"

    def __init__(
        self,
        particles: int = 8,
        alpha: float = 0.0,
        kl_weight: float | Schedule = 1.0,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
        wake: bool = False,
    ) -> None:
        super().__init__(particles, kl_weight, vectorized, max_plate_nesting)

        if not math.isfinite(alpha):
            raise ValueError(f"The order of DReG must be finite, got {alpha}.")
        if wake and alpha != 0:
            raise ValueError(
                f"The wake phase of DReG weights draws as IWAE does, with alpha=0, got {alpha}."
            )

        self.alpha = alpha
        self.wake = wake
        self.bound = "lower" if alpha >= 0 else "upper, as the number of particles grows"
        self.judged_by = "bound" if alpha >= 0 else "loss"

    def value_of(self, log_w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        v = ((1 - self.alpha) * log_w).softmax(0)
        # The score that is left out is that of log w, in which the density has the weight beta; in
        # the wake phase it is that of log q, times v, whose derivative in log w is v (1 - v).
        r = 1 - v if self.wake else 1 - self.beta * (1 - self.alpha) * (1 - v)
        return renyi(log_w, self.alpha), v, r

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}, wake={self.wake}, {super().extra_repr()}"
