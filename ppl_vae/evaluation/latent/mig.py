r"""The mutual information gap."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from .known import as_factors

__all__ = ["mig"]


def mig(codes: Tensor | np.ndarray, factors: Tensor | np.ndarray, *, bins: int = 20) -> float:
    r"""How much more the best dimension tells of a factor than the next: the mean over factors.

    .. math:: \mathrm{MIG} = \frac{1}{F} \sum_k
        \frac{I(z_{d_k}; v_k) - \max_{d \neq d_k} I(z_d; v_k)}{H(v_k)}, \qquad
        d_k = \arg \max_d I(z_d; v_k)

    Each dimension is cut into bins of equal width between its least and its largest value, and all
    terms are those of the counts, without a correction for bias. Of a single dimension the next
    tells nothing.

    Example:
        >>> v = np.stack([np.arange(100) % 2, np.arange(100) // 50], 1)
        >>> mig(v, v)
        1.0

    References:
        | Isolating Sources of Disentanglement in Variational Autoencoders (Chen et al., 2018)
        | https://arxiv.org/abs/1802.04942

    Arguments:
        codes: The codes, with shape ``(n, d)``.
        factors: The level of each factor, an integer, with shape ``(n, F)``.
        bins: The number of bins.

    Returns:
        A number between 0 and 1.

    Raises:
        ValueError: If there is not a row of factors for each code, a factor has one level, or there
            are fewer than two bins.
    """
    z, v = as_factors(codes, factors)
    if bins < 2:
        raise ValueError(f"Mutual information takes two bins or more, got {bins}.")

    cut = [_binned(column, bins) for column in z.T]
    gaps = []

    for level in v.T:
        told = np.sort([_information(c, level) for c in cut])
        next_best = told[-2] if len(told) > 1 else 0.0
        gaps.append((told[-1] - next_best) / _information(level, level))

    return float(np.mean(gaps))


def _binned(x: np.ndarray, bins: int) -> np.ndarray:
    edges = np.linspace(x.min(), x.max(), bins + 1)[1:-1]
    return np.digitize(x, edges)


def _information(a: np.ndarray, b: np.ndarray) -> float:
    counts = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(counts, (a, b), 1)
    p = counts / counts.sum()
    # Of the product of both marginals, where the counts are not zero.
    q = p.sum(1, keepdims=True) * p.sum(0, keepdims=True)
    seen = p > 0
    return float((p[seen] * np.log(p[seen] / q[seen])).sum())
