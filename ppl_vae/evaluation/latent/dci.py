r"""Disentanglement, completeness and informativeness."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from torch import Tensor

from .known import as_factors

__all__ = ["PREDICTORS", "dci"]

PREDICTORS = ("boosting", "lasso")

TRAIN, TEST = 2000, 1000
r"""The largest numbers of data that predict, and are predicted."""


def dci(
    codes: Tensor | np.ndarray,
    factors: Tensor | np.ndarray,
    *,
    predictor: str = "boosting",
    trees: int = 50,
    seed: int = 0,
) -> dict[str, float]:
    r"""Whether each dimension serves one factor, and each factor is served by one dimension.

    A predictor of each factor from all dimensions tells the importance :math:`R_{dk} \geq 0` of
    dimension :math:`d` for factor :math:`k`. With the shares
    :math:`P_{dk} = R_{dk} / \sum_j R_{dj}` and :math:`Q_{dk} = R_{dk} / \sum_j R_{jk}`,

    .. math::
        \text{disentanglement} & = \sum_d \rho_d \, \Big( 1 + \sum_k P_{dk} \log_F P_{dk} \Big),
            \quad \rho_d = \sum_k R_{dk} \Big/ \sum_{jk} R_{jk} \\
        \text{completeness} & = \frac{1}{F} \sum_k \Big( 1 + \sum_d Q_{dk} \log_D Q_{dk} \Big) \\
        \text{informativeness} & = \frac{1}{F} \sum_k S_k

    of :math:`D` dimensions that vary and :math:`F` factors; of one alone, entropies are zero. A
    third of the data, at most 1000, are predicted from others, at most 2000. The predictors, on
    codes divided by their standard deviations, are

    - ``"boosting"``: gradient boosting of trees of depth 3, importance by impurity; :math:`S_k` is
      the accuracy.
    - ``"lasso"``: a linear regression of the level, divided by its standard deviation, with the
      penalty that cross-validates best in five folds; importances are absolute weights, and
      :math:`S_k` is the share of the variance that is explained, zero at the least.

    Example:
        >>> v = np.stack([np.arange(90) % 2, np.arange(90) // 45], 1)
        >>> round(dci(v + 0.5, v, trees=5)["disentanglement"], 6)
        1.0

    References:
        | A Framework for the Quantitative Evaluation of Disentangled Representations
        | (Eastwood & Williams, 2018)
        | https://openreview.net/forum?id=By-7dz-AZ

    Arguments:
        codes: The codes, with shape ``(n, D)``.
        factors: The level of each factor, an integer, with shape ``(n, F)``.
        predictor: One of :data:`PREDICTORS`.
        trees: The number of rounds of boosting.
        seed: The seed of the parts, and of ties between splits.

    Returns:
        The three numbers, each between 0 and 1, by name.

    Raises:
        ValueError: If there is not a row of factors for each code, a factor has one level, no
            dimension varies, or the predictor is unknown.
    """
    z, v = as_factors(codes, factors)
    if predictor not in PREDICTORS:
        raise ValueError(f"The predictor is one of {', '.join(PREDICTORS)}, got {predictor!r}.")

    z = _standardized(z)
    order = np.random.default_rng(seed).permutation(len(z))
    third = min(len(z) // 3, TEST)
    test, train = order[:third], order[third : third + TRAIN]
    fit = _boosted if predictor == "boosting" else _linear
    found = [fit(z[train], y[train], z[test], y[test], trees, seed) for y in v.T]
    R = np.stack([importance for importance, _ in found], 1)  # (D, F)
    weight = R.sum(1) / max(R.sum(), 1e-300)
    return {
        "disentanglement": float((weight * _purity(R)).sum()),
        "completeness": float(_purity(R.T).mean()),
        "informativeness": float(np.mean([score for _, score in found])),
    }


def _standardized(z: np.ndarray) -> np.ndarray:
    spread = z.std(0)
    if not (spread > 0).any():
        raise ValueError("No dimension of the codes varies, so that none is of importance.")

    z = z[:, spread > 0]
    z = (z - z.mean(0)) / z.std(0)
    # In an order of their own, so that ties do not depend on the one in which they come.
    return z[:, np.lexsort(z[::-1])]


Found = tuple[np.ndarray, float]


def _boosted(
    z: np.ndarray, y: np.ndarray, z_test: np.ndarray, y_test: np.ndarray, trees: int, seed: int
) -> Found:
    from sklearn.ensemble import GradientBoostingClassifier

    # A level may be missing from a part.
    if len(np.unique(y)) < 2:
        return np.zeros(z.shape[1]), float((y_test == y[0]).mean())

    model: Any = GradientBoostingClassifier(n_estimators=trees, random_state=seed).fit(z, y)
    return model.feature_importances_, float(model.score(z_test, y_test))


def _linear(
    z: np.ndarray, y: np.ndarray, z_test: np.ndarray, y_test: np.ndarray, trees: int, seed: int
) -> Found:
    from sklearn.linear_model import LassoCV

    if y.std() == 0:
        return np.zeros(z.shape[1]), 0.0

    model: Any = LassoCV(cv=5, max_iter=10_000, tol=1e-6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a small penalty converges slowly, and is not the best
        model.fit(z, (y - y.mean()) / y.std())
        score = model.score(z_test, (y_test - y.mean()) / y.std())

    return np.abs(model.coef_), max(0.0, float(score))


def _purity(R: np.ndarray) -> np.ndarray:
    # One less the entropy of each row, to the base of its length; rows of zeros are of no use.
    if R.shape[1] == 1:
        return np.ones(len(R))

    total = R.sum(1, keepdims=True)
    P = np.where(total > 0, R / np.where(total > 0, total, 1), 1 / R.shape[1])
    logs = np.log(np.where(P > 0, P, 1.0)) / np.log(R.shape[1])
    return np.clip(1 + (P * logs).sum(1), 0, 1)
