r"""Laws of precision, recall, density, coverage, and of the Fréchet distance."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm
from torch import Tensor

from ppl_vae.evaluation.samples import (
    fit_features,
    frechet_distance,
    gaussian_distance,
    precision_recall,
)
from ppl_vae.evaluation.samples.frechet import half_sampled
from ppl_vae.evaluation.samples.precision import MEASURES

# Nearest neighbours


def uniform(n: int, seed: int = 0) -> Tensor:
    return torch.rand(n, 2, generator=torch.Generator().manual_seed(seed)).double()


def definition(x: Tensor, y: Tensor, k: int) -> list[float]:
    def radii(rows: Tensor) -> list[float]:
        return [float((row - rows).norm(dim=1).sort().values[k]) for row in rows]

    rx, ry = radii(x), radii(y)
    near_x = [[float((a - b).norm()) <= r for b in y] for a, r in zip(x, rx, strict=True)]
    near_y = [[float((a - b).norm()) <= r for b, r in zip(y, ry, strict=True)] for a in x]
    inside = [any(row[j] for row in near_x) for j in range(len(y))]
    return [
        sum(inside) / len(y),
        sum(any(row) for row in near_y) / len(x),
        sum(sum(row) for row in near_x) / (k * len(y)),
        sum(any(row) for row in near_x) / len(x),
    ]


@pytest.mark.parametrize("k", [1, 3, 5])
def test_is_what_its_definition_says(k: int) -> None:
    x, y = uniform(40), 1.5 * uniform(30, 1)
    found = precision_recall(x, y, neighbours=k, replicates=2)
    assert found.values == pytest.approx(definition(x, y, k), abs=1e-12)
    assert found.recalled.mean() == pytest.approx(found.recall)


def test_part_of_the_support() -> None:
    r"""Samples of half of the square: all are right, and half of the data are missed.

    Within what the balls at the border add, which is less than 0.1 of 800 rows. Coverage the
    other way round, of data with half as many samples about them, is 1 - (1 / (1 + 1/2)) ** 5 in
    the limit, as of :func:`test_known_null`: within 4 of its standard errors, once in 16000.
    """
    x, y = uniform(800), uniform(800, 1) * torch.tensor([0.5, 1.0])
    found = precision_recall(x, y)
    assert found.precision > 0.97
    assert 0.5 < found.recall < 0.6 and 0.4 < found.coverage < 0.6

    # The other way round, samples of twice the data's support.
    found = precision_recall(y, x)
    assert found.recall > 0.97
    assert abs(found.coverage - (1 - (2 / 3) ** 5)) < 4 * found.errors["coverage"] < 0.15
    assert 0.5 < found.precision < 0.6 and found.density == pytest.approx(0.5, abs=0.1)


def test_far_away() -> None:
    found = precision_recall(uniform(50), uniform(50, 1) + 10)
    assert found.values == [0, 0, 0, 0]
    assert set(found.errors.values()) == {0.0}


def test_the_same_rows() -> None:
    r"""Also of discrete rows, most of them equal, whose balls have no radius."""
    for x in (uniform(60), torch.ones(30, 3), (uniform(90) > 0.5).double()):
        found = precision_recall(x, x.clone())
        assert [found.precision, found.recall, found.coverage] == [1, 1, 1]


def test_recall_is_precision_the_other_way_round() -> None:
    x, y = uniform(60), uniform(70, 1) ** 2
    there, back = precision_recall(x, y), precision_recall(y, x)
    assert there.recall == back.precision and there.precision == back.recall


def test_invariance() -> None:
    r"""To a rotation, a shift and a scale; and float32 rows give the same."""
    x, y = uniform(60), uniform(70, 1) ** 2
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]]).double()
    found = precision_recall(x, y).values
    assert precision_recall(x @ turn * 7 - 3, y @ turn * 7 - 3).values == pytest.approx(found)
    assert precision_recall(x.float(), y.float()).values == pytest.approx(found)


def test_known_null() -> None:
    r"""Of alike samples, mean density is 1 and mean coverage 1 - prod_j (n - j) / (n + m - j).

    Naeem et al., 2020; means over 200 pairs, within 4 standard errors (once in 8000 for both).
    """
    n, m, k = 40, 30, 3
    torch.manual_seed(0)
    found = torch.tensor(
        [
            precision_recall(
                torch.randn(n, 4), torch.randn(m, 4), neighbours=k, replicates=2
            ).values
            for _ in range(200)
        ]
    )
    exact = 1 - math.prod((n - j) / (n + m - j) for j in range(1, k + 1))
    z = (found.mean(0) - torch.tensor([0, 0, 1, exact])) / (found.std(0) / 200**0.5)
    assert z[2:].abs().max() < 4


def test_standard_errors() -> None:
    r"""Are the spread over new samples, or up to a half more where a measure is close to 1.

    The spread of 80 pairs is known to 8 %, so that 4 errors are a third.
    """
    torch.manual_seed(0)
    runs = [
        precision_recall(torch.randn(150, 3), 1.3 * torch.randn(150, 3) + 0.5, replicates=20)
        for _ in range(80)
    ]
    spread = np.std([run.values for run in runs], axis=0, ddof=1)
    said = np.mean([[run.errors[name] for name in MEASURES] for run in runs], axis=0)
    assert (said > (1 - 1 / 3) * spread).all()
    assert (said < (1 + 1 / 3) * 1.5 * spread).all()


def test_seeds() -> None:
    x, y = uniform(60), uniform(60, 1)
    state = torch.get_rng_state()
    found = [precision_recall(x, y, seed=seed) for seed in (0, 0, 1)]
    assert found[0].errors == found[1].errors != found[2].errors
    assert found[0].values == found[2].values
    assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"neighbours": 0}, "Of 30 and 30 rows the measures take 1 to 13 neighbours, got 0"),
        ({"neighbours": 14}, "1 to 13 neighbours, got 14"),
        ({"replicates": 1}, "two replicates or more, got 1"),
    ],
)
def test_refuses(options: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        precision_recall(uniform(30), uniform(30), **options)


# The Fréchet distance


def covariance(d: int, seed: int) -> Tensor:
    root = torch.randn(d, d, generator=torch.Generator().manual_seed(seed)).double()
    return root @ root.mT


def test_closed_forms(float64: None) -> None:
    r"""Normal distributions with diagonal covariances, and any against scipy's root."""
    s, t, shift = torch.rand(4) + 0.1, torch.rand(4) + 0.1, torch.randn(4)
    exact = shift.square().sum() + (s - t).square().sum()
    zero = torch.zeros(4)
    found = gaussian_distance(zero, s.square().diag(), shift, t.square().diag())
    torch.testing.assert_close(found, exact, rtol=1e-12, atol=1e-12)

    a, b = covariance(5, 0), covariance(5, 1)
    exact = np.trace(a + b) - 2 * np.trace(sqrtm(a.numpy() @ b.numpy())).real
    found = gaussian_distance(torch.zeros(5), a, torch.zeros(5), b)
    assert float(found) == pytest.approx(float(exact), rel=1e-9)


def test_distance(float64: None) -> None:
    r"""It is symmetric, zero on itself, also of a covariance without full rank, and turns along."""
    x, y = torch.randn(50, 4), torch.randn(70, 4) @ covariance(4, 0) + 1
    turn = torch.linalg.qr(torch.randn(4, 4)).Q
    assert frechet_distance(x, y) == pytest.approx(frechet_distance(y, x), rel=1e-12)
    assert frechet_distance(x @ turn, y @ turn) == pytest.approx(frechet_distance(x, y), rel=1e-10)
    assert frechet_distance(3 * x, 3 * y) == pytest.approx(9 * frechet_distance(x, y), rel=1e-10)
    assert frechet_distance(x, x) < 1e-12
    flat = x[:3]  # three rows of four columns
    assert frechet_distance(flat, flat) < 1e-12
    assert frechet_distance(flat, flat + 1) == pytest.approx(4, rel=1e-9)


def test_moments_converge(float64: None) -> None:
    r"""To the distance of the distributions, from above: by half at twice the number of rows.

    Mean distances of 200 pairs of alike samples are positive, and their ratio is 2 within 4 errors
    (once in 16000), which are 0.1 each at most.
    """
    means = []

    for n in (50, 100):
        found = torch.tensor(
            [frechet_distance(torch.randn(n, 3), torch.randn(n, 3)) for _ in range(200)]
        )
        means.append((float(found.mean()), float(found.std()) / 200**0.5))

    (once, e), (twice, f) = means
    ratio = once / twice
    error = ratio * ((e / once) ** 2 + (f / twice) ** 2) ** 0.5
    assert twice > 0 and error < 0.15
    assert abs(ratio - 2) < 4 * error


def test_standard_error_of_distance(float64: None) -> None:
    r"""It is the spread over new samples, within a third, where these differ: 80 pairs."""
    pairs = [(torch.randn(200, 3), 1.5 * torch.randn(200, 3) + 0.5) for _ in range(80)]
    spread = np.std([frechet_distance(*pair) for pair in pairs], ddof=1)
    said = np.mean([half_sampled(*pair, 20, 0) for pair in pairs])
    assert said / spread == pytest.approx(1, abs=1 / 3)


# Features


def classes(seed: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    y = torch.arange(300) % 3
    return torch.randn(300, 6) + 4 * torch.nn.functional.one_hot(y, 6), y


def test_features_of_classes() -> None:
    r"""They tell classes apart in rows that the net has not seen: most of their spread is between.

    The features have a variance of one over the rows that they are of.
    """
    features, (x, y) = fit_features(*classes(0), size=4), classes(1)
    found = features(x)
    within = torch.stack([found[y == c].var(0) for c in range(3)]).mean()
    assert found.shape == (300, 4) and features.size == 4
    assert within < 0.5 * found.var(0).mean()
    torch.testing.assert_close(features(classes(0)[0]).std(0), torch.ones(4).double())


def test_principal_components() -> None:
    r"""Are uncorrelated, and no more than there is variance for."""
    torch.manual_seed(0)
    x = torch.randn(100, 2) @ torch.randn(2, 7) + 3
    features = fit_features(x.reshape(100, 7, 1), size=5)
    assert features.size == 2 and "2 principal components" in features.name
    correlation = torch.cov(features(x).mT)
    torch.testing.assert_close(correlation, torch.eye(2).double(), rtol=0, atol=1e-9)


def test_features_have_a_seed() -> None:
    x, y = classes(0)
    state = torch.get_rng_state()
    found = [fit_features(x, y, seed=seed)(x) for seed in (0, 0, 1)]
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])
    assert torch.equal(state, torch.get_rng_state())
    assert not found[0].requires_grad


def test_features_refuse() -> None:
    x, y = classes(0)
    with pytest.raises(ValueError, match="one for each row"):
        fit_features(x, y[:10])
    with pytest.raises(ValueError, match="two classes or more"):
        fit_features(x, torch.zeros(300))
    with pytest.raises(ValueError, match="must be positive"):
        fit_features(x, size=0)
    with pytest.raises(ValueError, match="no variance"):
        fit_features(torch.ones(9, 2))
