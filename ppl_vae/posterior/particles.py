r"""Draws of the guide with their log densities, and a choice among them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyro
import torch
from torch import Tensor

from ..evaluation.pareto import khat
from ..weights import Program, draw_guide, log_joint, log_weights

__all__ = ["Particles", "draw_particles", "rows_first", "rows_last"]


@dataclass(frozen=True)
class Particles:
    r""":math:`K` draws for each of :math:`n` data."""

    values: dict[str, Tensor]
    r"""By site, with shape ``(K, n, *plates, *event_shape)``."""
    likelihood: Tensor
    r""":math:`\log p(x \mid z)`, in nats, with shape ``(K, n)``."""
    prior: Tensor
    r""":math:`\log p(z)`."""
    guide: Tensor
    r""":math:`\log q(z \mid x)`."""

    @property
    def log_weight(self) -> Tensor:
        r"""The log weights, with shape ``(K, n)``."""
        return self.likelihood + self.prior - self.guide

    def resampled(self, draws: int) -> Particles:
        r"""Draws of the posterior, chosen with probability :math:`w_k / \sum_k w_k` of each."""
        shares = self.log_weight.double().softmax(0).mT
        chosen = torch.multinomial(shares, draws, replacement=True).mT
        column = torch.arange(chosen.shape[1])
        return Particles(
            {name: value[chosen, column] for name, value in self.values.items()},
            *(terms.gather(0, chosen) for terms in (self.likelihood, self.prior, self.guide)),
        )

    def estimates(self) -> dict[str, Tensor]:
        r"""What the weights say of each datum, each with shape ``(n,)``."""
        log_w = self.log_weight.double()
        return {
            "log_evidence": log_w.logsumexp(0) - math.log(len(log_w)),
            "ess": 1 / log_w.softmax(0).square().sum(0),
            # What differs by rounding alone is equal, which the precision of the draws tells.
            "khat": khat(self.log_weight).double(),
        }


def draw_particles(
    model: Program,
    guide: Program,
    batch: Any,
    particles: int,
    *,
    dims: Mapping[str, int],
    depth: int,
    budget: int,
    vectorized: bool,
) -> Particles:
    r"""Draws from the guide under the current seed; the model scores a few draws at a time.

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`.
        batch: The data.
        particles: The number :math:`K` of draws for each datum.
        dims: The number of dimensions of an event of each site.
        depth: The number of nested plates of the programs.
        budget: The number of draws that the model scores at once.
        vectorized: Whether draws are made at once.
    """
    # Once with all checks, as the evidence does.
    first = log_weights(model, guide, batch)
    first.check_local()

    with pyro.validation_enabled(False):
        if vectorized:
            values, log_q = draw_guide(guide, batch, particles, depth=depth)
            step = max(budget // first.n, 1)
            parts = [
                log_joint(
                    model, batch, {k: v[i : i + step] for k, v in values.items()}, depth=depth
                )
                for i in range(0, particles, step)
            ]
            terms = [*(torch.cat(part) for part in zip(*parts, strict=True)), log_q]
        else:
            w = log_weights(model, guide, batch, particles, vectorized=False)
            values = {name: site.value for name, site in w.sites.items()}
            terms = [w.likelihood, w.prior, w.guide]

    return Particles(
        {name: rows_first(value.cpu(), dims[name]) for name, value in values.items()},
        *(term.cpu() for term in terms),
    )


def rows_first(value: Tensor, event: int) -> Tensor:
    r"""From shape ``(K, *plates, n, *event_shape)`` to ``(K, n, *plates, *event_shape)``.

    Example:
        >>> rows_first(torch.zeros(7, 3, 5, 2), event=1).shape
        torch.Size([7, 5, 3, 2])
    """
    return value.movedim(-1 - event, 1)


def rows_last(value: Tensor, event: int) -> Tensor:
    r"""From shape ``(n, *plates, *event_shape)`` to ``(*plates, n, *event_shape)``.

    Example:
        >>> rows_last(torch.zeros(5, 3, 2), event=1).shape
        torch.Size([3, 5, 2])
    """
    return value.movedim(0, -1 - event)
