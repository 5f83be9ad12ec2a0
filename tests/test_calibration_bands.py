r"""Laws of simultaneous bands and of what stands on them: exact, against all outcomes there are."""

from __future__ import annotations

from itertools import product
from math import factorial

import numpy as np
import pytest
import torch
from scipy.stats import binom, norm

from ppl_vae.evaluation.calibration import (
    fault,
    holm,
    ranks,
    summaries,
    uniform_band,
    uniform_p_values,
)
from ppl_vae.evaluation.calibration.verdict import LARGE


def outcomes(S: int, levels: int) -> tuple[np.ndarray, np.ndarray]:
    r"""All ways in which S ranks fall on so many levels, and their probabilities."""
    counts = np.array([c for c in product(range(S + 1), repeat=levels) if sum(c) == S])
    ways = [factorial(S) / np.prod([float(factorial(k)) for k in c]) for c in counts]
    return counts, np.array(ways) / levels**S


@pytest.mark.parametrize(("S", "levels"), [(1, 4), (6, 4), (9, 3), (12, 2), (5, 6)])
def test_p_values_are_exact(S: int, levels: int) -> None:
    r"""The p-value of each outcome is the probability of all that are no less extreme."""
    counts, probability = outcomes(S, levels)
    below = counts.cumsum(1)[:, :-1]
    at = np.arange(1, levels) / levels
    tails = 2 * np.minimum(binom.cdf(below, S, at), binom.sf(below - 1, S, at))
    gamma = tails.clip(max=1).min(1)
    exact = [probability[gamma <= g * (1 + 1e-9)].sum() for g in gamma]

    table = np.stack([np.repeat(np.arange(levels), c) for c in counts], 1)
    found = uniform_p_values(torch.from_numpy(table), levels - 1)
    np.testing.assert_allclose(found.numpy(), exact, rtol=1e-9)

    for rate in (0.3, 0.1, 0.02):
        low, high = uniform_band(S, levels - 1, rate)
        outside = ((below < low) | (below > high)).any(1)
        assert probability[outside].sum() <= rate + 1e-12
        assert (outside == (found.numpy() <= rate + 1e-12)).all()


@pytest.mark.parametrize(("S", "L"), [(100, 7), (400, 63)])
def test_bands_hold_at_their_level(S: int, L: int) -> None:
    r"""P(p <= t) = t at values t that p takes: of 1500 tables, z-scores below 4.5."""
    table = torch.randint(L + 1, (S, 1500), generator=torch.Generator().manual_seed(0))
    p = uniform_p_values(table, L)

    for t in (0.01, 0.05, 0.3):
        t = float(p[p <= t].max())
        share = float((p <= t).double().mean())
        assert abs(share - t) < 4.5 * (t * (1 - t) / 1500) ** 0.5

    low, high = uniform_band(S, L, 0.05)
    below = np.stack([(table < j).sum(0).numpy() for j in range(1, L + 1)], 1)
    outside = ((below < low) | (below > high)).any(1)
    assert (outside == (p <= 0.05).numpy()).all()
    assert (low + high[::-1] == S).all()  # symmetric


def test_extremes() -> None:
    r"""Impossible ranks have the least p-value that is told; perfect ones, the largest."""
    p = uniform_p_values(torch.stack([torch.zeros(1000), torch.arange(1000) % 8], 1).long(), 7)
    assert p.tolist() == [1e-12, 1.0]
    low, high = uniform_band(2, 7, 1e-9)
    assert (low == 0).all() and (high == 2).all()

    with pytest.raises(ValueError, match="lie between 0 and 3"):
        uniform_p_values(torch.tensor([[4]]), 3)
    with pytest.raises(ValueError, match="shape"):
        uniform_p_values(torch.zeros(0, 2, dtype=torch.long), 3)


@pytest.mark.parametrize("values", [2, 3, 1000])
def test_ranks_of_ties_are_uniform(values: int) -> None:
    r"""Of exchangeable values, be there ever so few: 4000 ranks, wrong once in 10000."""
    generator = torch.Generator().manual_seed(0)
    table = torch.randint(values, (8, 4000), generator=generator)
    assert uniform_p_values(ranks(table, generator)[:, None], 7) > 1e-4


def test_holm() -> None:
    r"""Steps down; monotone; no larger than Bonferroni's, and no smaller than what it adjusts."""
    p = torch.rand(50, generator=torch.Generator().manual_seed(0), dtype=torch.float64) ** 3
    adjusted = holm(p)
    order = p.argsort()

    assert (adjusted >= p).all() and (adjusted <= (50 * p).clamp(max=1)).all()
    assert (adjusted[order].diff() >= 0).all()
    assert adjusted.min() == 50 * p.min()
    rejected = 0
    while rejected < 50 and p[order[rejected]] * (50 - rejected) <= 0.2:
        rejected += 1
    assert (adjusted <= 0.2).sum() == rejected
    assert len(holm(p[:0])) == 0


def test_faults_by_shape() -> None:
    r"""Of the ranks of a Gaussian guide, 1000 of them."""
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(1000, generator=generator, dtype=torch.float64)
    draws = torch.randn(31, 1000, generator=generator, dtype=torch.float64)

    def name(scale: float, shift: float) -> str:
        return fault(ranks(torch.cat([z[None], shift + scale * draws])), 31).name

    assert name(0.7, 0.0) == "too narrow" and name(1.4, 0.0) == "too wide"
    assert name(1.0, 0.3) == "too high" and name(1.0, -0.3) == "too low"
    assert fault(torch.tensor([2, 5] * 50), 7).name == "too wide"
    spikes = torch.tensor([1, 6, 1, 6, 1, 6, 2, 5] * 50)  # with the mean and variance of chance
    assert fault(spikes, 7).name == "wrong shape"


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.25), (0.65, 0.0), (1.5, 0.0)])
def test_what_is_large(scale: float, shift: float) -> None:
    r"""In the words of a Gaussian guide that is off by so much: its ranks are Phi(shift + s z)."""
    u = np.linspace(0.001, 0.999, 999)
    difference = np.abs(norm.cdf(shift + scale * norm.ppf(u)) - u).max()
    assert difference == pytest.approx(LARGE, rel=0.06)


def test_summaries() -> None:
    y = torch.rand(4, 2, 3)
    found = summaries(y, torch.tensor([0, 5, 2, 3]))
    assert found.shape == (4, 3) and found[1, 2] == y[1, 1, 2]
    assert summaries(y[:, 0, 0], torch.zeros(4, dtype=torch.long)).shape == (4, 1)
