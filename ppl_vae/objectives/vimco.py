r"""The importance-weighted bound, for guides that are not reparameterized."""

from __future__ import annotations

import torch
from torch import Tensor

from .iwae import IWAE, log_mean_exp
from .schedule import Schedule

__all__ = ["VIMCO"]


class VIMCO(IWAE):
    r"""The importance-weighted bound, whose scores have a baseline from the other particles.

    .. math:: \nabla_\phi \mathcal{L}_K = \mathbb{E} \left[ \sum_{k=1}^K
        \big( \hat{L} - \hat{L}_{-k} \big) \, \nabla_\phi \log q(z_k \mid x)
        - \tilde{w}_k \, \nabla_\phi \log q(z_k \mid x) \right]

    where :math:`\hat{L} = \log \frac{1}{K} \sum_j w_j`, :math:`\hat{L}_{-k}` is the same with
    :math:`w_k` replaced by the geometric mean of the others, and :math:`\tilde{w}` are the weights,
    normalized. A lower bound of :math:`\log p(x)`, that of :class:`IWAE`, estimated without bias,
    with a gradient of the same mean and far less variance where sites are not reparameterized;
    those that are get the gradient of :class:`IWAE`.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> VIMCO(particles=8).loss(model, Amortized(model.posterior), model(n=10)).shape
        torch.Size([])

    References:
        | Variational Inference for Monte Carlo Objectives (Mnih & Rezende, 2016)
        | https://arxiv.org/abs/1602.06725

    Arguments: those of :class:`~ppl_vae.objectives.Objective`; eight particles by default.

    Raises:
        ValueError: If there is one particle, or a site lies outside of the plate of the data.
    """

    def __init__(
        self,
        particles: int = 8,
        kl_weight: float | Schedule = 1.0,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        super().__init__(particles, kl_weight, vectorized, max_plate_nesting)

        if particles < 2:
            raise ValueError(
                f"VIMCO needs two particles or more, a baseline from the others, got {particles}."
            )

    def reward_of(self, log_w: Tensor, value: Tensor) -> Tensor:
        K = len(log_w)
        # Draws without any weight leave a mean of logarithms that can be computed with.
        log_w = log_w.clamp(min=torch.finfo(log_w.dtype).min / (4 * K))
        rest = (log_w.sum(0) - log_w) / (K - 1)
        # The particle of each row in turn is replaced, with shape (K, K, *).
        own = torch.eye(K, dtype=torch.bool, device=log_w.device)
        own = own.reshape(K, K, *[1] * (log_w.ndim - 1))
        replaced = torch.where(own, rest.unsqueeze(1), log_w)
        return value - log_mean_exp(replaced.movedim(1, 0))
