r"""The metric of FactorVAE."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from .known import as_factors

__all__ = ["factor_vae_metric"]


def factor_vae_metric(
    codes: Tensor | np.ndarray,
    factors: Tensor | np.ndarray,
    *,
    votes: int = 800,
    size: int = 64,
    seed: int = 0,
) -> float:
    r"""How often the dimension that stands still tells which factor does.

    A vote takes a factor :math:`k` at random and a level of it, that of a datum at random; then
    ``size`` data of that level, with replacement. Its dimension is the one with the least variance,

    .. math:: d = \arg \min_d \operatorname{Var}[z_d \mid v_k] / \operatorname{Var}[z_d]

    over those that have a variance over all data. The classifier gives each dimension the factor
    that it was most often voted with, in so many votes; the metric is its accuracy in as many
    others. Codes without any relation to the factors score about :math:`1 / F`, not zero.

    Example:
        >>> v = np.stack([np.arange(100) % 2, np.arange(100) // 50], 1)
        >>> factor_vae_metric(v, v)
        1.0

    References:
        | Disentangling by Factorising (Kim & Mnih, 2018)
        | https://arxiv.org/abs/1802.05983

    Arguments:
        codes: The codes, with shape ``(n, d)``.
        factors: The level of each factor, an integer, with shape ``(n, F)``.
        votes: The number of votes that train the classifier, and of those that judge it.
        size: The number of data of a vote.
        seed: The seed of the votes.

    Returns:
        A number between 0 and 1.

    Raises:
        ValueError: If there is not a row of factors for each code, a factor has one level, no
            dimension varies, or a vote has no votes or fewer than two data.
    """
    z, v = as_factors(codes, factors)
    if votes < 1 or size < 2:
        raise ValueError(
            "The metric takes one vote or more of two data or more, got "
            f"votes={votes} and size={size}."
        )

    scale = z.std(0)
    if not (scale > 0).any():
        raise ValueError("No dimension of the codes varies, so that none can stand still.")

    z = z[:, scale > 0] / scale[scale > 0]
    generator = np.random.default_rng(seed)
    rows = [[np.flatnonzero(column == c) for c in range(column.max() + 1)] for column in v.T]
    counts = np.zeros((2, z.shape[1], v.shape[1]))

    for part in range(2):
        for _ in range(votes):
            k = int(generator.integers(v.shape[1]))
            level = v[generator.integers(len(v)), k]
            chosen = generator.choice(rows[k][level], size)
            counts[part, z[chosen].var(0).argmin(), k] += 1

    best = counts[0].argmax(1)
    return float(counts[1][np.arange(len(best)), best].sum() / votes)
