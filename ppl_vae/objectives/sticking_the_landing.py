r"""The ELBO without the score of the guide."""

from __future__ import annotations

import torch
from torch import Tensor

from .doubly_reparameterized import DoublyReparameterized

__all__ = ["StickingTheLanding"]


class StickingTheLanding(DoublyReparameterized):
    r"""The evidence lower bound, with a gradient that is zero where the guide is exact.

    .. math:: \nabla_\phi \mathcal{L} = \mathbb{E}_{q_\phi(z \mid x)} \left[
        \frac{\partial \log w}{\partial z} \, \nabla_\phi z \right]

    A lower bound of :math:`\log p(x)`, that of :class:`ELBO`, estimated without bias, with a
    gradient of the same mean: the score :math:`\nabla_\phi \log q_\phi(z \mid x)` at given draws,
    whose mean is zero, is left out. What is left vanishes draw by draw where
    :math:`q(z \mid x) = p(z \mid x)`. All sites must be reparameterized.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> loss = StickingTheLanding().loss(model, Amortized(model.posterior), model(n=10))
        >>> loss.shape
        torch.Size([])

    References:
        | Sticking the Landing: Simple, Lower-Variance Gradient Estimators for Variational Inference
        | (Roeder et al., 2017)
        | https://arxiv.org/abs/1703.09194

    Arguments: those of :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If a site is not reparameterized, or lies outside of the plate of the data.
    """

    bound = "lower"

    def value_of(self, log_w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        K = len(log_w)
        return log_w.mean(0), torch.full_like(log_w, 1 / K), torch.ones_like(log_w)
