r"""Whether labels can be read off the codes linearly."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from .known import as_codes, as_labels

__all__ = ["Probe", "linear_probe"]


@dataclass(frozen=True)
class Probe:
    r"""The accuracy of a linear classifier on data that it was not trained on."""

    accuracy: float
    r"""The share of data that it labels right."""
    standard_error: float
    r"""Its standard error over the data."""
    baseline: float
    r"""The share of the most frequent label: what no code at all would give."""
    classes: int
    r"""The number of labels."""
    folds: int
    r"""The number of folds."""


def linear_probe(
    codes: Tensor | np.ndarray, labels: Tensor | np.ndarray, *, folds: int = 5, seed: int = 0
) -> Probe:
    r"""Cross-validates a logistic regression of the labels on the codes.

    Each element of the codes is divided by its standard deviation over the data of training; the
    penalty is scikit-learn's own, :math:`\frac{1}{2} \|w\|^2` beside the sum of the losses. Each
    datum is labelled once, by the classifier of the other folds. With accuracy :math:`a`,
    :math:`\mathrm{se} = \sqrt{a (1 - a) / n}`, which leaves out that other data of training would
    give another classifier.

    Example:
        >>> labels = np.arange(100) % 2
        >>> linear_probe(np.stack([labels, labels], 1) + 0.1, labels).accuracy
        1.0

    References:
        | Understanding Intermediate Layers Using Linear Classifier Probes (Alain & Bengio, 2017)
        | https://arxiv.org/abs/1610.01644

    Arguments:
        codes: The codes, with shape ``(n, d)``.
        labels: The label of each datum, an integer, with shape ``(n,)``.
        folds: The number of folds, stratified by label; no more than the most frequent has data.
        seed: The seed of the folds.

    Raises:
        ValueError: If there is not one label for each code, there are fewer than two labels, or
            fewer than two folds.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    z = as_codes(codes)
    y = as_labels(labels, len(z))
    most = int(np.bincount(y).max())
    if most < 2:
        raise ValueError(
            f"No two of the {len(y)} data have the same label, so that none can be learned from "
            "another; take more data."
        )
    folds = min(folds, most)
    if folds < 2:
        raise ValueError(f"Cross-validation takes two folds or more, got {folds}.")

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    split = StratifiedKFold(folds, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        # Rare labels, and codes that part labels without error, are no reason to worry.
        warnings.simplefilter("ignore")
        found = cross_val_predict(model, z, y, cv=split)

    a = float((found == y).mean())
    return Probe(
        accuracy=a,
        standard_error=(a * (1 - a) / len(y)) ** 0.5,
        baseline=float(np.bincount(y).max() / len(y)),
        classes=int(y.max()) + 1,
        folds=folds,
    )
