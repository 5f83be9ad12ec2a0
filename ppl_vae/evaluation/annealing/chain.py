r"""Chains along the path, from the start to the posterior and back.

Forward, :math:`z_0 \sim \pi_0`, and :math:`z_t` follows from :math:`z_{t - 1}` by transitions that
leave :math:`f_{\beta_t}` as it is. The weight

.. math:: \log w = \sum_{t=1}^T (\beta_t - \beta_{t - 1})
    \big( \log p(x, z_{t - 1}) - \log \pi_0(z_{t - 1}) \big)

has :math:`\mathbb{E}[w] = p(x)`. Backward, :math:`z_{T - 1} \sim p(z \mid x)`, and the same
transitions are taken in the opposite order: the same sum has :math:`\mathbb{E}[1 / w] = 1 / p(x)`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .path import Path, Point
from .transition import SHARES, jump, move

__all__ = ["backward", "forward", "pilot"]

Watcher = Callable[[int, Tensor, Point], None]
r"""Told the step, the log weights and the terms, as they are before the step is taken."""

AIM = 0.7
r"""The share of moves that step sizes are adapted to."""


def forward(
    path: Path,
    batch: Any,
    u: dict[str, Tensor],
    betas: Tensor,
    sizes: Tensor,
    leapfrog: int,
    watch: Watcher | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Runs chains from the start to the posterior.

    Arguments:
        path: The path.
        batch: The data.
        u: Coordinates drawn from the start.
        betas: The powers, with shape ``(T + 1,)``.
        sizes: The step sizes, with shape ``(T + 1, n)``.
        leapfrog: The number of leapfrog steps of a move.
        watch: Called at each power.

    Returns:
        The log weights, with shape ``(K, n)``, and the share of moves that were accepted, with
        shape ``(n,)``.
    """
    T = len(betas) - 1
    log_w, accepted = torch.zeros(()), torch.zeros(())

    for t in range(1, T + 1):
        moved, point, accept = move(path, batch, u, betas[t], sizes[t], leapfrog)
        log_w = log_w + (betas[t] - betas[t - 1]) * point.slope
        if watch is not None:
            watch(t, log_w, point)
        u = jump(path, batch, moved, betas[t], SHARES[t % len(SHARES)])
        accepted = accepted + accept.mean(0).cpu() / T

    return log_w, accepted


def backward(
    path: Path,
    batch: Any,
    u: dict[str, Tensor],
    betas: Tensor,
    sizes: Tensor,
    leapfrog: int,
) -> Tensor:
    r"""Runs chains from draws of the posterior to the start; see :func:`forward`."""
    log_w, T = torch.zeros(()), len(betas) - 1

    for t in range(T, 0, -1):
        if t < T:
            # What came last on the way forward comes first on the way back.
            u = jump(path, batch, u, betas[t], SHARES[t % len(SHARES)], backward=True)
            u, _, _ = move(path, batch, u, betas[t], sizes[t], leapfrog)
        point = path.at(batch, u, betas[t])
        log_w = log_w + (betas[t] - betas[t - 1]) * point.slope

    return log_w


def pilot(path: Path, batch: Any, chains: int, betas: Tensor, leapfrog: int) -> Tensor:
    r"""Adapts step sizes for each datum on a quicker way along the path.

    .. math:: \log \epsilon \leftarrow \log \epsilon + \gamma \, (\bar{a} - 0.7)

    where :math:`\bar{a}` is the share of moves of a datum that are accepted. Nothing that is drawn
    here is used again, so that the step sizes are constants of the chains that follow.

    Arguments:
        path: The path.
        batch: The data.
        chains: The number of chains.
        betas: The powers, with shape ``(T + 1,)``.
        leapfrog: The number of leapfrog steps of a move.

    Returns:
        Step sizes for all powers, with shape ``(T + 1, n)``.
    """
    steps = max((len(betas) - 1) // 10, min(len(betas) - 1, 20))
    at = torch.linspace(0, len(betas) - 1, steps + 1).long()
    u = path.draw(batch, chains)
    name = next(iter(path.spaces))
    n = u[name].shape[path.spaces[name].axis]
    log_size = torch.full((n,), -1.0, dtype=torch.float64)
    known = []

    for t in at.tolist():
        # The first has to find the size, the others follow it.
        for i in range(WARM if t == 0 else FOLLOW):
            u, _, accept = move(path, batch, u, betas[t], log_size.exp(), leapfrog)
            rate = 1.0 / (1 + 0.2 * i) if t == 0 else 0.3
            log_size = log_size + rate * (accept.mean(0).cpu().double() - AIM)
        u = jump(path, batch, u, betas[t], SHARES[t % len(SHARES)])
        known.append(log_size)

    return _between(torch.stack(known), at, len(betas)).exp()


WARM, FOLLOW = 10, 2
r"""The number of moves that adapt the first step size, and each of the others."""


def _between(known: Tensor, at: Tensor, size: int) -> Tensor:
    # Linear between the steps that are known.
    t = torch.arange(size)
    right = torch.searchsorted(at, t).clamp(1, len(at) - 1)
    left = right - 1
    share = ((t - at[left]) / (at[right] - at[left]).clamp(min=1)).to(known)[:, None]
    return (1 - share) * known[left] + share * known[right]
