r"""The mean of several importance-weighted bounds."""

from __future__ import annotations

from torch import Tensor

from .iwae import log_mean_exp
from .multi_sample import MultiSample
from .schedule import Schedule

__all__ = ["MIWAE"]


class MIWAE(MultiSample):
    r"""The mean of :math:`M` importance-weighted bounds of :math:`K` particles each.

    .. math:: \mathcal{L}_{M, K}(x) = \mathbb{E} \left[ \frac{1}{M} \sum_{m=1}^M
        \log \frac{1}{K} \sum_{k=1}^K w_{mk} \right] = \mathcal{L}_K(x) \leq \log p(x)

    A lower bound of :math:`\log p(x)` for each datum, estimated without bias: that of
    :class:`IWAE` of :math:`K` particles. Its :math:`M K` draws buy the guide a gradient of
    :math:`\sqrt{M}` times the signal-to-noise ratio; as :math:`K` grows it falls all the same.
    Sites that are not reparameterized get the score-function gradient, each group's score weighted
    by its own bound.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> objective = MIWAE(groups=2, particles=4)
        >>> objective.loss(model, Amortized(model.posterior), model(n=10)).shape
        torch.Size([])
        >>> objective.draws
        8

    References:
        | Tighter Variational Bounds are Not Necessarily Better (Rainforth et al., 2018)
        | https://arxiv.org/abs/1802.04537

    Arguments:
        groups: The number :math:`M` of bounds.
        particles: The number :math:`K` of draws of each.
        kl_weight: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If there is no group, or a site lies outside of the plate of the data.
    """

    bound = "lower"

    def __init__(
        self,
        groups: int = 8,
        particles: int = 8,
        kl_weight: float | Schedule = 1.0,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        if groups < 1:
            raise ValueError(f"MIWAE needs one group of particles or more, got {groups}.")

        super().__init__(particles, kl_weight, vectorized, max_plate_nesting)
        self.groups = groups

    @property
    def draws(self) -> int:
        return self.groups * self.particles

    def value_of(self, log_w: Tensor) -> Tensor:
        return self._each(log_w).mean(0)

    def reward_of(self, log_w: Tensor, value: Tensor) -> Tensor:
        return self._each(log_w).repeat_interleave(len(log_w) // self.groups, 0) / self.groups

    def _each(self, log_w: Tensor) -> Tensor:
        # The bound of each group, with shape (M, *).
        return log_mean_exp(log_w.unflatten(0, (self.groups, -1)).movedim(1, 0))

    def extra_repr(self) -> str:
        return f"groups={self.groups}, {super().extra_repr()}"
