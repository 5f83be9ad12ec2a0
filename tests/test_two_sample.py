r"""Laws of tests of two samples: they err as often as they say, and see what differs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import binom
from torch import Tensor

from ppl_vae.evaluation import two_sample
from ppl_vae.evaluation.samples import classifier_test
from ppl_vae.evaluation.samples.classifier import linear, network
from ppl_vae.evaluation.two_sample import mmd_test

Test = Callable[[Tensor, Tensor, int], float]

TESTS: dict[str, Test] = {
    "mmd": lambda a, b, seed: mmd_test(a, b, permutations=39, seed=seed).p_value,
    "linear": lambda a, b, seed: classifier_test(a, b, linear(), seed=seed).p_value,
    "network": lambda a, b, seed: classifier_test(a, b, network(), seed=seed).p_value,
}
NULLS: dict[str, Callable[..., Tensor]] = {
    "normal": lambda *shape: torch.randn(*shape),
    "heavy": lambda *shape: torch.randn(*shape) / torch.rand(*shape).clamp(min=1e-3),
    "discrete": lambda *shape: torch.bernoulli(torch.full(shape, 0.2)),
    "constant": lambda *shape: torch.ones(*shape),
}


def drawn(law: str, n: int, m: int, seed: int, features: int = 3) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    rows = NULLS[law](n + m, features)
    return rows[:n], rows[n:]


# The null


RUNS = {"mmd": 150, "linear": 80, "network": 80}
slow = pytest.mark.slow
CASES = [
    *(pytest.param("mmd", law) for law in NULLS if law != "constant"),
    pytest.param("linear", "discrete"),
    *(pytest.param("linear", law, marks=slow) for law in ("normal", "heavy")),
    pytest.param("network", "normal", marks=slow),
]


@pytest.mark.parametrize(("name", "law"), CASES)
def test_errs_no_more_often_than_it_says(name: str, law: str) -> None:
    r"""Of alike samples, of unequal size, at most 10 % are told apart at p <= 0.1.

    The number that are is binomial at most: beyond its quantile of 1e-4 once in 10000.
    """
    runs = RUNS[name]
    p = np.array([TESTS[name](*drawn(law, 24, 16, seed), seed) for seed in range(runs)])
    assert (p <= 0.1).sum() <= binom.isf(1e-4, runs, 0.1)
    assert ((p > 0) & (p <= 1)).all()


@pytest.mark.parametrize("name", TESTS)
def test_equal_rows_are_alike(name: str) -> None:
    assert TESTS[name](*drawn("constant", 24, 16, 0), 0) == 1


def test_discrepancy_errs_as_often_as_it_says() -> None:
    r"""Where there are no ties, p is uniform on 1/40, 2/40, ... 1.

    At three levels the number of 300 p-values below lies within binomial quantiles that it leaves
    once in 10000 for each.
    """
    p = np.array([TESTS["mmd"](*drawn("normal", 12, 12, s), s) for s in range(300)])
    for level in (0.05, 0.25, 0.5):
        low, high = binom.interval(1 - 1e-4, 300, level)
        assert low <= (p <= level).sum() <= high


def test_discrepancy_has_no_bias(float64: None) -> None:
    r"""Its mean over 200 pairs of alike samples is zero within 4 standard errors (1 in 16000).

    The bandwidth is fixed: one that is taken from the rows depends on them.
    """
    found = torch.tensor(
        [
            mmd_test(*drawn("normal", 10, 14, s), permutations=1, bandwidth=1.5).mmd
            for s in range(200)
        ]
    )
    assert abs(found.mean()) < 4 * found.std() / 200**0.5


# The alternative


@pytest.mark.parametrize("name", TESTS)
def test_sees_a_shift(name: str) -> None:
    for seed in range(3):
        a, b = drawn("normal", 100, 100, seed)
        assert TESTS[name](a, b + 1, seed) <= 0.05


@pytest.mark.parametrize("name", ["mmd", "network"])
def test_sees_a_scale(name: str) -> None:
    r"""What has the same means is seen by all but the linear classifier."""
    a, b = drawn("normal", 300, 300, 0)
    assert TESTS[name](a, 2 * b, 0) <= 0.05
    assert TESTS["linear"](a, 2 * b, 0) > 0.05


def test_power_grows() -> None:
    p = [mmd_test(a, b + 0.3).p_value for a, b in (drawn("normal", n, n, 1) for n in (20, 400))]
    assert p[1] < 0.01 < p[0]


# The numbers


def definition(a: Tensor, b: Tensor, h: float) -> float:
    def k(x: Tensor, y: Tensor) -> Tensor:
        return (-(x[:, None] - y).square().sum(-1) / (2 * h**2)).exp()

    n, m = len(a), len(b)
    within = (k(a, a).sum() - n) / (n * (n - 1)) + (k(b, b).sum() - m) / (m * (m - 1))
    return float(within - 2 * k(a, b).mean())


def test_discrepancy_is_what_its_definition_says(
    float64: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    r"""Of any blocks, and of the permutations too."""
    a, b = drawn("normal", 13, 9, 0)
    results = []

    for block in (500, 5):
        monkeypatch.setattr(two_sample, "BLOCK", block)
        results.append(mmd_test(a, b + 1, permutations=20))

    found = results[0]
    apart = torch.cat([a, b + 1])
    median = torch.pdist(apart).median()
    assert found.bandwidth == pytest.approx(float(median))
    assert found.mmd == pytest.approx(definition(a, b + 1, found.bandwidth), abs=1e-12)
    np.testing.assert_allclose(results[1].null, found.null, rtol=0, atol=1e-12)

    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(22, generator=generator)
    inside = torch.zeros(22, dtype=torch.bool).index_fill(0, order[:13], True)
    expected = definition(apart[inside], apart[~inside], found.bandwidth)
    assert found.null[0] == pytest.approx(expected, abs=1e-12)


def test_discrepancy_is_symmetric(float64: None) -> None:
    a, b = drawn("heavy", 20, 20, 0)
    found = [mmd_test(*pair, permutations=9) for pair in ((a, b), (b, a), (a * 3 + 7, b * 3 + 7))]
    for other in found[1:]:
        assert other.mmd == pytest.approx(found[0].mmd, abs=1e-12)


def test_classifier_p_value_is_exact() -> None:
    r"""That of relabelling the judged rows at random, of which 20000 tell it within 4 errors."""
    a, b = drawn("normal", 60, 40, 3)
    found = classifier_test(a, b + 0.5, linear())
    called, second = found.scores > 0.5, found.second
    assert found.accuracy == (called == second).mean()
    assert second.sum() == 20 and len(second) == 50

    rng = np.random.default_rng(0)
    right = np.array([(called == rng.permutation(second)).mean() for _ in range(20_000)])
    share = (right >= found.accuracy).mean()
    error = (found.p_value * (1 - found.p_value) / 20_000) ** 0.5
    assert 0.001 < found.p_value < 0.2
    assert abs(share - found.p_value) < 4 * error


# Manners


@pytest.mark.parametrize("name", TESTS)
def test_same_seed_same_numbers(name: str) -> None:
    a, b = drawn("normal", 40, 40, 0)
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    p = [TESTS[name](a, b + 0.3, seed) for seed in (0, 0)]
    assert p[0] == p[1]
    assert torch.equal(torch_state, torch.get_rng_state())
    assert (numpy_state == np.random.get_state()[1]).all()


def test_other_seed_other_numbers() -> None:
    a, b = drawn("normal", 40, 40, 0)
    nulls = [mmd_test(a, b, permutations=5, seed=seed).null for seed in (0, 1)]
    scores = [classifier_test(a, b, linear(), seed=seed).scores for seed in (0, 1)]
    assert (nulls[0] != nulls[1]).all() and (scores[0] != scores[1]).all()


def test_large_samples_are_thinned() -> None:
    a, b = drawn("normal", 300, 50, 0)
    found = mmd_test(a, b, permutations=9, limit=100)
    assert found.sizes == (100, 50)
    assert found.summary()["sizes"] == [100, 50]


def test_shapes_and_types() -> None:
    r"""Rows of any shape and type count as they would flattened, in double precision."""
    a, b = torch.randint(5, (10, 2, 3)), torch.randint(5, (12, 2, 3))
    found = mmd_test(a.to(torch.uint8), b.numpy(), permutations=9)
    assert found.mmd == mmd_test(a.flatten(1).double(), b.flatten(1), permutations=9).mmd
    assert found.arrays()["null"].shape == (9,)


def test_summary() -> None:
    a, b = drawn("normal", 50, 50, 1)
    alike, apart = (mmd_test(a, b + shift, permutations=199).summary() for shift in (0, 2))
    assert alike["level"] == "good" and "not told apart" in alike["verdict"]
    assert apart["level"] == "poor" and "differ" in apart["verdict"]
    assert apart["p_value"] == 1 / 200 and apart["mmd"] > apart["null_95"]


BAD: dict[str, tuple[Any, Any, dict[str, Any], str]] = {
    "few": (torch.zeros(1, 2), torch.zeros(3, 2), {}, "two rows each or more"),
    "shapes": (torch.zeros(3, 2), torch.zeros(3, 4), {}, "of one shape"),
    "nan": (torch.zeros(3, 2), torch.full((3, 2), torch.nan), {}, "NaN or infinite"),
    "permutations": (torch.zeros(3, 2), torch.zeros(3, 2), {"permutations": 0}, "one permutation"),
    "bandwidth": (torch.zeros(3, 2), torch.zeros(3, 2), {"bandwidth": 0.0}, "positive and finite"),
}


@pytest.mark.parametrize("name", BAD)
def test_refuses(name: str) -> None:
    a, b, options, words = BAD[name]
    with pytest.raises(ValueError, match=words):
        mmd_test(a, b, **options)


def test_classifier_refuses_few_rows() -> None:
    with pytest.raises(ValueError, match="four rows of each"):
        classifier_test(torch.zeros(3, 2), torch.zeros(9, 2), linear())
