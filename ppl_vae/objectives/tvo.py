r"""The thermodynamic variational objective."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..weights import Program, Weights
from .base import Objective
from .schedule import Schedule
from .terms import with_gradient

__all__ = ["TVO"]


class TVO(Objective):
    r"""The thermodynamic variational objective: a Riemann sum along the path from guide to model.

    .. math::
        \log p(x) & = \int_0^1 \mathbb{E}_{\pi_t} \big[ \log w \big] \, dt \qquad
            \pi_t(z) \propto q(z \mid x)^{1 - t} \, p(x, z)^t \\
        \mathcal{L}(x) & = \sum_{s=0}^{S-1} (t_{s+1} - t_s) \,
            \mathbb{E}_{\pi_{t_s}} \big[ \log w \big] \leq \log p(x)

    The integrand rises with :math:`t`, so that the left sum is a lower bound of :math:`\log p(x)`,
    and the right sum, with :math:`t_{s+1}` for :math:`t_s`, an upper one. With one part the left
    sum is the ELBO. Expectations under :math:`\pi_t` are estimated from :math:`K` draws of the
    guide, by self-normalized importance sampling: the left sum stays a lower bound for each
    :math:`K`, below that of the expectations; the right one is an upper bound only as :math:`K`
    grows.

    No site need be reparameterized: the gradient of an expectation is a covariance,

    .. math:: \nabla \mathbb{E}_{\pi_t} [f] = \mathbb{E}_{\pi_t} [\nabla f]
        + \operatorname{Cov}_{\pi_t} \big[ \nabla \log \tilde{\pi}_t, f \big]

    with a bias that goes as :math:`1 / K`, since the weights are normalized.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> TVO(particles=8).loss(model, Amortized(model.posterior), model(n=10)).shape
        torch.Size([])

    References:
        | The Thermodynamic Variational Objective (Masrani et al., 2019)
        | https://arxiv.org/abs/1907.00031

    Arguments:
        particles: The number :math:`K` of draws for each datum.
        partitions: The number :math:`S` of parts.
        first: The first point :math:`t_1` after zero; the others are spaced evenly in
            :math:`\log t` from there to one.
        right: Whether to take the right sum.
        kl_weight: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If there is no part, the first point is not between zero and one, or a site
            lies outside of the plate of the data.
    """

    points: Tensor

    def __init__(
        self,
        particles: int = 8,
        partitions: int = 5,
        first: float = 0.03,
        right: bool = False,
        kl_weight: float | Schedule = 1.0,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        super().__init__(particles, kl_weight, vectorized, max_plate_nesting)

        if partitions < 1:
            raise ValueError(f"TVO needs one part or more, got partitions={partitions}.")
        if not 0 < first < 1:
            raise ValueError(f"The first point of TVO lies between 0 and 1, got {first}.")

        self.partitions = partitions
        self.first = first
        self.right = right
        self.bound = "upper, as the number of particles grows" if right else "lower"
        self.judged_by = "loss" if right else "bound"
        inner = [first ** (1 - s / (partitions - 1)) for s in range(partitions - 1)]
        points = torch.tensor([0.0, *inner, 1.0])
        self.register_buffer("points", points, persistent=False)

    def weights(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Weights:
        return super().weights(model, guide, *args, **{**kwargs, "detached": True})

    def loss_of(self, weights: Weights) -> Tensor:
        weights.check_local()
        log_w = weights.likelihood + self.beta * (weights.prior - weights.guide)
        # What has no weight at all adds nothing to an expectation.
        f = log_w.detach().clamp(min=torch.finfo(log_w.dtype).min / 4)
        points = self.points.to(f).reshape(-1, 1, 1)
        t = points[1:] if self.right else points[:-1]
        v = (t * f).softmax(1)  # (S, K, n)
        mean = (v * f).sum(1, keepdim=True)
        width = points.diff(dim=0)
        value = (width * mean).sum()
        # All in one weight for each draw: of log w, and of the unnormalized log density at t.
        direct = (width * v).sum(0)
        spread = width * v * (f - mean)
        surrogate = direct * log_w + spread.sum(0) * weights.guide + (t * spread).sum(0) * log_w
        return -weights.scale * with_gradient(value, surrogate.sum())

    def extra_repr(self) -> str:
        return f"partitions={self.partitions}, right={self.right}, {super().extra_repr()}"
