r"""What objectives have in common that play against a critic."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from ..weights import Arguments, Program, Weights
from .codes import draw_codes, score_codes
from .critic import Critic, accuracy, logistic
from .game import Game
from .role import Estimate, Role
from .schedule import Schedule

__all__ = ["Adversarial", "Pair"]


class Pair(NamedTuple):
    r"""A pair of programs, and the batch that they are called with."""

    model: Program
    guide: Program
    batch: Arguments


class Adversarial(Game):
    r"""Terms that a critic estimates, which is trained against the programs.

    .. math::
        \text{programs:} \quad & \sum_x \left( - \mathbb{E}_{q(z \mid x)} \big[ \log p(x \mid z)
            \big] \right) + \text{penalty} \\
        \text{critic:} \quad & \mathbb{E}_{q(u)} \big[ \log (1 + e^{-T(u)}) \big]
            + \mathbb{E}_{p(u)} \big[ \log (1 + e^{T(u)}) \big]

    Two players step in turn, on draws of their own: ``programs``, which holds the parameters of
    the model and the guide, and ``critic``, which holds those of the network :math:`T`; see
    :mod:`ppl_vae.objectives.critic`. The critic's draws carry no gradient, so that it costs no
    backward pass of the programs. The latent sites of a datum make one vector, its code. Its
    metrics are ``critic_loss``, ``critic_accuracy``, one half where it cannot tell the samples
    apart, and ``critic_divergence``, its estimate of :math:`\mathrm{KL}(q(u) \| p(u))`.

    Players circle around each other, and momentum drives them on: Adam with ``betas=(0.5, 0.9)``
    settles where that of ``(0.9, 0.999)`` may not. A critic that tells all apart, with an accuracy
    near one, has a logit of little use.

    To write a new one, subclass it, return the two samples that the critic is to tell apart from
    :meth:`samples_of`, and what it makes of the programs' loss from :meth:`penalty_of`. Set
    ``implicit = True`` if neither asks for a density of the guide.

    Arguments:
        hidden: The widths of the critic's hidden layers.
        particles: As in :class:`~ppl_vae.objectives.Objective`.
        kl_weight: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If a width is not positive, a site is not reparameterized, is masked, or lies
            outside of the plate of the data or in one within it.
    """

    def __init__(
        self,
        hidden: Sequence[int],
        particles: int = 1,
        kl_weight: float | Schedule = 1.0,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        super().__init__(particles, kl_weight, vectorized, max_plate_nesting)
        self.critic = Critic(hidden)

    @abstractmethod
    def penalty_of(self, weights: Weights, pair: Pair) -> Tensor:
        r"""
        Arguments:
            weights: The weights of a batch of :math:`n` data.
            pair: The programs and the batch.

        Returns:
            The penalty, summed over the batch: a 0-dimensional tensor.
        """

    @abstractmethod
    def samples_of(self, pair: Pair) -> tuple[Tensor, Tensor]:
        r"""What the critic is to tell apart; called without gradients.

        Arguments:
            pair: The programs and the batch.

        Returns:
            Draws of :math:`q(u)`, whose logits are to be high, and of :math:`p(u)`, each with
            shape ``(K, n, d)``.
        """

    def players(self) -> list[Role]:
        return [
            Role("programs", ("model", "guide"), self.estimate),
            Role("critic", ("objective",), self.discern),
        ]

    def estimate(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Estimate:
        weights = self.codes(model, guide, *args, **kwargs)
        penalty = self.penalty_of(weights, Pair(model, guide, Arguments(args, kwargs)))
        loss = weights.scale * (penalty - weights.likelihood.mean(0).sum())
        return Estimate(loss, self.metrics_of(weights), weights.n * weights.scale)

    def discern(self, model: Program, guide: Program, *args: Any, **kwargs: Any) -> Estimate:
        r"""The loss of the critic on draws of its own."""
        with torch.no_grad():
            q, p = self.samples_of(Pair(model, guide, Arguments(args, kwargs)))

        high, low = self.critic(q), self.critic(p)
        told = {"accuracy": accuracy(high, low), "divergence": high.mean()}
        metrics = {name: value.detach() for name, value in told.items()}
        return Estimate(logistic(high, low), metrics, q.shape[1])

    def guide_codes(self, pair: Pair, particles: int) -> dict[str, Tensor]:
        r"""Draws of the guide, by site, each with shape ``(K, n, d)``."""
        return self._draw(pair.guide, pair, particles)

    def prior_codes(self, pair: Pair, names: Iterable[str]) -> dict[str, Tensor]:
        r"""Joint draws of the prior of some sites, as many for each datum as the guide's.

        They carry no gradient.
        """
        with torch.no_grad():
            return self._draw(pair.model, pair, self.particles, names)

    def held_prior(self, weights: Weights, pair: Pair) -> Tensor:
        r"""The density of the prior at draws that are held fixed.

        Returns:
            :math:`\log p(z)`, whose gradient is that in the prior's parameters alone, with shape
            ``(K, n)``.
        """
        values = {name: site.value.detach() for name, site in weights.sites.items()}
        runs = 1 if self.vectorized else self.particles
        each = zip(*(value.chunk(runs) for value in values.values()), strict=True)
        depth = self._depth(pair, self.particles // runs)
        parts = [
            score_codes(pair.model, pair.batch, dict(zip(values, z, strict=True)), depth)
            for z in each
        ]
        return torch.cat(parts)

    def _draw(
        self, program: Program, pair: Pair, particles: int, names: Iterable[str] | None = None
    ) -> dict[str, Tensor]:
        runs = 1 if self.vectorized else particles
        K = particles // runs
        depth = self._depth(pair, K)
        each = [draw_codes(program, pair.batch, K, depth, names) for _ in range(runs)]
        return {name: torch.cat([codes[name] for codes in each]) for name in each[0]}

    def _depth(self, pair: Pair, particles: int) -> int | None:
        return self.depth_of(*pair) if particles > 1 else None

    def extra_repr(self) -> str:
        return f"particles={self.particles}"
