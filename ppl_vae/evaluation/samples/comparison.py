r"""All that is measured between held-out data and other rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ..two_sample import TwoSample, mmd_test
from .classifier import ClassifierTest, classifier_test, linear, network
from .frechet import frechet_distance, half_sampled
from .precision import MEASURES, PrecisionRecall, precision_recall

__all__ = ["Comparison", "compare"]

CLASSIFIERS: dict[str, Callable[[int], Any]] = {"linear": linear, "network": network}
r"""One sees differences of means and says which columns differ; the other sees the rest. A vote of
neighbours is weaker than both, and neighbours have their say in precision and recall."""


@dataclass(frozen=True)
class Comparison:
    r"""What tells two samples of equal size apart, and by how much."""

    classifiers: dict[str, ClassifierTest]
    r"""The test by each classifier."""
    mmd: TwoSample
    r"""The test by the maximum mean discrepancy."""
    neighbours: PrecisionRecall
    r"""Precision, recall, density and coverage."""
    frechet: float
    r"""The squared Fréchet distance of their features."""
    frechet_error: float
    r"""Its standard error; too large where the samples are alike."""

    @property
    def p_value(self) -> float:
        r"""The smallest of all p-values, times their number (Bonferroni)."""
        found = [self.mmd.p_value, *(test.p_value for test in self.classifiers.values())]
        return min(1.0, len(found) * min(found))

    @property
    def accuracy(self) -> float:
        r"""The accuracy of the better classifier."""
        return max(test.accuracy for test in self.classifiers.values())

    def summary(self) -> dict[str, Any]:
        r"""Plain values: by measure the value and its ``standard_error``, by test its p-value."""
        tests = {
            name: {
                "accuracy": test.accuracy,
                "standard_error": test.standard_error,
                "p_value": test.p_value,
            }
            for name, test in self.classifiers.items()
        }
        measures = {
            name: {"value": value, "standard_error": self.neighbours.errors[name]}
            for name, value in zip(MEASURES, self.neighbours.values, strict=True)
        }
        mmd = self.mmd.summary()
        return {
            "classifiers": tests,
            "mmd": {k: mmd[k] for k in ("mmd", "p_value", "null_95", "bandwidth", "permutations")},
            **measures,
            "frechet": {"value": self.frechet, "standard_error": self.frechet_error},
            "p_value": self.p_value,
        }


def compare(
    held: Tensor,
    rows: Tensor,
    *,
    features: Callable[[Tensor], Tensor],
    neighbours: int,
    permutations: int,
    replicates: int,
    seed: int,
) -> Comparison:
    r"""Compares held-out data with other rows, of the same number.

    Arguments:
        held: The held-out data, with shape ``(m, D)``.
        rows: The other rows, with shape ``(m, D)``.
        features: The map to the features of the Fréchet distance.
        neighbours: The number of neighbours of precision and recall.
        permutations: The number of permutations of the discrepancy.
        replicates: The number of halves that tell standard errors.
        seed: The seed of all that is drawn.
    """
    tests = {
        name: classifier_test(held, rows, make(seed), seed=seed)
        for name, make in CLASSIFIERS.items()
    }
    a, b = features(held), features(rows)
    return Comparison(
        classifiers=tests,
        mmd=mmd_test(held, rows, permutations=permutations, seed=seed),
        neighbours=precision_recall(
            held, rows, neighbours=neighbours, replicates=replicates, seed=seed
        ),
        frechet=frechet_distance(a, b),
        frechet_error=half_sampled(a, b, replicates, seed),
    )
