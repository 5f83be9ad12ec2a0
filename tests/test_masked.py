r"""Laws of likelihoods of the entries that are there."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
from torch.distributions import constraints
from wrapper_cases import NAN, Constructor, random

from ppl_vae.distributions.absent import inside
from ppl_vae.families import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    Clamped,
    Dequantized,
    FullRankNormal,
    Gamma,
    Laplace,
    LogNormal,
    Masked,
    NegativeBinomial,
    Normal,
    Poisson,
    Truncated,
    ZeroInflated,
)

MASKABLE: dict[str, Constructor] = {
    "Bernoulli": Bernoulli,
    "Beta": Beta,
    "Binomial": lambda s: Binomial(s, total=3),
    "Categorical": lambda s: Categorical(s, categories=3),
    "Clamped": lambda s: Clamped(s, low=-1, high=1),
    "Gamma": Gamma,
    "Laplace": Laplace,
    "LogNormal": LogNormal,
    "NegativeBinomial": NegativeBinomial,
    "Normal": Normal,
    "Normal shared": lambda s: Normal(s, scale="shared"),
    "Poisson": Poisson,
    "Truncated above": lambda s: Truncated(s, low=-math.inf, high=1),
    "Truncated below": lambda s: Truncated(s, low=2),
    "ZeroInflated": ZeroInflated,
}


@pytest.mark.parametrize("name", MASKABLE)
def test_absent_entries_are_left_out(float64: None, name: str) -> None:
    r"""The density is that of the family over the present entries alone, gradients and all."""
    family, masked = MASKABLE[name]((3, 2)), Masked((3, 2), MASKABLE[name])
    h = random(family, 7).requires_grad_()
    y = family(h).sample().to(torch.float64).detach()
    seen = torch.rand(7, 3, 2) < 0.6
    seen[0], seen[1] = True, False
    log_prob = masked(h).log_prob(torch.where(seen, y, NAN))
    each = family(h).base_dist.log_prob(y)  # type: ignore[attr-defined]
    expected = torch.where(seen, each, 0.0).sum((-1, -2))

    torch.testing.assert_close(log_prob, expected)
    assert log_prob[1] == 0
    (grad,) = torch.autograd.grad(log_prob.sum(), h, retain_graph=True)
    torch.testing.assert_close(grad, torch.autograd.grad(expected.sum(), h)[0])
    assert not grad.movedim(1, -1)[~seen].any()


@pytest.mark.parametrize("name", MASKABLE)
def test_support_of_absent_entries(name: str) -> None:
    masked = Masked((3,), MASKABLE[name])
    p = masked(random(masked, 5))
    y = p.sample()
    support: Any = p.support

    assert not y.isnan().any() and support.check(y).all()
    assert support.check(torch.where(torch.rand(5, 3) < 0.5, NAN, y)).all()
    assert support.check(torch.full((5, 3), NAN)).all()
    y = y.float()
    y[:, 0] = math.inf if "Normal" in name or "Laplace" in name else -2.5e9
    assert p.has_rsample == masked.family(random(masked)).has_rsample
    if "above" not in name and "Normal" not in name and name != "Laplace":
        assert not support.check(y).any()


def test_a_value_of_any_support() -> None:
    like = torch.zeros(3, dtype=torch.float64)
    for support in (
        constraints.real,
        constraints.positive,
        constraints.nonnegative_integer,
        constraints.positive_integer,
        constraints.integer_interval(-5, -2),
        constraints.boolean,
        constraints.unit_interval,
        constraints.less_than(-3.0),
        constraints.greater_than_eq(5.0),
        constraints.interval(2.0, math.inf),
        constraints.interval(-math.inf, -2.0),
        constraints.interval(2.0, 3.0),
        constraints.half_open_interval(2.0, 3.0),
        constraints.independent(constraints.positive, 1),
    ):
        y = inside(support, like)
        assert y.dtype == like.dtype and support.check(y).all(), support


def test_counts_by_densities_may_be_missing(float64: None) -> None:
    r"""They are estimated one by one where elements are independent."""
    masked = Masked((3,), lambda s: Dequantized(s, partial(Normal, scale=1e3)))
    y = torch.tensor([0.0, NAN, 5.0])
    h = random(masked, 1000)
    each = Normal((), scale=1e3)(h.movedim(1, -1)).log_prob(y.nan_to_num())

    found = masked(h).log_prob(y)
    torch.testing.assert_close(found, each[:, [0, 2]].sum(1), rtol=0, atol=1e-4)
    assert masked(h).sample().shape == (1000, 3)
    with pytest.raises(ValueError, match="Dequantized depend on each other"):
        Masked((3,), lambda s: Dequantized(s, FullRankNormal))
