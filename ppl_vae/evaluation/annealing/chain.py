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

from .path import Path
from .point import Point
from .sizes import StepSizes, log_widths, step_sizes
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
    sizes: StepSizes,
    leapfrog: int,
    watch: Watcher | None = None,
) -> tuple[Tensor, Tensor]:
    r"""Runs chains from the start to the posterior.

    Arguments:
        path: The path.
        batch: The data.
        u: Coordinates drawn from the start.
        betas: The powers, with shape ``(T + 1,)``.
        sizes: The step sizes.
        leapfrog: The number of leapfrog steps of a move.
        watch: Called at each power.

    Returns:
        The log weights, with shape ``(K, n)``, and the share of moves that were accepted, with
        shape ``(n,)``.
    """
    T, point = len(betas) - 1, path.at(batch, u)
    log_w, accepted = torch.zeros(()), torch.zeros(())

    for t in range(1, T + 1):
        log_w = log_w + (betas[t] - betas[t - 1]) * point.slope
        if watch is not None:
            watch(t, log_w, point)
        point, accept = move(path, batch, point, betas[t], sizes(t), leapfrog)
        point = jump(path, batch, point, betas[t], SHARES[t % len(SHARES)])
        accepted = accepted + accept.mean(0).cpu() / T

    return log_w, accepted


def backward(
    path: Path,
    batch: Any,
    u: dict[str, Tensor],
    betas: Tensor,
    sizes: StepSizes,
    leapfrog: int,
    watch: Callable[[int], None] | None = None,
) -> Tensor:
    r"""Runs chains from draws of the posterior to the start; see :func:`forward`."""
    T, point = len(betas) - 1, path.at(batch, u)
    log_w = torch.zeros(())

    for t in range(T, 0, -1):
        if watch is not None:
            watch(t)
        if t < T:
            # What came last on the way forward comes first on the way back.
            point = jump(path, batch, point, betas[t], SHARES[t % len(SHARES)], backward=True)
            point, _ = move(path, batch, point, betas[t], sizes(t), leapfrog)
        log_w = log_w + (betas[t] - betas[t - 1]) * point.slope

    return log_w


def pilot(path: Path, batch: Any, betas: Tensor, leapfrog: int) -> StepSizes:
    r"""Adapts step sizes on a quicker way along the path: a size for each datum, a width for each
    element.

    .. math:: \log s_i \leftarrow \log s_i + \gamma \, (\bar{a}_i - 0.7)

    where :math:`\bar{a}_i` is the share of moves of a datum that are accepted; widths follow those
    of the chains of all these data. Nothing that is drawn here is used again, so that the step
    sizes are constants of the chains that follow.

    Arguments:
        path: The path.
        batch: The data.
        betas: The powers, with shape ``(T + 1,)``.
        leapfrog: The number of leapfrog steps of a move.
    """
    T, moving = len(betas) - 1, path.moving
    at = torch.linspace(0, T, max(T // 10, min(T, 20)) + 1).long()
    point = path.at(batch, path.draw(batch, PILOTS))
    log_size = torch.full(point.start.shape[1:], -1.0, dtype=torch.float64)
    if not moving:
        return StepSizes(at, log_size.expand(len(at), -1), {}, path.spaces)

    widths, known = log_widths({k: point.u[k] for k in moving}, path.spaces), []

    for t in at.tolist():
        # The first has to find the size, the others follow it.
        for i in range(WARM if t == 0 else FOLLOW):
            sizes = {k: step_sizes(log_size, w, path.spaces[k]) for k, w in widths.items()}
            point, accept = move(path, batch, point, betas[t], sizes, leapfrog)
            rate = 1.0 / (1 + 0.2 * i) if t == 0 else 0.3
            log_size = log_size + rate * (accept.mean(0).cpu().double() - AIM)
        known.append((log_size, widths))
        point = jump(path, batch, point, betas[t], SHARES[t % len(SHARES)])
        now = log_widths({k: point.u[k] for k in moving}, path.spaces)
        widths = {k: (w + now[k]) / 2 for k, w in widths.items()}

    stacked = {k: torch.stack([w[k] for _, w in known]) for k in moving}
    return StepSizes(at, torch.stack([size for size, _ in known]), stacked, path.spaces)


PILOTS = 8
r"""The number of chains of a pilot run."""

WARM, FOLLOW = 10, 2
r"""The number of moves that adapt the first step size, and each of the others."""
