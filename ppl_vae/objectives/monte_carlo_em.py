r"""Monte Carlo EM."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..weights import Arguments, Program, Weights, rescore
from .base import Objective
from .elbo import ELBO
from .iwae import IWAE
from .role import Estimate, Role
from .terms import with_gradient

__all__ = ["MonteCarloEM"]


class MonteCarloEM(Objective):
    r"""Steps of the guide alone and steps of the model alone, in turn.

    .. math::
        \text{E-step, } \phi: \quad & \nabla_\phi \frac{1}{K} \sum_k \log w_k \qquad
            z_k \sim q_\phi(z \mid x), \quad w_k = \frac{p_\theta(x, z_k)}{q_\phi(z_k \mid x)} \\
        \text{M-step, } \theta: \quad & \sum_k \tilde{w}_k \nabla_\theta \log p_\theta(x, z_k)
            \qquad \tilde{w}_k = \frac{w_k}{\sum_j w_j}

    Its value is that of :class:`IWAE`, a lower bound of :math:`\log p(x)` estimated without bias,
    and the model's gradient is that of the bound: it follows the expectation of
    :math:`\log p(x, z)` under the posterior, from draws of the guide, with a bias that goes as
    :math:`1 / K`. With one particle all weights are one, and it is variational EM. The guide
    follows the :class:`ELBO`, so that sites need not be reparameterized. Many steps of the guide
    for each of the model keep the guide from lagging behind a posterior that moves, which makes
    latent variables collapse.

    A player that waits costs nothing. Guide and model each have an optimizer; parameters that they
    share, as those of a VampPrior, belong to the guide, and so move in the E-step alone. Under
    :class:`pyro.infer.SVI` nobody waits: each step is of both, of the guide along the E-step's
    gradient and of the model along the M-step's, which costs another run of the programs if there
    are several particles.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> MonteCarloEM(guide_steps=5).loss(model, Amortized(model.posterior), model(n=10)).shape
        torch.Size([])

    References:
        | A Monte Carlo Implementation of the EM Algorithm and the Poor Man's Data Augmentation
        | Algorithms (Wei & Tanner, 1990)
        | https://doi.org/10.1080/01621459.1990.10474930

        | Lagging Inference Networks and Posterior Collapse in Variational Autoencoders
        | (He et al., 2019)
        | https://arxiv.org/abs/1901.05534

    Arguments:
        particles: The number :math:`K` of draws for each datum.
        guide_steps: The number of steps of the guide in a row, an E-step.
        model_steps: The number of steps of the model in a row, an M-step.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If a number of steps is not positive, or a site lies outside of the plate of
            the data.
    """

    bound = "lower"
    weighted = False

    def __init__(
        self,
        particles: int = 1,
        guide_steps: int = 10,
        model_steps: int = 1,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        super().__init__(particles, 1.0, vectorized, max_plate_nesting)

        if guide_steps < 1 or model_steps < 1:
            raise ValueError(
                "MonteCarloEM takes one step or more of the guide and of the model in turn, got "
                f"guide_steps={guide_steps} and model_steps={model_steps}."
            )

        self.guide_steps = guide_steps
        self.model_steps = model_steps
        self.elbo = ELBO(particles)
        self.iwae = IWAE(particles)

    def players(self) -> list[Role]:
        return [
            Role("guide", ("guide",), self.expectation, self._of_guide),
            Role("model", ("model",), self.maximization, lambda done: not self._of_guide(done)),
        ]

    def _of_guide(self, done: int) -> bool:
        return done % (self.guide_steps + self.model_steps) < self.guide_steps

    def expectation(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Estimate:
        r"""The loss of an E-step, with a gradient for the guide alone."""
        weights = self.weights(model, guide, *args, **kwargs)
        return self._told(weights, self.elbo.loss_of(weights))

    def maximization(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Estimate:
        r"""The loss of an M-step, with a gradient for the model alone."""
        weights = self.weights(model, guide, *args, detached=True, **kwargs)
        return self._told(weights, self.loss_of(weights))

    def estimate(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Estimate:
        weights = self.weights(model, guide, *args, **kwargs)
        surrogate = self.elbo.loss_of(weights)

        if self.particles > 1 and torch.is_grad_enabled():
            # At copies that no gradient leaves: the model's weights, for those of the E-step.
            batch = Arguments(args, kwargs)
            depth = self.depth_of(model, guide, batch)
            z = {name: site.value.detach() for name, site in weights.sites.items()}
            copies = rescore(model, guide, batch, z, vectorized=self.vectorized, depth=depth)
            more = weights.log_weight.detach().softmax(0) - 1 / self.particles
            joint = copies.likelihood + copies.prior
            surrogate = surrogate - weights.scale * (more * joint).sum()

        return self._told(weights, surrogate)

    def _told(self, weights: Weights, surrogate: Tensor) -> Estimate:
        loss = with_gradient(self.loss_of(weights), surrogate)
        return Estimate(loss, self.metrics_of(weights), weights.n * weights.scale)

    def tightened(self, weights: Weights) -> Tensor | None:
        return self.iwae.tightened(weights)

    def loss_of(self, weights: Weights) -> Tensor:
        return self.iwae.loss_of(weights)

    def extra_repr(self) -> str:
        steps = f"guide_steps={self.guide_steps}, model_steps={self.model_steps}"
        return f"{steps}, {super().extra_repr()}"
