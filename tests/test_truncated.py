r"""Laws of families that are cut at bounds."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import mpmath
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from scipy.integrate import quad
from torch import Tensor
from wrapper_cases import INTERVALS, LAWS, Constructor, random

from ppl_vae.distributions import Truncated as TruncatedLaw
from ppl_vae.distributions.intervals.bounds import between
from ppl_vae.families import (
    Clamped,
    ContinuousBernoulli,
    Family,
    Huber,
    Laplace,
    LogNormal,
    Normal,
    Truncated,
)
from ppl_vae.priors import Uniform

# The law


def restricted(law: Any, loc: float, scale: float, low: float, high: float) -> tuple[Any, ...]:
    r"""Log density, probability below and mean, to 60 digits or more."""
    mp = mpmath.mp.clone()
    mp.dps = 60 + int((abs(loc) / scale) ** 2) // 4  # what tails underflow by

    beta = mp.mpf(getattr(law, "keywords", {}).get("beta", 1.0))
    root, tail = mp.sqrt(mp.pi * beta / 2), mp.exp(-beta / 2)
    total = 2 * (root * mp.erf(mp.sqrt(beta / 2)) + tail)

    def beyond(z: Any) -> Any:
        z = mp.mpf(z)
        if law is dist.Normal:
            return mp.erfc(z / mp.sqrt(2)) / 2
        if law is dist.Laplace:
            return mp.exp(-z) / 2 if z > 0 else 1 - mp.exp(z) / 2
        if z < 0:
            return 1 - beyond(-z)
        if z > beta:
            return mp.exp(beta / 2 - z) / total
        rest = mp.erf(mp.sqrt(beta / 2)) - mp.erf(z / mp.sqrt(2 * beta))
        return (root * rest + tail) / total

    def density(z: Any) -> Any:
        if law is dist.Normal:
            return mp.npdf(z)
        if law is dist.Laplace:
            return mp.exp(-abs(z)) / 2
        return mp.exp(-(z**2 / beta / 2 if abs(z) < beta else abs(z) - beta / 2)) / total

    a, b = ((mp.mpf(y) - mp.mpf(loc)) / mp.mpf(scale) for y in (low, high))
    left, right = (mp.mpf(1) if math.isinf(low) else beyond(a)), beyond(b)
    right = mp.mpf(0) if math.isinf(high) else right

    def z(y: float) -> Any:
        return (mp.mpf(y) - mp.mpf(loc)) / mp.mpf(scale)

    return (
        lambda y: float(mp.log(density(z(y)) / (left - right) / mp.mpf(scale))),
        lambda y: float((left - beyond(z(y))) / (left - right)),
    )


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("low, high", INTERVALS)
@pytest.mark.parametrize("loc, scale", [(0.0, 1.0), (0.5, 0.1), (-9.0, 0.5), (9.0, 0.3), (3.0, 50)])
def test_truncated_laws_are_exact(
    float64: None, law: Any, low: float, high: float, loc: float, scale: float
) -> None:
    base = law(torch.tensor(loc), torch.tensor(float(scale)))
    p = TruncatedLaw(base, low, high)
    u = torch.tensor([0.001, 0.1, 0.5, 0.9, 0.999])
    y = between(base, low, high).quantile(u)
    log_density, below = restricted(law, loc, scale, low, high)
    exact = torch.tensor([log_density(v) for v in y.tolist()])

    torch.testing.assert_close(p.log_prob(y), exact, rtol=1e-9, atol=1e-9)
    # The quantile is as exact as a number beside the bound can be.
    error = torch.tensor([below(v) for v in y.tolist()]) - u
    assert (error.abs() < 1e-9 + 2e-15 * exact.exp()).all()
    midpoints = (torch.arange(100000) + 0.5) / 100000
    mean = between(base, low, high).quantile(midpoints).mean()
    torch.testing.assert_close(p.mean, mean, rtol=1e-4, atol=1e-4 * min(float(scale), 1.0))


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("low, high", INTERVALS)
def test_quantiles_have_gradients(float64: None, law: Any, low: float, high: float) -> None:
    u = torch.tensor([0.01, 0.3, 0.7, 0.99])

    def quantile(loc: Tensor, scale: Tensor) -> Tensor:
        return between(law(loc, scale), low, high).quantile(u)

    # At a bound a Laplace law has two gradients, from within and from without.
    for loc in (-5.0, -0.3, 0.1 if law is dist.Laplace else 0.0, 0.5, 3.0, 30.0):
        for scale in (0.3, 1.0, 7.0):
            at = torch.tensor(loc), torch.tensor(scale)
            found = torch.autograd.functional.jacobian(quantile, at)
            e = 1e-5
            for i, gradient in enumerate(found):
                nudge = [torch.tensor(e) if i == j else torch.tensor(0.0) for j in (0, 1)]
                ahead = quantile(at[0] + nudge[0], at[1] + nudge[1])
                back = quantile(at[0] - nudge[0], at[1] - nudge[1])
                torch.testing.assert_close(gradient, (ahead - back) / (2 * e), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "family, low, high",
    [
        (Huber, -0.5, 1.5),
        (partial(Huber, beta=0.3), -0.5, math.inf),
        (LogNormal, 0.2, 1.5),
        (ContinuousBernoulli, 0.2, 0.8),
    ],
)
def test_truncated_by_cdf(float64: None, family: Constructor, low: float, high: float) -> None:
    truncated = Truncated((), family, low=low, high=high)
    h = random(truncated).requires_grad_()
    p, base = truncated(h), family(())(h)
    y = p.rsample((20000,))
    (gradient,) = torch.autograd.grad(y.sum(), h)

    with torch.no_grad():
        end = min(high, 100.0)
        mass = quad(lambda t: float(p.log_prob(torch.tensor(t)).exp()), low, end, epsabs=1e-10)[0]
        ends = [base.cdf(torch.tensor(t)) for t in (low, 0.6, end)]
        share = float((ends[1] - ends[0]) / (ends[2] - ends[0]))
        found = float((y < 0.6).double().mean())

    assert mass == pytest.approx(1, abs=1e-7)
    # A random seed fails once in 10000 times.
    assert abs(found - share) < 4 * (share * (1 - share) / 20000) ** 0.5
    assert gradient.isfinite().all() and gradient.all()


def test_scipy_agrees_on_the_truncated_normal(float64: None) -> None:
    y = torch.linspace(-1, 2, 31)
    p = TruncatedLaw(dist.Normal(torch.tensor(0.3), torch.tensor(0.7)), -1.0, 2.0)
    a, b = (-1 - 0.3) / 0.7, (2 - 0.3) / 0.7
    expected = torch.from_numpy(stats.truncnorm.logpdf(y.numpy(), a, b, 0.3, 0.7))

    torch.testing.assert_close(p.log_prob(y), expected, rtol=1e-10, atol=1e-12)
    assert float(p.mean) == pytest.approx(stats.truncnorm.mean(a, b, 0.3, 0.7), rel=1e-10)


# Where families start, and the prior that meets them


@pytest.mark.parametrize("cls", [Truncated, Clamped])
@pytest.mark.parametrize("family", [Normal, Laplace, Huber])
def test_bounded_families_start_at_the_mean(
    float64: None, cls: Callable[..., Family], family: Constructor
) -> None:
    mean = torch.tensor([0.45, 0.5, 0.52, 0.55])
    if cls is Clamped or family is Normal:
        mean = torch.tensor([0.02, 0.3, 0.5, 0.97])

    for low, high, shift in ((0, 1, 0), (0, math.inf, 0.6), (-math.inf, 1, -0.6)):
        bounded = cls((4,), family, low=low, high=high)
        h = bounded.at_mean(mean + shift)
        torch.testing.assert_close(bounded(h).mean, mean + shift, rtol=1e-8, atol=0)
        # What no mean can be is brought within, and finite.
        assert bounded.at_mean(torch.full((4,), 5.0)).isfinite().all()

    # A truncated Laplace law of scale one that starts far out would never come back.
    start = Truncated((2,), Laplace, low=0, high=1).at_mean(torch.tensor([0.02, 0.97]))
    torch.testing.assert_close(start[0], torch.tensor([0.0, 1.0]))


def test_building_leaves_no_trace() -> None:
    r"""Neither gradients nor draws, and where there are no gradients all the same."""
    with torch.no_grad():
        state = torch.get_rng_state()
        family = Truncated((3,), partial(Normal, scale="shared"), low=2000.0)

    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in family.parameters())


@pytest.mark.parametrize("low, high", [(-1.0, 1.0), (0.0, 1.0), (-1.0, 0.0), (-3.0, 1e6)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_uniform_prior_has_both_bounds(low: float, high: float, dtype: torch.dtype) -> None:
    r"""Draws of a truncated posterior round to the bounds; a weight of zero there is an error."""
    prior = Uniform((3,), low=low, high=high).to(dtype)()
    for loc in (low - 5, high + 5):
        base = dist.Normal(torch.full((3,), loc, dtype=dtype), 1e-3)
        y = TruncatedLaw(base, low, high).sample((10000,))
        ends = torch.full_like(y[:1], low), torch.full_like(y[:1], high)
        y = torch.cat([y, *ends])
        expected = torch.full((10002,), -3 * math.log(high - low), dtype=dtype)
        torch.testing.assert_close(prior.log_prob(y), expected)

    support: Any = prior.support
    assert not support.check(torch.full((3,), high + 1e-6 * max(1.0, abs(high)), dtype=dtype))
