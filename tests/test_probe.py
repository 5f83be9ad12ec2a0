r"""Laws of probes and clusters: of codes that hold the labels, of noise, of other names."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ppl_vae.evaluation.latent import Clusters, Probe, k_means, linear_probe, matched_accuracy


def blobs(n: int = 300, apart: float = 10.0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(0)
    labels = generator.integers(3, size=n)
    centres = apart * np.array([[0, 0], [1, 0], [0, 1]])
    return centres[labels] + generator.standard_normal((n, 2)), labels


def test_separate_classes() -> None:
    codes, labels = blobs()
    probe, clusters = linear_probe(codes, labels), k_means(codes, labels)

    assert probe.accuracy == 1 and probe.standard_error == 0 and probe.classes == 3
    assert probe.baseline == np.bincount(labels).max() / 300
    assert (clusters.ari, clusters.nmi, clusters.accuracy) == pytest.approx((1, 1, 1))


def test_noise() -> None:
    r"""Codes that know nothing are no better than chance, 4 standard errors aside (1 in 16000)."""
    codes, labels = blobs(600, apart=0)
    probe, clusters = linear_probe(codes, labels), k_means(codes, labels)

    assert (
        probe.accuracy < probe.baseline + 4 * (probe.baseline * (1 - probe.baseline) / 600) ** 0.5
    )
    assert abs(clusters.ari) < 0.02 and clusters.nmi < 0.02
    assert clusters.accuracy < 0.45


def test_known_accuracy() -> None:
    r"""Two normal classes at distance 2: the best line is right with probability 0.8413.

    Within 4 standard errors, as they are told, and what 2000 data are short of the best line.
    """
    generator = np.random.default_rng(0)
    labels = np.arange(2000) % 2
    codes = generator.standard_normal((2000, 1)) + 2 * labels[:, None]
    probe = linear_probe(codes, labels)

    assert probe.standard_error == pytest.approx((0.8413 * 0.1587 / 2000) ** 0.5, rel=0.05)
    assert abs(probe.accuracy - 0.8413) < 4 * probe.standard_error


def test_names_of_labels() -> None:
    r"""Nothing depends on which integers the labels are, nor on torch or NumPy."""
    codes, labels = blobs(apart=2)
    names = np.array([7, -3, 12])[labels]

    named = linear_probe(torch.tensor(codes), torch.tensor(names))
    assert named.accuracy == pytest.approx(linear_probe(codes, labels).accuracy, abs=0.01)
    assert k_means(codes, names).accuracy == k_means(codes, labels).accuracy


def test_matching() -> None:
    r"""Accuracy is that of the best naming of clusters, found among all of them."""
    from itertools import permutations

    generator = np.random.default_rng(0)
    for _ in range(20):
        found, labels = generator.integers(4, size=(2, 30))
        best = max(
            float((np.array(naming)[found] == labels).mean()) for naming in permutations(range(4))
        )
        assert matched_accuracy(found, labels) == pytest.approx(best)
        assert matched_accuracy(np.array([3, 1, 0, 2])[found], labels) == pytest.approx(best)

    # More clusters than labels: those without a name are wrong.
    assert matched_accuracy(np.arange(4), np.array([0, 0, 1, 1])) == 0.5


def test_seeds() -> None:
    codes, labels = blobs(apart=1)
    state = np.random.get_state()[1].copy()  # type: ignore[union-attr, index]
    assert linear_probe(codes, labels) == linear_probe(codes, labels)
    assert k_means(codes, labels) == k_means(codes, labels)
    assert (np.random.get_state()[1] == state).all()  # type: ignore[index]
    assert isinstance(linear_probe(codes, labels), Probe)
    assert isinstance(k_means(codes, labels), Clusters)


def test_rare_labels_and_dead_codes() -> None:
    r"""A label of one datum, and codes that are all the same, are no error."""
    codes, labels = blobs(60)
    labels = np.concatenate([labels[:-1], [3]])
    assert linear_probe(codes, labels).accuracy > 0.9
    dead = linear_probe(0 * codes, labels)
    assert dead.accuracy <= dead.baseline
    assert k_means(0 * codes, labels).accuracy == pytest.approx(dead.baseline)


def test_refused() -> None:
    codes, labels = blobs(30)

    for metric in (linear_probe, k_means):
        for bad in (labels[:20], labels / 2, labels[:, None]):
            with pytest.raises(ValueError, match="one integer for each of 30 codes"):
                metric(codes, bad)
        with pytest.raises(ValueError, match="All data have the label 0"):
            metric(codes, 0 * labels)
        with pytest.raises(ValueError, match="NaN or infinite"):
            metric(codes * np.nan, labels)
    with pytest.raises(ValueError, match="two folds or more"):
        linear_probe(codes, labels, folds=1)
