r"""How the blocks of an evaluation are drawn: from the guide, the prior too, or by Sobol points."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..weights import Program, plate_depth
from .blocks import BLOCK, Draw, draw_weights, estimates, staged
from .defensive import defended, draw_prior, prior_sites
from .noise import Ask, asked
from .rows import Rows
from .sobol import REPLICATES, SIZE, draw_points, quasi

__all__ = ["Plan"]

Estimate = Callable[[Any, int, tuple[int, int]], dict[str, Tensor]]
r"""From a block of data, their number and the seeds to the fields of their evidence."""


class Plan:
    r"""The draws of an evaluation, and the estimates for a block of data.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> rows = Rows(model(n=10).detach(), None)
        >>> plan = Plan(model, Amortized(model.posterior), rows, 200, 20, "random", 1000, True)
        >>> with torch.no_grad():
        ...     sorted(plan(rows[:3], 3, (0, 0)))[:3]
        ['elbo', 'ess', 'khat']

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`.
        rows: All data.
        particles: The number :math:`K` of draws for each datum.
        own: How many of them come from the prior.
        draws: ``"random"`` or ``"sobol"``.
        budget: The number of draws that the model scores at once.
        vectorized: Whether draws are made at once.

    Raises:
        ValueError: If the programs do not allow such draws.
    """

    def __init__(
        self,
        model: Program,
        guide: Program,
        rows: Rows,
        particles: int,
        own: int,
        draws: str,
        budget: int,
        vectorized: bool,
    ) -> None:
        self.programs = model, guide
        self.rows = rows
        self.particles = particles
        self.own = own
        depth = plate_depth(model, guide, rows[:1])
        how: dict[str, Any] = {"depth": depth, "budget": budget}
        self.asks: list[Ask] = asked(guide, rows[:1], depth) if draws == "sobol" else []
        self.prior: Draw | None = None

        if self.asks:
            self.draw: Draw = partial(draw_points, model, guide, asks=self.asks, **how)
        else:
            self.draw = partial(draw_weights, model, guide, vectorized=vectorized, **how)
        if own:
            sites = prior_sites(model, guide, rows[:1])
            self.prior = partial(
                draw_prior, model, guide, sites=sites, vectorized=vectorized, **how
            )

    def __call__(self, batch: Any, n: int, seeds: tuple[int, int]) -> dict[str, Tensor]:
        r"""The fields of :class:`~ppl_vae.evaluation.Evidence` for the data of a block.

        Arguments:
            batch: The data.
            n: Their number.
            seeds: The seed of all draws and the number of the block.
        """
        if self.asks:
            return quasi(self.draw, self.asks, batch, n, self.particles, seeds, self.rows.home)
        if self.prior is not None:
            return defended(self.draw, self.prior, batch, self.particles, seeds, self.own)

        return estimates(self.draw, batch, self.particles, seeds)

    def stage(self, compile: str) -> None:
        r"""Replays the functions that draw a block from graphs, where that pays.

        Arguments:
            compile: How blocks are run, as for :func:`~ppl_vae.evaluation.log_evidence`.
        """
        batches, first = -(-len(self.rows) // BLOCK[1]), self.rows[: BLOCK[1]]

        if self.asks:
            size = self.particles // REPLICATES
            count = -(-size // SIZE)
            self._stage("draw", compile, (first, self._noise(size // count)), batches * count)
            return

        for name, size in (("draw", self.particles - self.own), ("prior", self.own)):
            if size:
                count = -(-size // BLOCK[0])
                self._stage(name, compile, (first, min(BLOCK[0], size)), batches * count)

    def _stage(self, name: str, compile: str, first: tuple[Any, Any], blocks: int) -> None:
        setattr(self, name, staged(getattr(self, name), self.programs, compile, first, blocks))

    def _noise(self, size: int) -> list[Tensor]:
        n = min(BLOCK[1], len(self.rows))
        u = [torch.rand(size, n, ask.size, dtype=torch.float64) for ask in self.asks]
        return [ask.shaped(v).to(self.rows.home) for ask, v in zip(self.asks, u, strict=True)]
