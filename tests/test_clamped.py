r"""Laws of families whose draws stop at bounds."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from scipy.integrate import quad
from wrapper_cases import INTERVALS, Constructor, random

from ppl_vae.families import Clamped, Laplace, Normal


@pytest.mark.parametrize("low, high", [*INTERVALS, (-0.3, 0.4)])
@pytest.mark.parametrize("family", [Normal, Laplace])
def test_clamped_law(float64: None, family: Constructor, low: float, high: float) -> None:
    r"""The masses at the bounds and the density between them sum to one, and draws fit them."""
    clamped, inner = Clamped((), family, low=low, high=high), family(())
    bounds = [b for b in (low, high) if math.isfinite(b)]
    ends = (max(low, -60.0), min(high, 60.0))

    for _ in range(3):
        h = random(clamped)
        p, base = clamped(h), inner(h)
        loc = float(base.loc)  # type: ignore[attr-defined]

        def integral(f: Callable[[float], float]) -> float:
            def integrand(y: float) -> float:
                return float(p.log_prob(torch.tensor(y)).exp()) * f(y)  # noqa: B023

            points = [loc] if ends[0] < loc < ends[1] else None  # noqa: B023
            within = quad(integrand, *ends, points=points, limit=200, epsabs=1e-10)[0]
            return within + sum(integrand(b) for b in bounds)

        assert integral(lambda y: 1.0) == pytest.approx(1, abs=1e-8)
        assert float(p.mean) == pytest.approx(integral(lambda y: y), abs=1e-7)

        y = p.sample((20000,))
        # Here and below a random seed fails once in 100000 times.
        assert p.support.check(y).all()
        assert abs(y.mean() - p.mean) < 4.5 * y.std() / 20000**0.5 + 1e-4
        for b in bounds:
            mass = float(p.log_prob(torch.tensor(b)).exp())
            exact = base.cdf(torch.tensor(b))
            exact = exact if b == low else 1 - exact
            assert mass == pytest.approx(float(exact), rel=1e-9)
            share = (y == b).double().mean()
            assert abs(share - mass) < 4.5 * (mass * (1 - mass) / 20000) ** 0.5 + 1e-9


@pytest.mark.parametrize("family", [Normal, Laplace])
@pytest.mark.parametrize("value", [1e6, -1e6, None])
def test_clamped_extremes_and_gradients(family: Constructor, value: float | None) -> None:
    clamped = Clamped((3,), family, low=-0.5, high=1.0)
    h = random(clamped, 2) if value is None else torch.full((2, 2, 3), value)
    h.requires_grad_()
    y = torch.tensor([-0.5, 0.25, 1.0])
    log_prob = clamped(h).log_prob(y)
    (grad,) = torch.autograd.grad(log_prob.sum(), h)

    assert log_prob.isfinite().all() and grad.isfinite().all()
    assert value is not None or grad.all()
    assert clamped(h).sample((5,)).isfinite().all()
    # Elements are independent.
    each = Clamped((), family, low=-0.5, high=1.0)(h.movedim(1, -1)).log_prob(y)
    torch.testing.assert_close(log_prob, each.sum(-1))


def test_clamped_in_double_precision() -> None:
    clamped = Clamped((3,))
    h = random(clamped, 4).double()
    p = clamped(h)
    y = p.sample()
    single = clamped(h.float()).log_prob(y.float())

    assert y.dtype == p.log_prob(y).dtype == torch.float64
    torch.testing.assert_close(single.double(), p.log_prob(y), rtol=1e-5, atol=1e-5)
    assert p.expand((2, 4)).sample().shape == (2, 4, 3)
