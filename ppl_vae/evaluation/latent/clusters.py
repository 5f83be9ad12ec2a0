r"""Whether clusters of the codes are the classes of the data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from .known import as_codes, as_labels

__all__ = ["Clusters", "k_means", "matched_accuracy"]


@dataclass(frozen=True)
class Clusters:
    r"""How clusters, found without the labels, agree with them."""

    ari: float
    r"""The adjusted Rand index: 1 if they are the same, 0 on average by chance."""
    nmi: float
    r"""The mutual information over the mean of both entropies: 1 if they are the same."""
    accuracy: float
    r"""The share of data whose cluster is that of their label, under the best matching."""
    classes: int
    r"""The number of labels, and of clusters."""


def k_means(codes: Tensor | np.ndarray, labels: Tensor | np.ndarray, *, seed: int = 0) -> Clusters:
    r"""Groups the codes by k-means, into as many clusters as there are labels.

    The best of ten starts is taken, of codes as they are.

    Example:
        >>> labels = np.arange(100) % 2
        >>> k_means(10.0 * labels[:, None] + np.random.rand(100, 1), labels).accuracy
        1.0

    References:
        | Comparing Partitions (Hubert & Arabie, 1985)
        | https://doi.org/10.1007/BF01908075

    Arguments:
        codes: The codes, with shape ``(n, d)``.
        labels: The label of each datum, an integer, with shape ``(n,)``.
        seed: The seed of the starts.

    Raises:
        ValueError: If there is not one label for each code, or there are fewer than two labels.
    """
    import warnings

    from sklearn.cluster import KMeans
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    z = as_codes(codes)
    y = as_labels(labels, len(z))
    classes = int(y.max()) + 1
    with warnings.catch_warnings():
        # Codes of a collapsed posterior are fewer than the clusters.
        warnings.simplefilter("ignore")
        found = KMeans(classes, n_init=10, random_state=seed).fit_predict(z)

    return Clusters(
        ari=float(adjusted_rand_score(y, found)),
        nmi=float(normalized_mutual_info_score(y, found)),
        accuracy=matched_accuracy(found, y),
        classes=classes,
    )


def matched_accuracy(found: Tensor | np.ndarray, labels: Tensor | np.ndarray) -> float:
    r"""The share of data whose cluster is that of their label, under the best matching.

    .. math:: \max_\pi \frac{1}{n} \sum_i [\pi(c_i) = y_i]

    over all ways to give each cluster a label of its own, found by the Hungarian method.

    Example:
        >>> matched_accuracy(np.array([1, 1, 0, 0]), np.array([5, 5, 7, 5]))
        0.75

    References:
        | The Hungarian Method for the Assignment Problem (Kuhn, 1955)
        | https://doi.org/10.1002/nav.3800020109

    Arguments:
        found: The cluster of each datum, an integer, with shape ``(n,)``.
        labels: The label of each, with the same shape.
    """
    from scipy.optimize import linear_sum_assignment

    c, y = (np.unique(np.asarray(t), return_inverse=True)[1] for t in (found, labels))
    counts = np.zeros((c.max() + 1, y.max() + 1))
    np.add.at(counts, (c, y), 1)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return float(counts[rows, columns].sum() / len(y))
