r"""Whether a classifier tells two samples apart."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..two_sample import as_rows

__all__ = ["ClassifierTest", "classifier_test", "linear", "network"]


@dataclass(frozen=True)
class ClassifierTest:
    r"""How well a classifier told rows apart that it had not seen."""

    accuracy: float
    r"""The share of rows that it told right, between 0 and 1."""
    standard_error: float
    r"""What other rows to tell apart would change, for the same classifier."""
    p_value: float
    r"""How often samples that are alike are told apart as well, or better."""
    scores: np.ndarray
    r"""For each row its probability of being one of ``b``, with shape ``(n,)``."""
    second: np.ndarray
    r"""Whether it is one of ``b``, with shape ``(n,)``."""


def linear(seed: int = 0) -> Any:
    r"""A logistic regression, which sees differences of means.

    Example:
        >>> linear().C
        0.1
    """
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(C=0.1, max_iter=1000, random_state=seed)


def network(seed: int = 0) -> Any:
    r"""A network with one hidden layer, which sees shapes and dependences too.

    Example:
        >>> network().hidden_layer_sizes
        (64,)
    """
    from sklearn.neural_network import MLPClassifier

    return MLPClassifier((64,), max_iter=60, random_state=seed)


def classifier_test(a: Any, b: Any, classifier: Any, *, seed: int = 0) -> ClassifierTest:
    r"""Tests whether a classifier tells two samples apart.

    It learns from one half of each, and is judged by the other. Of :math:`N` rows to judge,
    :math:`m` of them from ``b``, let it call :math:`c` so, :math:`t` of these rightly. If the
    samples are alike, labels are exchangeable whatever the classifier has learned, and

    .. math:: t \sim \mathrm{Hypergeometric}(N, m, c)

    so that :math:`p = \Pr(T \geq t)` is exact for any size, where Lopez-Paz & Oquab take the
    normal limit.

    Example:
        >>> x = torch.randn(200, 3, generator=torch.Generator().manual_seed(1))
        >>> classifier_test(x[:100], x[100:], linear()).p_value > 0.05
        True
        >>> found = classifier_test(x[:100], x[100:] + 3, linear())
        >>> found.accuracy > 0.95 and found.p_value < 1e-6
        True

    References:
        | Revisiting Classifier Two-Sample Tests (Lopez-Paz & Oquab, 2017)
        | https://arxiv.org/abs/1610.06545

    Arguments:
        a: The rows of one sample, with shape ``(n, *shape)``.
        b: The rows of the other, with shape ``(m, *shape)``.
        classifier: A classifier of scikit-learn that tells probabilities, such as
            :func:`linear` or :func:`network`. It sees columns in units of their spread.
        seed: The seed by which the rows are halved.

    Raises:
        ValueError: As :func:`~ppl_vae.evaluation.two_sample.mmd_test`, or if a sample has fewer
            than four rows.
    """
    from scipy.stats import hypergeom

    a, b = as_rows(a, b)
    if min(len(a), len(b)) < 4:
        raise ValueError(
            f"A classifier takes four rows of each sample or more, got {len(a)} and {len(b)}."
        )

    generator = torch.Generator().manual_seed(seed)
    (a, a_judged), (b, b_judged) = (_halves(rows, generator) for rows in (a, b))
    learned, judged = torch.cat([a, b]), torch.cat([a_judged, b_judged])
    loc, scale = learned.mean(0), learned.std(0)
    scale[scale == 0] = 1
    second = np.arange(len(judged)) >= len(a_judged)

    with fitting():
        classifier.fit(((learned - loc) / scale).numpy(), np.arange(len(learned)) >= len(a))

    scores = classifier.predict_proba(((judged - loc) / scale).numpy())[:, 1]
    called = scores > 0.5
    right, N = float((called == second).mean()), len(second)
    p = hypergeom.sf((called & second).sum() - 1, N, second.sum(), called.sum())
    error = (right * (1 - right) / N) ** 0.5
    return ClassifierTest(right, error, min(float(p), 1.0), scores, second)


@contextmanager
def fitting() -> Iterator[None]:
    r"""Within it, a net of scikit-learn is trained for the passes that were chosen.

    One that was interrupted (Ctrl-C) would be taken for trained: the interruption goes on here.
    """
    with warnings.catch_warnings():
        # The number of passes is not one that it should have converged in.
        warnings.filterwarnings("ignore", message="Stochastic Optimizer: Maximum iterations")
        warnings.filterwarnings("error", message="Training interrupted by user")
        try:
            yield
        except UserWarning as error:
            if "interrupted" not in str(error):
                raise
            raise KeyboardInterrupt from None


def _halves(rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    order = torch.randperm(len(rows), generator=generator)
    return rows[order[len(rows) // 2 :]], rows[order[: len(rows) // 2]]
