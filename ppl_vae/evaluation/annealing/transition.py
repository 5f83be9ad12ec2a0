r"""Transitions that leave a density of the path as it is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .path import Path, Point

__all__ = ["SHARES", "jump", "move"]

SHARES = 1.0, 0.5, 0.1
r"""The shares of the elements of a discrete site that its proposals draw anew, in turn."""

JITTER = 0.2
r"""How far a step is from its size, at most, as a share of it: steps of one size may go round."""


def move(
    path: Path, batch: Any, u: dict[str, Tensor], beta: Tensor, size: Tensor, leapfrog: int
) -> tuple[dict[str, Tensor], Point, Tensor]:
    r"""A transition of Hamiltonian Monte Carlo, of all sites that move at once.

    It is reversible, for any step sizes that do not depend on where the chain is.

    References:
        | MCMC Using Hamiltonian Dynamics (Neal, 2011)
        | https://arxiv.org/abs/1206.1901

    Arguments:
        path: The path.
        batch: The data.
        u: The coordinates.
        beta: The power.
        size: The step size for each datum, with shape ``(n,)``.
        leapfrog: The number of leapfrog steps.

    Returns:
        The coordinates and the point before, for its terms, and the probability with which each
        chain moved, with shape ``(K, n)``.
    """
    old = path.at(batch, u, beta)
    if not path.moving:
        return u, old, torch.ones_like(old.joint)

    K, n = old.joint.shape
    like = next(iter(u[k] for k in path.moving))
    jitter = 1 + JITTER * (2 * torch.rand(K, n, dtype=like.dtype, device=like.device) - 1)
    eps = {k: path.spaces[k].spread(size.to(like) * jitter, u[k]) for k in path.moving}
    v = {k: path.spaces[k].momentum(u[k]) for k in path.moving}
    new, energy, point = dict(u), _kinetic(path, v), old

    for _ in range(leapfrog):
        for k in path.moving:
            half = path.spaces[k].kick(new[k], v[k], eps[k] / 2 * point.force[k])
            new[k], v[k] = path.spaces[k].drift(new[k], half, eps[k])
        point = path.at(batch, new, beta)
        for k in path.moving:
            v[k] = path.spaces[k].kick(new[k], v[k], eps[k] / 2 * point.force[k])

    log_ratio = point.log_density(beta) - _kinetic(path, v) - old.log_density(beta) + energy
    accept = log_ratio.nan_to_num(nan=-torch.inf).clamp(max=0).exp()
    taken = torch.rand_like(accept) < accept
    where = {k: path.spaces[k].spread(taken, u[k]) for k in path.moving}
    return {**u, **{k: torch.where(w, new[k], u[k]) for k, w in where.items()}}, old, accept


def jump(
    path: Path,
    batch: Any,
    u: dict[str, Tensor],
    beta: Tensor,
    share: float,
    *,
    backward: bool = False,
) -> dict[str, Tensor]:
    r"""Metropolis steps of the discrete sites, one after the other, proposed from the start.

    Arguments:
        path: The path.
        batch: The data.
        u: The coordinates.
        beta: The power.
        share: The share of the elements that are drawn anew, where they are independent.
        backward: Whether sites are taken in the opposite order.
    """
    for site in reversed(path.jumping) if backward else path.jumping:
        old = path.at(batch, u, beta)
        proposal = path.redraw(batch, u, site, share)
        moved = {**u, site: proposal.value}
        new = path.at(batch, moved, beta)
        log_ratio = new.log_density(beta) - old.log_density(beta)
        log_ratio = log_ratio + proposal.log_old - proposal.log_new
        accept = log_ratio.nan_to_num(nan=-torch.inf).clamp(max=0).exp()
        taken = torch.rand_like(accept) < accept
        where = path.spaces[site].spread(taken, u[site])
        u = {**u, site: torch.where(where, proposal.value, u[site])}

    return u


def _kinetic(path: Path, v: dict[str, Tensor]) -> Any:
    return sum(path.spaces[k].sum(t.square()) for k, t in v.items()) / 2
