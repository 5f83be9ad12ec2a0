r"""The ELBO with a learned baseline."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from ..weights import Arguments, Program, Weights
from .base import Objective
from .role import Estimate
from .rows import flattened, rows_in
from .schedule import Schedule
from .terms import with_gradient

__all__ = ["NVIL"]


class NVIL(Objective):
    r"""The evidence lower bound, whose scores have a learned baseline.

    .. math:: \nabla_\phi \mathcal{L} = \mathbb{E}_{q_\phi(z \mid x)} \left[
        \frac{\log w - C_\psi(x) - c}{\max(1, s)} \, \nabla_\phi \log q_\phi(z \mid x) \right]

    where the network :math:`C_\psi` is fitted to the numerator by least squares, and :math:`c` and
    :math:`s` are the running mean and standard deviation of it. A lower bound of
    :math:`\log p(x)`, that of :class:`ELBO`, estimated without bias. Scores have the
    direction of the ELBO's, and its length by the factor :math:`1 / \max(1, s)`. The model, and
    sites that are reparameterized, get the gradient of :class:`ELBO`. The baseline is trained by
    :class:`ppl_vae.svi.SVI`; under :class:`pyro.infer.SVI`, which takes parameters from Pyro's
    store alone, it stays as it was drawn.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> NVIL().loss(model, Amortized(model.posterior), model(n=10)).shape
        torch.Size([])

    References:
        | Neural Variational Inference and Learning in Belief Networks (Mnih & Gregor, 2014)
        | https://arxiv.org/abs/1402.0030

    Arguments:
        particles: The number :math:`K` of draws for each datum.
        hidden: The number of units of the baseline's hidden layer.
        momentum: The weight of the past in the running mean and variance.
        kl_weight: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If a site lies outside of the plate of the data.
    """

    bound = "lower"
    mean: Tensor
    variance: Tensor

    def __init__(
        self,
        particles: int = 1,
        hidden: int = 100,
        momentum: float = 0.8,
        kl_weight: float | Schedule = 1.0,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        super().__init__(particles, kl_weight, vectorized, max_plate_nesting)

        if not 0 <= momentum < 1:
            raise ValueError(f"The momentum of NVIL lies between 0 and 1, got {momentum}.")

        self.momentum = momentum
        # Sized, and drawn, with the first batch: the seed of a training is set by then.
        self.baseline = nn.Sequential(nn.LazyLinear(hidden), nn.Tanh(), nn.LazyLinear(1))
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("variance", torch.ones(()))

    def estimate(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Estimate:
        weights = self.weights(model, guide, *args, **kwargs)
        predicted = self._predict(args, kwargs, weights)
        return Estimate(
            self._loss(weights, predicted), self.metrics_of(weights), weights.n * weights.scale
        )

    def loss_of(self, weights: Weights) -> Tensor:
        return self._loss(weights, weights.likelihood.new_zeros(weights.n))

    def _loss(self, weights: Weights, predicted: Tensor) -> Tensor:
        weights.check_local()
        log_w = weights.likelihood + self.beta * (weights.prior - weights.guide)
        signal = log_w.detach() - predicted.detach()
        reward = (signal - self.mean) / self.variance.sqrt().clamp(min=1)
        surrogate = log_w

        for site in weights.sites.values():
            if not site.reparameterized:
                # E[grad log q] = 0, so that the density itself is left out.
                surrogate = surrogate + (reward + self.beta) * site.log_q

        # The baseline lowers its squared error; that is no part of the value.
        error = (log_w.detach() - self.mean - predicted).square().mean(0)
        total = surrogate.mean(0).sum() - error.sum()
        if torch.is_grad_enabled() and self.training:
            self._follow(signal)
        return -weights.scale * with_gradient(log_w.mean(0).sum(), total)

    def _predict(self, args: Any, kwargs: Any, weights: Weights) -> Tensor:
        n, dtype = weights.n, self.mean.dtype
        rows = rows_in(Arguments(args, kwargs), n, dtype) or [self.mean.new_zeros(n, 1)]
        predicted: Tensor = self.baseline(flattened(rows, dtype)).squeeze(-1)
        return predicted

    def _follow(self, signal: Tensor) -> None:
        with torch.no_grad():
            m = self.momentum
            self.mean.copy_(m * self.mean + (1 - m) * signal.mean())
            self.variance.copy_(m * self.variance + (1 - m) * signal.var(correction=0))

    def extra_repr(self) -> str:
        return f"momentum={self.momentum}, {super().extra_repr()}"
