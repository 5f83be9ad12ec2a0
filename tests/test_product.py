r"""Laws of columns of different kinds."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.distributions import kl_divergence
from wrapper_cases import Constructor, random

from ppl_vae.families import (
    Bernoulli,
    Categorical,
    Clamped,
    Laplace,
    Normal,
    Poisson,
    Product,
    StudentT,
)


def test_product_is_a_product(float64: None) -> None:
    columns = [Normal, Poisson, Bernoulli, partial(Categorical, categories=3)]
    family = Product((4,), columns)
    h = random(family, 6)
    p = family(h)
    y = p.sample((5,))
    alone = [f(())(part) for f, part in zip(columns, _split(h, [2, 1, 1, 3]), strict=True)]
    expected = sum(a.log_prob(y[..., i]) for i, a in enumerate(alone))

    assert y.dtype == torch.float64 and p.event_shape == (4,)
    torch.testing.assert_close(p.log_prob(y), expected)
    torch.testing.assert_close(p.variance[..., 1], alone[1].variance)
    assert not p.has_rsample and Product((2,), [Normal, Laplace])(torch.zeros(4)).has_rsample
    support: Any = p.support
    assert support.check(y).all() and not support.check(y + 0.5).any()
    assert not support.is_discrete
    discrete: Any = Product((2,), [Poisson, Bernoulli])(torch.zeros(2))
    assert discrete.support.is_discrete and discrete.measure == "counting"
    assert discrete.sample().dtype == torch.float64  # the default


def _split(h: Tensor, sizes: list[int]) -> list[Tensor]:
    parts = h.split(sizes, -1)
    return [part.unflatten(-1, (size,)) for part, size in zip(parts, sizes, strict=True)]


def test_product_knows_divergences_of_its_columns(float64: None) -> None:
    family = Product((2,), [Normal, Bernoulli])
    p, q = family(random(family, 3)), family(random(family, 3))
    parts: Any = zip(p.parts, q.parts, strict=True)  # type: ignore[attr-defined]

    torch.testing.assert_close(kl_divergence(p, q), sum(kl_divergence(a, b) for a, b in parts))
    torch.testing.assert_close(
        p.entropy(),
        sum(a.entropy() for a in p.parts),  # type: ignore[attr-defined]
    )
    other = Product((2,), [StudentT, Bernoulli])
    with pytest.raises(NotImplementedError):
        kl_divergence(p, other(random(other, 3)))


def test_product_tells_measures_apart() -> None:
    def name(*columns: Constructor) -> str:
        family = Product((len(columns),), columns)
        return str(family(torch.zeros(family.param_shape)).measure)  # type: ignore[attr-defined]

    assert name(Normal, Laplace) == "lebesgue"
    assert name(Poisson, Normal, Bernoulli) == "mixed (counting: 0, 2)"
    assert name(Clamped, Normal, Poisson) == "mixed (counting: 2; lebesgue + point 0: 0)"
    assert name(Clamped, Clamped) == "lebesgue + point 0"


def test_product_starts_at_the_mean(float64: None) -> None:
    family = Product((3,), [Normal, Poisson, Bernoulli])
    mean = torch.tensor([-2.0, 7.0, 0.3])

    torch.testing.assert_close(family(family.at_mean(mean)).mean, mean, rtol=1e-9, atol=0)
