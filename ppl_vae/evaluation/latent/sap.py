r"""The separated attribute predictability."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from .known import as_factors

__all__ = ["sap"]


def sap(codes: Tensor | np.ndarray, factors: Tensor | np.ndarray, *, seed: int = 0) -> float:
    r"""How much better the best dimension predicts a factor than the next: the mean over factors.

    .. math:: \mathrm{SAP} = \frac{1}{F} \sum_k \big( S_{(1) k} - S_{(2) k} \big)

    where :math:`S_{dk}` is the score of dimension :math:`d` alone, and :math:`(1), (2)` the two
    best. A factor of :math:`L` levels is predicted by :math:`L - 1` thresholds, chosen one after
    the other for the least Gini impurity with all levels given equal weight (a decision tree of
    :math:`L` leaves), on one half of the data at random. The score is the mean over levels of the
    share :math:`a` that is right in the other half, less chance,

    .. math:: S = \max \Big( 0, \frac{a - 1 / L}{1 - 1 / L} \Big)

    so that codes which are the factors score 1; the paper's :math:`S` is :math:`a` itself.

    Example:
        >>> v = np.stack([np.arange(100) % 2, np.arange(100) // 50], 1)
        >>> sap(v + 0.5, v) > 0.8
        True

    References:
        | Variational Inference of Disentangled Latent Concepts from Unlabeled Observations
        | (Kumar et al., 2018)
        | https://arxiv.org/abs/1711.00848

    Arguments:
        codes: The codes, with shape ``(n, d)``.
        factors: The level of each factor, an integer, with shape ``(n, F)``.
        seed: The seed of the halves.

    Returns:
        A number between 0 and 1.

    Raises:
        ValueError: If there is not a row of factors for each code, or a factor has one level.
    """
    z, v = as_factors(codes, factors)
    order = np.random.default_rng(seed).permutation(len(z))
    halves = order[: len(z) // 2], order[len(z) // 2 :]
    gaps = []

    for level in v.T:
        scores = np.sort([_score(x, level, *halves) for x in z.T])
        gaps.append(scores[-1] - (scores[-2] if len(scores) > 1 else 0.0))

    return float(np.mean(gaps))


def _score(x: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    from sklearn.tree import DecisionTreeClassifier

    L = int(y.max()) + 1
    tree = DecisionTreeClassifier(max_leaf_nodes=L, class_weight="balanced", random_state=0)
    found = tree.fit(x[train, None], y[train]).predict(x[test, None])
    right = [(found == c)[y[test] == c].mean() for c in np.unique(y[test])]
    return max(0.0, float((np.mean(right) - 1 / L) / (1 - 1 / L)))
