r"""Which dimensions of a trace hold the particles, the data, and neither."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from pyro.distributions.util import scale_and_mask
from torch import Tensor

from .checks import check_plates, check_scale

__all__ = ["PARTICLES", "Layout", "vectors"]

PARTICLES = "_particles"
Node = Mapping[str, Any]


def frames(node: Node) -> list[Any]:
    r"""The plates around a site, that of the particles apart."""
    return [f for f in node["cond_indep_stack"] if f.vectorized and f.name != PARTICLES]


def vectors(t: Tensor, axis: int) -> Tensor:
    r"""Draws as one vector for each datum, with shape ``(K, n, d)``.

    Arguments:
        t: The draws, the particles first.
        axis: Which of their dimensions holds the data.
    """
    moved = t.movedim(axis, 1)
    return moved.reshape(*moved.shape[:2], -1)


@dataclass(frozen=True)
class Layout:
    r"""Where the :math:`K` particles and the :math:`n` data lie in the densities of a trace."""

    particles: int
    n: int
    scale: float
    plate: str
    data_dim: int
    particle_dim: int | None
    depth: int

    @classmethod
    def of(cls, nodes: list[Node], size: int | None, particles: int, depth: int | None) -> Layout:
        r"""
        Arguments:
            nodes: The sample sites of both programs.
            size: The number of rows of the batch, if it has any.
            particles: The number :math:`K`.
            depth: The number of nested plates, where there is a plate of particles.

        Raises:
            ValueError: If there is no plate of the data, or it cannot be told which it is.
        """
        plates = {f.name: f for node in nodes for f in frames(node)}
        fitting = [name for name, f in plates.items() if f.size == size]

        if "data" in plates:
            name = "data"
        elif len(fitting) == 1:
            (name,) = fitting
        else:
            raise ValueError(
                f"No plate of the programs is the data's: {sorted(plates) or 'there are none'}"
                f"{f', and the batch has {size} rows' if size is not None else ''}. Open "
                "pyro.plate('data', n, dim=-1) around the sites of each datum."
            )

        frame = plates[name]
        depth = max([depth or 1, *(-f.dim for f in plates.values())])
        return cls(
            particles=particles,
            n=frame.size,
            scale=(frame.full_size or frame.size) / frame.size,
            plate=name,
            data_dim=frame.dim,
            particle_dim=None if particles == 1 else -1 - depth,
            depth=depth,
        )

    def local(self, node: Node) -> bool:
        r"""Whether a site lies in the plate of the data."""
        return any(f.name == self.plate for f in frames(node))

    def dims(self, node: Node) -> dict[int, int]:
        r"""The sizes of the plates around a site, by dimension."""
        dims = {f.dim: f.size for f in frames(node)}
        return dims if self.particle_dim is None else {**dims, self.particle_dim: self.particles}

    def value(self, node: Node) -> Tensor:
        r"""The value of a site, with the particles where several of them would be."""
        value: Tensor = node["value"]

        if self.particle_dim is not None:
            return value

        missing = self.depth - (value.ndim - len(node["fn"].event_shape))
        return value.reshape(1, *[1] * missing, *value.shape)

    def log_prob(self, node: Node) -> Tensor:
        r"""The log density of a site, masked and unscaled, with the shape of its plates."""
        check_scale(node, self.scale if self.local(node) else 1.0)
        log_prob = node["fn"].log_prob(node["value"], *node["args"], **node["kwargs"])
        return scale_and_mask(log_prob, mask=node["mask"])

    def reduce(self, t: Tensor, node: Node) -> Tensor:
        r"""Sums a tensor over all plates but those of particles and data.

        Returns:
            A tensor with shape ``(K, n)``, or ``(K, 1)`` outside of the plate of the data.
        """
        dims = self.dims(node)
        check_plates(node, t, dims)
        full = [dims.get(d, 1) for d in range(min(dims, default=0), 0)]
        t = t.expand(torch.broadcast_shapes(t.shape, full))

        local = self.local(node)
        keep = {self.particle_dim, self.data_dim if local else None}
        drop = [d for d in range(-t.ndim, 0) if d not in keep]
        t = t.sum(drop) if drop else t
        t = t if local else t.unsqueeze(-1)
        return t.unsqueeze(0) if self.particle_dim is None else t

    def spread(self, t: Tensor, node: Node) -> Tensor:
        r"""Shapes numbers of particles and data so that they broadcast to the value of a site.

        Arguments:
            t: The numbers, with shape ``(K, n)``, or ``(K, 1)`` outside of the plate of the data.
            node: The site.
        """
        shape = [1] * self.depth
        if self.local(node):
            shape[self.data_dim] = t.shape[1]
        return t.reshape(len(t), *shape, *[1] * len(node["fn"].event_shape))
