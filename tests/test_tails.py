r"""The far tails and the bounds of cut laws, where numbers are small."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor
from wrapper_cases import LAWS, Constructor

from ppl_vae.distributions import Huber as HuberLaw
from ppl_vae.distributions import Truncated as TruncatedLaw
from ppl_vae.distributions.numerics.mills import log_mills, residual
from ppl_vae.families import Clamped, ContinuousBernoulli, Huber, Laplace, LogNormal, Normal
from ppl_vae.priors import Uniform

# Scores


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("loc, scale", [(1e6, 1e-4), (1e6, 1e3), (300.0, 1.0), (20.0, 2.0)])
@pytest.mark.parametrize("side", [1, -1])
def test_single_precision_keeps_far_tails(law: Any, loc: float, scale: float, side: int) -> None:
    r"""Numbers and gradients where the mass is, though there the derivative of erfcx cancels."""

    def score(dtype: torch.dtype) -> list[Tensor]:
        at = [torch.tensor(v, dtype=dtype, requires_grad=True) for v in (-side * loc, scale)]
        p = TruncatedLaw(law(*at), *((0.0, 1.0) if side > 0 else (-1.0, 0.0)))
        size = scale**2 / loc if law is dist.Normal else scale
        # None where the score vanishes, at the mean.
        y = [side * min(share * size, share / 8) for share in (0.3, 2.0, 4.0)]
        log_prob = p.log_prob(torch.tensor(y, dtype=torch.float32).to(dtype))
        return [log_prob, *(g for v in log_prob for g in torch.autograd.grad(v, at, None, True))]

    # A score is the difference of two slopes of that size, each rounded a few times, where the law
    # has no closed form of the difference.
    slope = 0.0 if law is dist.Normal else min(loc / scale, 30.0) / scale
    rounding = 8 * torch.finfo(torch.float32).eps * slope
    for single, double in zip(score(torch.float32), score(torch.float64), strict=True):
        assert single.isfinite().all()
        torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-6 + rounding)


@pytest.mark.parametrize("dtype, rtol", [(torch.float32, 2e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("a", [0.1, 1.0, 4.99, 5.01, 8.0, 30.0, 1e3, 1e4, 1e8])
@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_scores_of_normal_tails(dtype: torch.dtype, rtol: float, a: float, scale: float) -> None:
    r"""Against closed forms in many digits, where the mass is."""
    at = [torch.tensor(v, dtype=dtype, requires_grad=True) for v in (-a * scale, scale)]
    y = torch.tensor(2 * scale / a, dtype=dtype)
    found = torch.autograd.grad(TruncatedLaw(dist.Normal(*at), 0.0).log_prob(y), at)
    mp = mpmath.mp.clone()
    mp.dps = 60
    loc, s = (mp.mpf(v.item()) for v in at)
    z, t = -loc / s, mp.mpf(float(y)) / s
    rest = mp.exp(-(z**2) / 2) / mp.sqrt(mp.pi / 2) / mp.erfc(z / mp.sqrt(2)) - z
    exact = [(t - rest) / s, (2 * z * t + t**2 - z * rest - 1) / s]

    for gradient, expected in zip(found, exact, strict=True):
        assert float(gradient) == pytest.approx(float(expected), rel=rtol)


def test_second_derivatives_of_tails(float64: None) -> None:
    r"""A surrogate of the first ones would lose them in silence."""
    a = torch.tensor([0.1, 2.0, 4.9, 5.1, 50.0], requires_grad=True)
    assert torch.autograd.gradcheck(log_mills, a, atol=1e-7)
    assert torch.autograd.gradgradcheck(log_mills, a, atol=1e-7)
    assert torch.autograd.gradcheck(residual, a, atol=1e-7)
    torch.testing.assert_close(torch.vmap(log_mills)(a), log_mills(a))


# Masses

# Elements between bounds, with their parameters by how far out they lie; whether they are exact.
CUT: dict[str, tuple[Callable[[float], Any], float, float, bool]] = {
    "Normal": (lambda x: dist.Normal(torch.tensor(x), 1.0), 0.0, 1.0, True),
    "Laplace": (lambda x: dist.Laplace(torch.tensor(x), 1.0), 0.0, 1.0, True),
    "Huber": (lambda x: HuberLaw(torch.tensor(x), 1.0), 0.0, 1.0, True),
    "Huber 30": (lambda x: HuberLaw(torch.tensor(x), 1.0, beta=30.0), 0.0, 1.0, True),
    "LogNormal": (lambda x: dist.LogNormal(torch.tensor(x), 1.0), 1.0, 2.0, True),
    "ContinuousBernoulli": (
        lambda x: ContinuousBernoulli(())(torch.tensor([x])),
        0.25,
        0.5,
        False,
    ),
    "Uniform": (lambda x: dist.Uniform(torch.tensor(x - 0.5), x + 0.5), 0.0, 1.0, False),
}


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("x", [-1000.0, -100.0, -18.0, -6.0, -0.3, 0.7, 6.0, 18.0, 100.0, 1000.0])
def test_bounded_densities_integrate_to_one_in_single_precision(name: str, x: float) -> None:
    r"""Or to less, where a law only knows its cdf, which underflows or rounds: never to more."""
    make, low, high, exact = CUT[name]
    base = make(x)
    grid = low + (high - low) * torch.linspace(-15, 15, 20001, dtype=torch.float64).sigmoid()
    y = torch.cat([torch.tensor([low]), grid.float(), torch.tensor([high])]).unique()
    p = TruncatedLaw(base, low, high, validate_args=False)
    base._validate_args = False
    mass = torch.trapezoid(p.log_prob(y).double().exp(), y.double())

    assert mass < 1.001
    assert mass > 0.999 or not exact


@pytest.mark.parametrize("family", [Huber, LogNormal, Normal, Laplace])
@pytest.mark.parametrize("loc", [-24.0, -10.0, 10.0, 24.0])
def test_masses_at_bounds_in_single_precision(family: Constructor, loc: float) -> None:
    r"""The logarithm and the gradient of a small one are those of double precision."""
    low, high = (math.exp(-1), math.e) if family is LogNormal else (-1.0, 1.0)
    clamped = Clamped((), family, low=low, high=high)

    def score(dtype: torch.dtype) -> list[Tensor]:
        h = torch.zeros(clamped.param_shape, dtype=dtype)
        h[0] = loc
        h.requires_grad_()
        log_prob = clamped(h).log_prob(torch.tensor([low, high], dtype=dtype))
        return [log_prob, *(torch.autograd.grad(v, h, retain_graph=True)[0] for v in log_prob)]

    for single, double in zip(score(torch.float32), score(torch.float64), strict=True):
        torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [name for name, case in CUT.items() if case[3]])
@pytest.mark.parametrize("x", [-200.0, -20.0, 0.5, 20.0, 200.0])
def test_weights_find_the_mass_of_corners(name: str, x: float) -> None:
    r"""E_q[p / q, y in a corner] = P_p(y in that corner), of draws in single precision that round
    to the bound. A random seed fails once in 10000 times for each of the two corners."""
    make, low, high, _ = CUT[name]
    q = TruncatedLaw(make(x), low, high)
    y = q.sample((100000,))
    p = Uniform((), low=low, high=high)()
    weights = (p.log_prob(y) - q.log_prob(y)).double().exp()

    for end, share in ((low, 0.05), (high, 0.95)):
        size = float((y.double().quantile(share) - end).abs())
        if size < 1e-4 or size > 0.2 * (high - low):
            continue
        inside = weights * ((y.double() - end).abs() <= size)
        z = (inside.mean() - size / (high - low)) / (inside.std() / 100000**0.5)
        assert abs(z) < 3.9 + 1e-3 * float(inside.mean() / inside.std()) * 100000**0.5
