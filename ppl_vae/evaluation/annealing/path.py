r"""The path of densities from a start to the posterior.

.. math:: \log f_\beta(z) = (1 - \beta) \log \pi_0(z) + \beta \log p(x, z)

where the start :math:`\pi_0` is the prior :math:`p(z)` or the guide :math:`q(z \mid x)`. The
integral of :math:`f_0` is one, that of :math:`f_1` is :math:`p(x)`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ...staging import Staged, choose
from ...weights import (
    Program,
    Weights,
    draw_sites,
    log_joint,
    log_weights,
    plate_depth,
    redraw_site,
    score_guide,
    sites_left_out,
)
from ..memory import bytes_per_row
from .point import Point
from .space import Jumping, Space, space_of

__all__ = ["Path", "Start"]

Start = Literal["prior", "guide"]
r"""What annealing starts from."""

Coordinates = Mapping[str, Tensor]


class Path:
    r"""The path for a pair of programs.

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`.
        rows: A batch of two data or more, of which the layout of the sites is read.
        start: ``"prior"`` or ``"guide"``.
        memory: The number of bytes that intermediate results of a gradient may take.

    Raises:
        ValueError: As :func:`~ppl_vae.weights.log_weights`, if a site lies outside of the plate
            of the data, or cannot be moved.
    """

    def __init__(
        self, model: Program, guide: Program, rows: Any, start: Start, memory: int
    ) -> None:
        if start not in get_args(Start):
            raise ValueError(f"Annealing starts from prior or guide, got {start!r}.")

        self.model, self.guide, self.start = model, guide, start
        self.depth = plate_depth(model, guide, rows)
        # A gradient keeps what a pass makes, and makes as much again; the rows are two.
        self.budget = max(2 * memory // (3 * bytes_per_row(model, guide, rows)), 1)
        weights = log_weights(model, guide, rows, 2, depth=self.depth)
        weights.check_local()
        self._check(rows, weights)
        self.spaces: dict[str, Space] = {}
        self.dims = {name: site.value.ndim for name, site in weights.sites.items()}

        for name, site in weights.sites.items():
            self.spaces[name] = space_of(name, site, site.data_axis)

        self.moving = [k for k, space in self.spaces.items() if not isinstance(space, Jumping)]
        self.jumping = [k for k in self.spaces if k not in self.moving]
        self._terms: Callable[..., Any] = self._gradient

    def _check(self, rows: Any, weights: Weights) -> None:
        values = draw_sites(self.guide, rows, 2, depth=self.depth)

        if missing := [name for name in values if name not in weights.sites]:
            raise ValueError(
                f"Site {missing[0]!r} depends on a site that the model sums out, so that it has no "
                "density of its own to anneal; use importance weighting, or a model that draws "
                "what it depends on."
            )
        if self.start == "prior":
            return

        once, again = (score_guide(self.guide, rows, values, depth=self.depth) for _ in range(2))
        if not torch.equal(once, again):
            raise ValueError(
                f"The density of {type(self.guide).__name__} at a draw changes from run to run, as "
                "its refinement draws noise; start from the prior instead."
            )
        if left_out := sites_left_out(self.model, self.guide, rows):
            raise ValueError(
                f"The guide never draws a part of what the model draws at site {left_out[0]!r}, "
                "which chains that start from it would miss; start from the prior instead."
            )

    @property
    def program(self) -> Program:
        r"""The program that draws from the start."""
        return self.model if self.start == "prior" else self.guide

    def draw(self, batch: Any, particles: int) -> dict[str, Tensor]:
        r"""Draws coordinates from the start."""
        values = draw_sites(self.program, batch, particles, depth=self.depth)
        # Sites that the model sums out are none of the chains'.
        return self.coordinates({name: values[name] for name in self.spaces})

    def coordinates(self, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
        r"""The coordinates of values of the latent sites."""
        return {
            k: self.spaces[k].coordinates(v) if k in self.moving else v for k, v in values.items()
        }

    def repeated(
        self, values: Mapping[str, Tensor], part: slice, particles: int
    ) -> dict[str, Tensor]:
        r"""The values of one particle for a part of the data, as those of many particles."""
        found = {}
        for name in self.spaces:
            value = values[name]
            value = value.reshape(1, *[1] * (self.dims[name] - value.ndim), *value.shape[1:])
            value = value.narrow(self.spaces[name].axis, part.start, part.stop - part.start)
            found[name] = value.expand(particles, *value.shape[1:]).contiguous()

        return found

    def at(self, batch: Any, u: Coordinates) -> Point:
        r"""The terms at coordinates."""
        name, first = next(iter(u.items()))
        size = min(max(self.budget // first.shape[self.spaces[name].axis], 1), len(first))
        parts = [
            self._terms(batch, {k: t[i : i + size] for k, t in u.items()})
            for i in range(0, len(first), size)
        ]
        start, ahead, likelihood, start_force, ahead_force = zip(*parts, strict=True)
        return Point(
            u=dict(u),
            start=torch.cat(start),
            ahead=torch.cat(ahead),
            likelihood=torch.cat(likelihood),
            start_force={k: torch.cat([part[k] for part in start_force]) for k in self.moving},
            ahead_force={k: torch.cat([part[k] for part in ahead_force]) for k in self.moving},
        )

    def redraw(self, batch: Any, u: Coordinates, site: str, share: float) -> Any:
        r"""Draws a site that jumps anew from the start, given all others."""
        values = {k: self.spaces[k].value(t)[0] if k in self.moving else t for k, t in u.items()}
        return redraw_site(self.program, batch, values, site, share=share, depth=self.depth)

    def stage(self, compile: str, batch: Any, particles: int, calls: int) -> None:
        r"""Replays gradients from a graph where that pays.

        Arguments:
            compile: As for :func:`~ppl_vae.evaluation.log_evidence`.
            batch: A batch as it will be.
            particles: The number of chains.
            calls: The planned number of gradients.
        """
        if compile == "off" or (compile == "auto" and calls < FEW):
            return

        self._terms = staged = self._staged("fx" if compile == "auto" else compile)

        if compile == "auto":
            u = {k: t.detach() for k, t in self.draw(batch, particles).items()}
            entry = staged.entry(batch, u)
            graph = None if entry is None else entry.graph
            if graph is not None and (best := choose([graph], calls, graph.device)) != "fx":
                self._terms = self._staged(best)

    def _staged(self, backend: str) -> Staged:
        return Staged(self._gradient, (self.model, self.guide), backend=backend)

    def _gradient(self, batch: Any, u: Coordinates) -> tuple[Any, ...]:
        with torch.enable_grad():
            leaves = {k: u[k].detach().requires_grad_() for k in self.moving}
            values, log_volume = dict(u), torch.zeros(())

            for name, leaf in leaves.items():
                values[name], volume = self.spaces[name].value(leaf)
                log_volume = log_volume + volume

            likelihood, prior = log_joint(self.model, batch, values, depth=self.depth)
            # Both densities share the way from the coordinates to the values, and no other.
            if self.start == "prior":
                start, ahead = prior + log_volume, likelihood
                force, ahead_force = _gradients(start, leaves), _gradients(ahead, leaves)
            else:
                start = score_guide(self.guide, batch, values, depth=self.depth) + log_volume
                end = likelihood + prior + log_volume
                ahead, force = end - start, _gradients(start, leaves)
                ahead_force = {k: t - force[k] for k, t in _gradients(end, leaves).items()}

        return start.detach(), ahead.detach(), likelihood.detach(), force, ahead_force


def _gradients(total: Tensor, leaves: Mapping[str, Tensor]) -> dict[str, Tensor]:
    # A likelihood may not depend on a site, nor a start on any.
    if not leaves or not total.requires_grad:
        return {k: torch.zeros_like(t) for k, t in leaves.items()}

    found = torch.autograd.grad(
        total.sum(), [*leaves.values()], retain_graph=True, allow_unused=True
    )
    return {
        k: torch.zeros_like(t) if g is None else g
        for (k, t), g in zip(leaves.items(), found, strict=True)
    }


FEW = 200
r"""The number of gradients below which programs are run as they are."""
