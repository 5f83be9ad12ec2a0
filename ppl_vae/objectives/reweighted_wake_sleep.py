r"""Reweighted wake-sleep."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..weights import Arguments, Program, Weights, dream, score_guide
from .base import Objective
from .iwae import log_mean_exp
from .role import Estimate
from .schedule import Schedule
from .terms import with_gradient

__all__ = ["ReweightedWakeSleep"]

PHASES = ("wake", "sleep", "both")


class ReweightedWakeSleep(Objective):
    r"""The model follows importance-weighted evidence, the guide the posterior it is to cover.

    .. math::
        \text{wake, } \theta: \quad & \sum_k \tilde{w}_k \nabla_\theta \log p_\theta(x, z_k)
            \qquad z_k \sim q_\phi(z \mid x), \quad \tilde{w}_k = \frac{w_k}{\sum_j w_j} \\
        \text{wake, } \phi: \quad & \sum_k \tilde{w}_k \nabla_\phi \log q_\phi(z_k \mid x) \\
        \text{sleep, } \phi: \quad & \nabla_\phi \log q_\phi(z \mid x)
            \qquad (x, z) \sim p_\theta(x, z)

    Its value is that of :class:`IWAE`, a lower bound of :math:`\log p(x)` estimated without bias,
    and the model's gradient is that of the bound. The guide's lowers
    :math:`\mathrm{KL}(p(z \mid x) \| q(z \mid x))` instead: of the data in the wake phase, with a
    bias that goes as :math:`1 / K`, since the weights are normalized; of data that the model draws,
    without bias, in the sleep phase. No site need be reparameterized, and no gradient passes
    through a draw. Any minibatch will do. Where all sites are reparameterized, :class:`DReG` has
    a gradient of the wake phase of the guide that loses its noise near the posterior.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> objective = ReweightedWakeSleep(phase="both")
        >>> objective.loss(model, Amortized(model.posterior), model(n=10)).shape
        torch.Size([])

    References:
        | Reweighted Wake-Sleep (Bornschein & Bengio, 2015)
        | https://arxiv.org/abs/1406.2751

        | Revisiting Reweighted Wake-Sleep for Models with Stochastic Control Flow
        | (Le et al., 2019)
        | https://arxiv.org/abs/1805.10469

    Arguments:
        particles: The number :math:`K` of draws for each datum.
        phase: What the guide follows: ``"wake"``, ``"sleep"``, or the mean of ``"both"``.
        kl_weight: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If the phase is unknown, a site lies outside of the plate of the data, or, with
            sleep, the model takes no number ``n`` of data to draw.
    """

    bound = "lower"

    def __init__(
        self,
        particles: int = 8,
        phase: str = "wake",
        kl_weight: float | Schedule = 1.0,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        super().__init__(particles, kl_weight, vectorized, max_plate_nesting)

        if phase not in PHASES:
            raise ValueError(
                f"The phase of the guide is one of {', '.join(PHASES)}, got {phase!r}."
            )

        self.phase = phase

    def estimate(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Estimate:
        weights = self.weights(model, guide, *args, detached=True, **kwargs)
        loss = self.loss_of(weights)
        # Before anything is captured: it may take a run of the programs.
        depth = self.depth_of(model, guide, Arguments(args, kwargs))

        if self.phase != "wake" and torch.is_grad_enabled():
            share = 0.5 if self.phase == "both" else 1.0
            score = self._asleep(model, guide, Arguments(args, kwargs), weights.n, depth)
            loss = with_gradient(loss, loss - share * weights.scale * score.sum())

        return Estimate(loss, self.metrics_of(weights), weights.n * weights.scale)

    def tightened(self, weights: Weights) -> Tensor:
        return log_mean_exp(weights.log_weight.detach())

    def loss_of(self, weights: Weights) -> Tensor:
        weights.check_local()
        joint = weights.likelihood + self.beta * weights.prior
        log_w = (joint - self.beta * weights.guide).detach()
        share = {"wake": 1.0, "both": 0.5, "sleep": 0.0}[self.phase]
        surrogate = (log_w.softmax(0) * (joint + share * weights.guide)).sum()
        return -weights.scale * with_gradient(log_mean_exp(log_w).sum(), surrogate)

    def _asleep(
        self, model: Program, guide: Program, batch: Arguments, n: int, depth: int
    ) -> Tensor:
        dreamt, latent = dream(model, batch, n)
        return score_guide(guide, dreamt, latent, depth=depth)

    def extra_repr(self) -> str:
        return f"phase={self.phase}, {super().extra_repr()}"
