r"""Spaces in which latent variables move.

A variable moves without bounds where its support has a bijection to the real numbers, along great
circles on a sphere, and by jumps where it is discrete. Momenta have unit mass in all of them;
elements differ in the size of their steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from pyro.distributions import constraints
from torch import Tensor
from torch.distributions import biject_to
from torch.distributions.constraints import MixtureSameFamilyConstraint

from ...weights import Site

__all__ = ["Flat", "Jumping", "Space", "Spherical", "space_of"]


@dataclass(frozen=True)
class Space(ABC):
    r"""Where one latent site moves.

    To write a new one, subclass it, tell in :meth:`value` and :meth:`coordinates` how its points
    are stored, and let :meth:`momentum`, :meth:`kick` and :meth:`drift` keep volume and be
    undone by their own repetition with the momentum turned round, for times that differ as
    :meth:`width` does; :func:`space_of` has to pick it.
    """

    axis: int
    r"""The dimension of the data in values, which have the particles first."""

    def sum(self, t: Tensor) -> Tensor:
        r"""Sums a tensor in the shape of the values to ``(K, n)``."""
        return t.movedim(self.axis, 1).flatten(2).sum(2) if t.ndim > 2 else t

    def spread(self, t: Tensor, like: Tensor) -> Tensor:
        r"""Shapes numbers of shape ``(K, n)`` so that they broadcast to values."""
        shape = [1] * like.ndim
        shape[0], shape[self.axis] = t.shape
        return t.reshape(shape)

    @abstractmethod
    def value(self, u: Tensor) -> tuple[Tensor, Tensor]:
        r"""The value at coordinates, and the log volume there, with shape ``(K, n)``."""

    @abstractmethod
    def coordinates(self, value: Tensor) -> Tensor:
        r"""The coordinates of a value."""

    @abstractmethod
    def momentum(self, u: Tensor) -> Tensor:
        r"""Draws a momentum."""

    @abstractmethod
    def kick(self, u: Tensor, v: Tensor, force: Tensor) -> Tensor:
        r"""The momentum after a force."""

    @abstractmethod
    def width(self, u: Tensor) -> Tensor:
        r"""How wide chains of one datum spread, with shape ``(1, ...)``, the same for all data.

        It broadcasts to coordinates, equal where a drift mixes elements.
        """

    @abstractmethod
    def drift(self, u: Tensor, v: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        r"""Coordinates and momentum after a free motion."""


@dataclass(frozen=True)
class Flat(Space):
    r"""Real numbers, which a bijection takes to the support."""

    bijection: Any

    def value(self, u: Tensor) -> tuple[Tensor, Tensor]:
        value = self.bijection(u)
        return value, self.sum(self.bijection.log_abs_det_jacobian(u, value))

    def coordinates(self, value: Tensor) -> Tensor:
        return self.bijection.inv(value)

    def momentum(self, u: Tensor) -> Tensor:
        return torch.randn_like(u)

    def kick(self, u: Tensor, v: Tensor, force: Tensor) -> Tensor:
        return v + force

    def width(self, u: Tensor) -> Tensor:
        # The median over data, since a chain may be far out, or nowhere.
        variance = u.var(0, keepdim=True).nanmedian(self.axis, keepdim=True).values
        known = variance.isfinite() & (variance > 0)
        return torch.where(known, variance, 1.0).sqrt()

    def drift(self, u: Tensor, v: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        return u + time * v, v


@dataclass(frozen=True)
class Spherical(Space):
    r"""Unit vectors, which move along great circles.

    References:
        | Geodesic Monte Carlo on Embedded Manifolds (Byrne & Girolami, 2013)
        | https://arxiv.org/abs/1301.6064
    """

    def value(self, u: Tensor) -> tuple[Tensor, Tensor]:
        return u, self.sum(torch.zeros_like(u[..., 0]))

    def coordinates(self, value: Tensor) -> Tensor:
        return value

    def momentum(self, u: Tensor) -> Tensor:
        return _tangent(u, torch.randn_like(u))

    def kick(self, u: Tensor, v: Tensor, force: Tensor) -> Tensor:
        return v + _tangent(u, force)

    def width(self, u: Tensor) -> Tensor:
        # One for all elements: a great circle leads through all of them.
        return torch.ones_like(u[:1, ..., :1].narrow(self.axis, 0, 1))

    def drift(self, u: Tensor, v: Tensor, time: Tensor) -> tuple[Tensor, Tensor]:
        speed = torch.linalg.vector_norm(v, dim=-1, keepdim=True)
        speed = speed.clamp(min=torch.finfo(v.dtype).tiny)
        angle = speed * time
        ahead = v / speed
        new = u * angle.cos() + ahead * angle.sin()
        v = speed * (ahead * angle.cos() - u * angle.sin())
        # Against rounding.
        new = new / torch.linalg.vector_norm(new, dim=-1, keepdim=True)
        return new, _tangent(new, v)


@dataclass(frozen=True)
class Jumping(Space):
    r"""A discrete set, whose points are held in motion, and proposed anew between motions."""

    def value(self, u: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError("Discrete values do not move.")

    coordinates = momentum = kick = width = drift = value  # type: ignore[assignment]


def space_of(name: str, site: Site, axis: int) -> Space:
    r"""The space of a latent site.

    Arguments:
        name: Its name.
        site: The site, drawn for several particles and data.
        axis: The dimension of the data in its values.

    Raises:
        ValueError: If its support has no bijection to real numbers, is no sphere and not discrete.
    """
    support: Any = getattr(site.p, "support", None)
    if isinstance(support, MixtureSameFamilyConstraint):
        support = support.base_constraint
    if support is None or support.is_discrete:
        return Jumping(axis)
    if isinstance(support, type(constraints.sphere)):
        return Spherical(axis)

    if any(t.ndim > support.event_dim for t in _bounds(support)):
        raise ValueError(
            f"Annealing cannot move site {name!r}: the bounds of its support, {support}, differ "
            "between draws or data; use importance weighting."
        )

    try:
        return Flat(axis, biject_to(support))
    except NotImplementedError as error:
        raise ValueError(
            f"Annealing cannot move site {name!r}: its support, {support}, has no bijection to "
            "the real numbers, is no sphere and not discrete; use importance weighting."
        ) from error


def _bounds(support: Any) -> Iterator[Tensor]:
    # The tensors that a constraint, or what it is made of, holds.
    for value in vars(support).values():
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, constraints.Constraint):
            yield from _bounds(value)


def _tangent(u: Tensor, v: Tensor) -> Tensor:
    return v - (u * v).sum(-1, keepdim=True) * u
