r"""Simultaneous bands for the distribution function of uniform ranks, and the test by them.

Of :math:`S` ranks that are uniform on :math:`0, \dots, L`, the number below :math:`j` is

.. math:: C_j \sim \mathrm{Binomial} \Big( S, \frac{j}{L + 1} \Big) \quad j = 1, \dots, L

so each count has a tail probability, and the statistic is the least of them:

.. math:: \gamma = \min_j 2 \min \big( P(C \le C_j), P(C \ge C_j) \big)

Its distribution is exact, without simulation: the counts are a path of independent Poisson
increments of mean :math:`S / (L + 1)`, given that their sum is :math:`S`; the probability that the
path stays between two bounds follows step by step. A band is what the counts do not leave where
:math:`\gamma` exceeds its quantile.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

__all__ = ["below", "uniform_band", "uniform_p_values"]

TINY = 1e-12
r"""The least p-value that is told: what is smaller is lost in rounding."""


def uniform_p_values(ranks: Tensor, draws: int) -> Tensor:
    r"""Tests whether ranks are uniform, each column by itself.

    Example:
        >>> rows = torch.arange(64)
        >>> uniform_p_values(torch.stack([rows % 8, rows % 4], 1), draws=7) > 0.05
        tensor([ True, False])

    References:
        | Graphical Test for Discrete Uniformity and its Applications in Goodness of Fit Evaluation
          and Multiple Sample Comparison (Säilynoja, Bürkner & Vehtari, 2022)
        | https://arxiv.org/abs/2103.10522

    Arguments:
        ranks: The ranks, whole numbers from 0 to :math:`L`, with shape ``(S, Q)``.
        draws: The number :math:`L`.

    Returns:
        The p-values, with shape ``(Q,)``: exact, and no smaller than 1e-12.

    Raises:
        ValueError: If there are no ranks, or one is not between 0 and :math:`L`.
    """
    table = _check(ranks, draws)
    S = len(ranks)
    tails, at = _tails(S, draws + 1), np.arange(draws)
    least = [tails[at, counts].min() for counts in below(table, draws)]
    return torch.tensor([_p_value(gamma, S, draws + 1) for gamma in least], dtype=torch.float64)


@lru_cache(maxsize=64)
def uniform_band(simulations: int, draws: int, rate: float) -> tuple[np.ndarray, np.ndarray]:
    r"""The band that the counts of uniform ranks leave with a probability of no more than a rate.

    Example:
        >>> low, high = uniform_band(100, 3, 0.05)
        >>> low, high
        (array([15, 39, 65]), array([35, 61, 85]))

    Arguments:
        simulations: The number :math:`S` of ranks.
        draws: The number :math:`L`: ranks go from 0 to it.
        rate: The probability that at least one of the :math:`L` counts lies outside.

    Returns:
        The least and the largest number of ranks below :math:`j = 1, \dots, L`, each with shape
        ``(L,)``.
    """
    tails = _tails(simulations, draws + 1)
    gammas = np.unique(tails[tails <= rate])
    fit = bisect_right(gammas, rate, key=lambda gamma: _p_value(gamma, simulations, draws + 1))
    return _bounds(tails, gammas[fit - 1] if fit else -1.0)


def below(ranks: np.ndarray, draws: int) -> np.ndarray:
    r"""The number of ranks below :math:`1, \dots, L` in each column, with shape ``(Q, L)``.

    Example:
        >>> below(np.array([[0], [1], [3]]), draws=3)
        array([[1, 2, 2]])

    Arguments:
        ranks: The ranks, with shape ``(S, Q)``.
        draws: The number :math:`L`.
    """
    counts = [np.bincount(column, minlength=draws + 1)[:-1].cumsum() for column in ranks.T]
    return np.stack(counts) if counts else np.zeros((0, draws), dtype=int)


def _check(ranks: Tensor, draws: int) -> np.ndarray:
    table = ranks.cpu().numpy()

    if table.ndim != 2 or len(table) == 0:
        raise ValueError(f"Ranks have shape (S, Q) with one row or more, got {table.shape}.")
    if table.size and (table.min() < 0 or table.max() > draws):
        raise ValueError(
            f"Ranks among {draws} draws lie between 0 and {draws}, got {table.min()} to "
            f"{table.max()}."
        )
    return table


@lru_cache(maxsize=4)
def _tails(simulations: int, levels: int) -> np.ndarray:
    # The tail probability of each count, with shape (levels - 1, simulations + 1).
    from scipy.stats import binom

    counts, at = np.arange(simulations + 1), np.arange(1, levels)[:, None] / levels
    below = binom.cdf(counts, simulations, at)
    above = binom.sf(counts - 1, simulations, at)
    tails = np.minimum(2 * np.minimum(below, above), 1.0)
    # Ranks counted from above have the same tails, which rounding may not tell apart.
    return np.minimum(tails, tails[::-1, ::-1])


def _bounds(tails: np.ndarray, gamma: float) -> tuple[np.ndarray, np.ndarray]:
    inside = tails > gamma
    last = inside.shape[1] - 1
    low, high = inside.argmax(1), last - inside[:, ::-1].argmax(1)
    return low, np.where(inside.any(1), high, -1)


@lru_cache(maxsize=4)
def _increments(simulations: int, levels: int) -> np.ndarray:
    from scipy.stats import poisson

    return poisson.pmf(np.arange(simulations + 1), simulations / levels)


def _p_value(gamma: float, simulations: int, levels: int) -> float:
    r"""The probability that the statistic of uniform ranks is no larger."""
    from scipy.stats import poisson

    low, high = _bounds(_tails(simulations, levels), gamma)
    kernel, path, start = _increments(simulations, levels), np.ones(1), 0

    for a, b in zip([*low, simulations], [*high, simulations], strict=True):
        if b < max(a, start):
            return 1.0
        path = np.convolve(path, kernel[: b - start + 1])[a - start : b - start + 1]
        start = a

    inside = path[0] / poisson.pmf(simulations, simulations)
    return float(np.clip(1 - inside, TINY, 1.0))
