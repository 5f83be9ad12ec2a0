r"""Gradients through draws alone, and those of the densities, told apart.

A guide's parameters move a log weight in two ways: along the path of the draws, and through
:math:`\log q` at given draws. Estimators that weight the two differently score *copies* of the
draws: what the gradient does at a copy does not reach the other sites that were drawn from it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from pyro.infer.util import is_validation_enabled
from torch import Tensor

from ..weights import Arguments, Program, Weights, draw_guide, rescore
from .base import Objective
from .divergences import check_reparameterized

__all__ = ["Copies", "draw_copies"]


@dataclass
class Copies:
    r"""Draws of a guide, and the log densities of copies of them."""

    weights: Weights
    r"""The log densities of both programs at the copies."""
    draws: Mapping[str, Tensor]
    r"""The draws of each site, along the path of which gradients flow."""
    copies: Mapping[str, Tensor]
    factors: dict[str, Tensor] = field(default_factory=dict)
    r"""What the gradient at a copy is multiplied by, on its way to the draw."""

    def slow_down(self, factor: Tensor) -> None:
        r"""Multiplies the gradients at the copies of each particle by a factor.

        Arguments:
            factor: The factors, with shape ``(K, n)``, without gradient.
        """
        for name, site in self.weights.sites.items():
            self.factors[name] = site.spread(factor)

    def path(self, total: Tensor) -> Tensor:
        r"""Returns a sum that has the gradient of ``total`` along the paths of the draws alone.

        Arguments:
            total: A sum over log densities at the copies.
        """
        free = {name: copy for name, copy in self.copies.items() if copy.requires_grad}
        if not free or not torch.is_grad_enabled():
            return torch.zeros_like(total)

        found = torch.autograd.grad(
            total, list(free.values()), retain_graph=True, allow_unused=True
        )
        terms = [
            (g.detach() * self.draws[name]).sum()
            for name, g in zip(free, found, strict=True)
            if g is not None
        ]
        return torch.stack(terms).sum() if terms else torch.zeros_like(total)


def draw_copies(
    objective: Objective,
    model: Program,
    guide: Program,
    *args: Any,
    leaves: bool = False,
    **kwargs: Any,
) -> Copies:
    r"""Draws from the guide, and scores copies of the draws.

    Arguments:
        objective: Whose number of draws is made.
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`.
        args: What both programs are called with, by position.
        leaves: Whether gradients end at the copies. Else they go on to the draws, after
            :meth:`Copies.slow_down`.
        kwargs: What both programs are called with, by name.

    Raises:
        ValueError: If a site is not reparameterized, or lies outside of the plate of the data, or
            if the guide gives two densities to one draw, as dropout does.
    """
    batch = Arguments(args, kwargs)
    depth = objective.depth_of(model, guide, batch)
    draws, log_q = _draws(objective, guide, batch, depth)
    factors: dict[str, Tensor] = {}
    copies = {name: _leaf(z) if leaves else _hooked(z, name, factors) for name, z in draws.items()}
    weights = rescore(model, guide, batch, copies, vectorized=objective.vectorized, depth=depth)
    weights.check_local()

    if is_validation_enabled() and not torch.allclose(log_q, weights.guide, rtol=1e-3, atol=1e-3):
        raise ValueError(
            f"{type(objective).__name__} runs the guide twice, to draw and to score, and the two "
            "densities of one draw differ: is there dropout in its network? Take one without, or "
            "an objective that runs the guide once, such as ELBO or IWAE."
        )

    check_reparameterized(type(objective).__name__, weights)
    return Copies(weights, draws, copies, factors)


def _draws(
    objective: Objective, guide: Program, batch: Arguments, depth: int
) -> tuple[dict[str, Tensor], Tensor]:
    if objective.vectorized or objective.draws == 1:
        return draw_guide(guide, batch, objective.draws, depth=depth)

    each = [draw_guide(guide, batch, 1, depth=depth) for _ in range(objective.draws)]
    values = {k: torch.cat([draws[k] for draws, _ in each]) for k in each[0][0]}
    return values, torch.cat([log_q for _, log_q in each])


def _leaf(draw: Tensor) -> Tensor:
    return draw.detach().requires_grad_(draw.requires_grad and torch.is_grad_enabled())


def _hooked(draw: Tensor, name: str, factors: dict[str, Tensor]) -> Tensor:
    copy = draw.view_as(draw)

    if copy.requires_grad:
        # The factors follow from the weights: they are there when the gradient comes.
        hook: Callable[[Tensor], Tensor] = lambda g: g * factors[name]  # noqa: E731
        copy.register_hook(hook)

    return copy
