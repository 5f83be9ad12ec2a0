r"""Densities against SciPy's, or against quadrature and closed forms where it has none."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import mpmath
import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from torch import Tensor
from torch.distributions import kl_divergence

from ppl_vae.distributions import ContinuousBernoulli as ContinuousBernoulliDistribution
from ppl_vae.distributions import Huber as HuberDistribution
from ppl_vae.distributions import Multinomial as MultinomialDistribution
from ppl_vae.distributions import NegativeBinomial as NegativeBinomialDistribution
from ppl_vae.distributions import Poisson as PoissonDistribution
from ppl_vae.distributions.numerics import ends
from ppl_vae.families import (
    Beta,
    ContinuousBernoulli,
    Dirichlet,
    Family,
    Gamma,
    Huber,
    LogNormal,
    NegativeBinomial,
    Poisson,
    StudentT,
)
from ppl_vae.families.scale import bounded, unbounded

Reference = Callable[[Tensor, Tensor], Any]


def over(floor: float, ceiling: float, rho: Tensor) -> Any:
    return bounded(rho, floor, ceiling).numpy()


def student_t(h: Tensor, y: Tensor) -> Any:
    return stats.t.logpdf(y, 3.5, h[0], over(1e-4, 1e3, h[1]))


def learned_student_t(h: Tensor, y: Tensor) -> Any:
    df = 1 + 4 * over(1 / 40, 50, h[2])
    return stats.t.logpdf(y, df, h[0], over(1e-4, 1e3, h[1]))


def log_normal(h: Tensor, y: Tensor) -> Any:
    loc = 25 * np.tanh(h[0].numpy() / 25)
    return stats.lognorm.logpdf(y, over(1e-4, 10, h[1]), scale=np.exp(loc))


def gamma(h: Tensor, y: Tensor) -> Any:
    m, a = over(1e-4, 1e6, h[0]), over(0.1, 1e3, h[1])
    return stats.gamma.logpdf(y, a, scale=m / a)


def beta(h: Tensor, y: Tensor) -> Any:
    return stats.beta.logpdf(y, over(0.1, 1e3, h[0]), over(0.1, 1e3, h[1]))


def poisson(h: Tensor, y: Tensor) -> Any:
    return stats.poisson.logpmf(y, over(1e-8, 1e6, h[0]))


def negative_binomial(h: Tensor, y: Tensor) -> Any:
    mean, theta = over(1e-8, 1e6, h[0]), over(1e-3, 1e3, h[1])
    return stats.nbinom.logpmf(y, theta, theta / (theta + mean))


def continuous_bernoulli(h: Tensor, y: Tensor) -> Any:
    with mpmath.workdps(60):
        log = np.vectorize(lambda t, y: float(mpmath.log(t / mpmath.expm1(t)) + mpmath.mpf(t) * y))
        return log(h[0].numpy(), y.numpy())


def huber(h: Tensor, y: Tensor) -> Any:
    beta = 0.7

    def loss(u: Any) -> Any:
        return np.where(np.abs(u) < beta, u**2 / (2 * beta), np.abs(u) - beta / 2)

    def density(u: float) -> float:
        return float(np.exp(-loss(np.asarray(u))))

    centre = integrate.quad(density, 0, beta, epsabs=1e-14, epsrel=1e-13)[0]
    tail = integrate.quad(density, beta, np.inf, epsabs=1e-14, epsrel=1e-13)[0]
    scale = over(1e-4, 1e3, h[1])
    return -loss((y.numpy() - h[0].numpy()) / scale) - np.log(2 * (centre + tail) * scale)


REAL = torch.tensor([-30.0, -1.0, 0.0, 0.1, 2.0, 500.0], dtype=torch.float64)
ABOVE = torch.tensor([1e-6, 0.1, 1.0, 2.5, 30.0, 1e4], dtype=torch.float64)
UNIT = torch.tensor([1e-9, 0.01, 0.3, 0.5, 0.9, 1 - 1e-9], dtype=torch.float64)
COUNTS = torch.tensor([0.0, 1.0, 2.0, 10.0, 300.0, 20000.0], dtype=torch.float64)

# A family over scalars, points of its support, and the log density by h and y.
REFERENCES: dict[str, tuple[Family, Tensor, Reference]] = {
    "Beta": (Beta(()), UNIT, beta),
    "ContinuousBernoulli": (ContinuousBernoulli(()), UNIT, continuous_bernoulli),
    "Gamma": (Gamma(()), ABOVE, gamma),
    "Huber": (Huber((), beta=0.7, scale="element"), REAL, huber),
    "LogNormal": (LogNormal(()), ABOVE, log_normal),
    "NegativeBinomial": (NegativeBinomial((), concentration="element"), COUNTS, negative_binomial),
    "Poisson": (Poisson(()), COUNTS, poisson),
    "StudentT": (StudentT((), df=3.5), REAL, student_t),
    "StudentT element": (StudentT((), df="element"), REAL, learned_student_t),
}


@pytest.mark.parametrize("name", REFERENCES)
@pytest.mark.parametrize("spread", [1e-3, 1.0, 10.0])
def test_log_density(name: str, spread: float) -> None:
    family, y, reference = REFERENCES[name]
    h = spread * torch.randn(40, *family.param_shape, 1, dtype=torch.float64)
    # The batch holds the points too: scalars are elements of no dimension.
    wide = h.expand(40, *family.param_shape, len(y)).movedim(-1, 1)
    found = family(wide).log_prob(y)
    exact = reference(wide.movedim(-1, 0), y)

    torch.testing.assert_close(found, torch.as_tensor(exact), rtol=1e-9, atol=1e-9)


# Continuous Bernoulli and Huber: all that they know of themselves

OWN: dict[str, tuple[Any, tuple[float, ...]]] = {
    **{
        f"ContinuousBernoulli {logit}": (
            ContinuousBernoulliDistribution(torch.tensor(logit, dtype=torch.float64)),
            (0.0, 1.0),
        )
        for logit in (-40.0, -0.7, -1e-3, 0.0, 1e-6, 0.49, 0.51, 3.0)
    },
    **{
        f"Huber {beta}": (
            HuberDistribution(torch.tensor(0.3, dtype=torch.float64), 1.7, beta),
            (-120.0, 0.3 - 1.7 * beta, 0.3, 0.3 + 1.7 * beta, 120.0),
        )
        for beta in (1e-3, 0.5, 1.0, 20.0)
    },
}


@pytest.mark.parametrize("name", OWN)
def test_moments_by_quadrature(name: str) -> None:
    p, ends = OWN[name]

    def expectation(f: Callable[[float, float], float]) -> float:
        def integrand(y: float) -> float:
            log_prob = float(p.log_prob(torch.tensor(y, dtype=torch.float64)))
            return float(np.exp(log_prob)) * f(y, log_prob)

        # From kink to kink, where the integrand is smooth.
        return sum(
            integrate.quad(integrand, a, b, epsabs=1e-12, limit=200)[0] for a, b in pairwise(ends)
        )

    mean = expectation(lambda y, log_prob: y)
    exact = {
        "one": (expectation(lambda y, log_prob: 1.0), 1.0),
        "mean": (mean, float(p.mean)),
        "variance": (expectation(lambda y, log_prob: (y - mean) ** 2), float(p.variance)),
        "entropy": (expectation(lambda y, log_prob: -log_prob), float(p.entropy())),
    }
    for moment, (quadrature, closed) in exact.items():
        assert closed == pytest.approx(quadrature, rel=1e-9, abs=1e-9), moment


@pytest.mark.parametrize("name", OWN)
def test_quantiles(name: str) -> None:
    r"""The quantile function inverts the distribution function, whose slope is the density."""
    p = OWN[name][0]
    u = torch.linspace(0.001, 0.999, 99, dtype=torch.float64)
    y = p.icdf(u).requires_grad_()
    cdf = p.cdf(y)
    (slope,) = torch.autograd.grad(cdf.sum(), y)

    torch.testing.assert_close(cdf, u, rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(slope.log(), p.log_prob(y.detach()), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("logit", [-1e3, -3.0, -0.5, -0.02, -1e-3, 0.0, 1e-3, 0.019, 0.5, 30.0])
def test_gradients_of_quantiles(logit: float) -> None:
    r"""Draws move with the logit as the distribution function says: -F' / p."""
    logits = torch.tensor(logit, dtype=torch.float64, requires_grad=True)
    u = torch.linspace(0.01, 0.99, 5, dtype=torch.float64)

    for t in u:
        (found,) = torch.autograd.grad(ContinuousBernoulliDistribution(logits).icdf(t), logits)
        with mpmath.workdps(60):
            exact = mpmath.diff(
                lambda s, t=t: mpmath.log1p(float(t) * mpmath.expm1(s)) / s if s else float(t),
                mpmath.mpf(logit),
                h=mpmath.mpf(10) ** -20,
            )
        assert float(found) == pytest.approx(float(exact), rel=1e-7)


def test_continuous_bernoulli_in_single_precision() -> None:
    logits = torch.tensor([-1e6, -30.0, -0.011, -1e-5, 0.0, 1e-5, 0.011, 30.0, 1e6])
    y = torch.tensor([0.0, 0.25, 1.0])[:, None]
    single = ContinuousBernoulliDistribution(logits)
    double = ContinuousBernoulliDistribution(logits.double())

    torch.testing.assert_close(
        single.log_prob(y).double(), double.log_prob(y.double()), rtol=2e-7, atol=2e-7
    )
    torch.testing.assert_close(single.mean.double(), double.mean, rtol=2e-6, atol=0)


def test_continuous_bernoulli_gradient_is_continuous() -> None:
    logits = torch.tensor([-1e-7, 0.0, 1e-7], dtype=torch.float64, requires_grad=True)
    p = ContinuousBernoulliDistribution(logits)
    y = torch.tensor(0.8, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(p.log_prob(y).sum(), logits)

    # The derivative is y less the mean.
    torch.testing.assert_close(gradient, y - p.mean.detach(), rtol=1e-12, atol=0)


def test_continuous_bernoulli_divergence_is_exact() -> None:
    p = ContinuousBernoulliDistribution(torch.tensor([3.0, -5.0, 0.2], dtype=torch.float64))
    q = ContinuousBernoulliDistribution(torch.tensor([-2.0, -4.0, 0.0], dtype=torch.float64))
    y = (torch.arange(200000, dtype=torch.float64)[:, None] + 0.5) / 200000
    integral = (p.log_prob(y).exp() * (p.log_prob(y) - q.log_prob(y))).mean(0)

    torch.testing.assert_close(kl_divergence(p, q), integral, rtol=1e-8, atol=0)


@pytest.mark.parametrize("mean", [1e-3, 0.02, 0.4, 0.5 - 1e-9, 0.5, 0.6, 0.999])
def test_continuous_bernoulli_at_mean(mean: float) -> None:
    family = ContinuousBernoulli((1,))
    found = family(family.at_mean(torch.tensor([mean], dtype=torch.float64))).mean

    assert found.item() == pytest.approx(mean, rel=1e-12)


@pytest.mark.parametrize("mean", [1e-3, 0.02, 0.5, 0.97, 0.999])
def test_beta_at_mean(mean: float) -> None:
    family = Beta((1,))
    found = family(family.at_mean(torch.tensor([mean], dtype=torch.float64))).mean

    assert found.item() == pytest.approx(mean, rel=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "q, p",
    [
        ((10.0, 0.1), (8.0, 0.2)),
        ((0.1, 0.1), (0.3, 1.0)),
        ((0.11, 0.4), (0.2, 1.0)),
        ((1000.0, 0.1), (900.0, 0.1)),
        ((3.0, 2.0), (2.0, 2.0)),
    ],
)
def test_beta_at_the_ends(
    dtype: torch.dtype, q: tuple[float, float], p: tuple[float, float]
) -> None:
    r"""Up to one draw in two of such laws is 1 in single precision, as are those of others."""
    n, (low, high) = 100000, ends.ends(dtype)
    of_q, of_p = (
        unbounded(torch.tensor(c, dtype=torch.float64).clamp(min=0.1001), 0.1, 1e3 + 1)
        for c in (q, p)
    )
    family = Beta((), ceiling=1e3 + 1)
    h = of_q.to(dtype).expand(n, 2).clone().requires_grad_()
    # As the family rounds it.
    a, b = (float(c) for c in bounded(of_p.to(dtype), 0.1, 1e3 + 1))
    law, other = family(h), family(of_p.to(dtype))
    y = law.rsample()
    log = other.log_prob(y) - law.log_prob(y)
    (path,) = torch.autograd.grad(log.sum(), h)
    (score,) = torch.autograd.grad(family(h).log_prob(y.detach()).sum(), h)
    log = log.detach().double()
    w, y = log.exp(), y.detach()

    assert (y >= low).all() and (y <= high).all() and log.isfinite().all()
    # A random seed fails at one of five z-scores once in 3000 times.
    masses = special.betainc(a, b, low), special.betainc(b, a, 1 - high)
    for found, exact in zip((w, w * (y <= low), w * (y >= high)), (1, *masses), strict=True):
        assert abs(float(found.mean()) - exact) < 4 * (float(found.std()) / n**0.5 + 1e-9)

    # Both kinds of gradients have the same mean; of half of the draws each.
    score = (score * (log - log.mean()).unsqueeze(-1))[::2].double()
    path = path[1::2].double()
    error = ((path.var(0) + score.var(0)) / (n / 2)).sqrt()
    assert ((path.mean(0) - score.mean(0)).abs() < 4 * error).all()


@pytest.mark.parametrize(
    "h",
    [
        (-8.0, -8.0),
        (-8.0, 8.0),
        (-8.0, 0.0, 8.0),
        (8.0, 8.0, 8.0),
        (-4.0, -2.0, 0.0, 2.0, 4.0),
        (8.0, *[-8.0] * 9),
    ],
)
def test_dirichlet_at_the_corners(h: tuple[float, ...]) -> None:
    r"""In single precision, draws tell the divergence from the uniform law and its gradient.

    Of their 31 z-scores one is above 4.5 once in 5000 seeds.
    """
    n, family = 50000, Dirichlet((len(h),))
    at = torch.tensor(h).unsqueeze(0)
    single = at.expand(n, -1, -1).clone().requires_grad_()
    double = at.double().requires_grad_()
    q, p = family(single), family(torch.zeros_like(at))
    y = q.rsample()
    found = q.log_prob(y) - p.log_prob(y)
    (slope,) = torch.autograd.grad(found.sum(), single)
    exact = kl_divergence(family(double), family(torch.zeros_like(double)))
    (exact_slope,) = torch.autograd.grad(exact, double)

    for values, truth in ((found.detach(), exact.detach()), (slope, exact_slope)):
        values, truth = values.double().reshape(n, -1), truth.reshape(-1)
        error = values.std(0) / n**0.5
        assert values.isfinite().all() and ((values.mean(0) - truth).abs() < 4.5 * error).all()


@pytest.mark.parametrize("d", [2, 10, 100])
@pytest.mark.parametrize("corners", [False, True])
def test_dirichlet_of_unequal_concentrations(d: int, corners: bool) -> None:
    family = Dirichlet((d,))
    h = 16 * torch.rand(2000, 1, d) - 8
    h = (8 * h.sign() if corners else h).requires_grad_()
    q = family(h)
    y = q.rsample()
    log_prob = q.log_prob(y)
    (slope,) = torch.autograd.grad(log_prob.sum(), h)

    assert q.support.check(y).all() and (y > 0).all()
    assert log_prob.isfinite().all() and slope.isfinite().all()


# Counts in single precision


LARGE = torch.tensor([0.0, 1.0, 7.0, 8.0, 9.0, 100.0, 3e3, 1e5, 1e6])


@pytest.mark.parametrize("ratio", [0.5, 0.9, 1.0, 1.001, 1.6])
@pytest.mark.parametrize("theta", [None, 1e-3, 0.1, 1.0, 30.0, 1e3])
def test_large_counts_in_single_precision(ratio: float, theta: float | None) -> None:
    r"""Within four roundings of the largest term; with factorials it is 0.1 nats at 1e5."""
    rate = ratio * LARGE.clamp(min=0.5)

    def log_prob(dtype: torch.dtype) -> Tensor:
        mean = rate.to(dtype)
        p = (
            PoissonDistribution(mean)
            if theta is None
            else NegativeBinomialDistribution(mean, torch.tensor(theta).to(dtype))
        )
        return p.log_prob(LARGE.to(dtype)).double()

    exact = log_prob(torch.float64)
    # The difference of rate and count is exact; its product with the logarithm is rounded.
    terms = exact.abs() + (LARGE - rate).abs() + 10

    assert ((log_prob(torch.float32) - exact).abs() / terms).max() < 4 * 2**-23


def test_large_totals_in_single_precision() -> None:
    logits = torch.randn(50).log_softmax(-1)
    total = torch.tensor(1e6)
    y = MultinomialDistribution(total, logits).sample((20,))
    found = MultinomialDistribution(total, logits).log_prob(y)
    # The same shares, which sum to one in double precision.
    shares = logits.double().softmax(-1).numpy()
    exact = stats.multinomial.logpmf(y.double().numpy(), 10**6, shares)

    torch.testing.assert_close(found.double(), torch.as_tensor(exact), rtol=0, atol=5e-4)


def test_multinomial_of_vanishing_shares() -> None:
    logits = torch.tensor([-1e6, 0.0, -200.0, 1.0], requires_grad=True)
    y = torch.tensor([2.0, 3.0, 1.0, 0.0])
    log_prob = MultinomialDistribution(torch.tensor(6.0), logits).log_prob(y)
    (gradient,) = torch.autograd.grad(log_prob, logits)
    shares = logits.double().log_softmax(-1)
    exact = torch.tensor(60.0).log() + (y * shares).sum()

    torch.testing.assert_close(log_prob.double(), exact, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient, y - 6 * shares.exp().float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("y", [0.0, 1.0, 5.0, 12.0, 4000.0])
@pytest.mark.parametrize("mean", [1e-30, 0.3, 3999.0, 1e5])
def test_gradients_of_counts(y: float, mean: float) -> None:
    value = torch.tensor(y, dtype=torch.float64)
    m, theta = (torch.tensor(t, dtype=torch.float64, requires_grad=True) for t in (mean, 2.5))
    (by_rate,) = torch.autograd.grad(PoissonDistribution(m).log_prob(value), m)
    p = NegativeBinomialDistribution(m, theta)
    by_mean, by_theta = torch.autograd.grad(p.log_prob(value), (m, theta))
    exact = special.digamma(y + 2.5) - special.digamma(2.5) - np.log1p(mean / 2.5)
    exact += (mean - y) / (2.5 + mean)

    assert by_rate.item() == pytest.approx(y / mean - 1, rel=1e-9, abs=1e-9)
    assert by_mean.item() == pytest.approx(y / mean - (y + 2.5) / (mean + 2.5), rel=1e-9, abs=1e-9)
    assert by_theta.item() == pytest.approx(exact, rel=1e-8, abs=1e-8)
