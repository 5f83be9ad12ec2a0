r"""Transitions that leave a density of the path as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .path import Path
from .point import Point

__all__ = ["SHARES", "follow", "jump", "move"]

SHARES = 1.0, 0.5, 0.1
r"""The shares of the elements of a discrete site that its proposals draw anew, in turn."""

JITTER = 0.2
r"""How far a step is from its size, at most, as a share of it: steps of one size may go round."""


def move(
    path: Path, batch: Any, old: Point, beta: Tensor, sizes: Mapping[str, Tensor], leapfrog: int
) -> tuple[Point, Tensor]:
    r"""A transition of Hamiltonian Monte Carlo, of all sites that move at once.

    It is reversible, for any step sizes that do not depend on where the chain is and differ between
    elements no more than the widths of their space do.

    References:
        | MCMC Using Hamiltonian Dynamics (Neal, 2011)
        | https://arxiv.org/abs/1206.1901

    Arguments:
        path: The path.
        batch: The data.
        old: Where the chains are.
        beta: The power.
        sizes: The step sizes by site that moves, which broadcast to its coordinates.
        leapfrog: The number of leapfrog steps.

    Returns:
        Where the chains are afterwards, and the probability with which each moved, with shape
        ``(K, n)``.
    """
    if not path.moving:
        return old, torch.ones_like(old.start)

    like = old.u[path.moving[0]]
    jitter = 2 * torch.rand(old.start.shape, dtype=like.dtype, device=like.device) - 1
    eps = {k: sizes[k] * path.spaces[k].spread(1 + JITTER * jitter, old.u[k]) for k in path.moving}
    v = {k: path.spaces[k].momentum(old.u[k]) for k in path.moving}
    new, turned = follow(path, batch, old, v, beta, eps, leapfrog)
    log_ratio = new.log_density(beta) - _kinetic(path, turned)
    log_ratio = log_ratio - old.log_density(beta) + _kinetic(path, v)
    accept = log_ratio.nan_to_num(nan=-torch.inf).clamp(max=0).exp()
    return old.taken(accept, new, path.spaces), accept


def follow(
    path: Path,
    batch: Any,
    point: Point,
    v: Mapping[str, Tensor],
    beta: Tensor,
    eps: Mapping[str, Tensor],
    leapfrog: int,
) -> tuple[Point, dict[str, Tensor]]:
    r"""Leapfrog steps along the force, which the same steps undo once the momentum is turned round.

    Arguments:
        path: The path.
        batch: The data.
        point: Where the chains are.
        v: The momenta, by site that moves.
        beta: The power.
        eps: The step sizes, which broadcast to coordinates.
        leapfrog: The number of steps.
    """
    v, spaces, force = dict(v), path.spaces, point.force(beta)

    for _ in range(leapfrog):
        u = dict(point.u)
        for k in path.moving:
            half = spaces[k].kick(u[k], v[k], eps[k] / 2 * force[k])
            u[k], v[k] = spaces[k].drift(u[k], half, eps[k])
        point = path.at(batch, u)
        force = point.force(beta)
        for k in path.moving:
            v[k] = spaces[k].kick(u[k], v[k], eps[k] / 2 * force[k])

    return point, v


def jump(
    path: Path, batch: Any, point: Point, beta: Tensor, share: float, *, backward: bool = False
) -> Point:
    r"""Metropolis steps of the discrete sites, one after the other, proposed from the start.

    Arguments:
        path: The path.
        batch: The data.
        point: Where the chains are.
        beta: The power.
        share: The share of the elements that are drawn anew, where they are independent.
        backward: Whether sites are taken in the opposite order.
    """
    for site in reversed(path.jumping) if backward else path.jumping:
        proposal = path.redraw(batch, point.u, site, share)
        new = path.at(batch, {**point.u, site: proposal.value})
        log_ratio = new.log_density(beta) - point.log_density(beta)
        log_ratio = log_ratio + proposal.log_old - proposal.log_new
        accept = log_ratio.nan_to_num(nan=-torch.inf).clamp(max=0).exp()
        point = point.taken(accept, new, path.spaces)

    return point


def _kinetic(path: Path, v: dict[str, Tensor]) -> Any:
    return sum(path.spaces[k].sum(t.square()) for k, t in v.items()) / 2
