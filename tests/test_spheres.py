r"""Laws of distributions on spheres, and of the families and the prior that stand on them."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch
from pyro.distributions.testing.gof import auto_goodness_of_fit, density_goodness_of_fit
from scipy import special, stats
from scipy.integrate import quad
from torch import Tensor
from torch.distributions import kl_divergence, transform_to

from ppl_vae import families, priors
from ppl_vae.conditional import Conditional
from ppl_vae.distributions import PowerSpherical, SphericalUniform, VonMisesFisher
from ppl_vae.distributions.numerics.gamma_ratio import digamma_difference, lgamma_difference
from ppl_vae.distributions.numerics.quadrature import legendre
from ppl_vae.distributions.numerics.reflection import reflect
from ppl_vae.distributions.rotational import Rotational
from ppl_vae.distributions.sphere import log_area, sphere
from ppl_vae.evaluation import log_evidence
from ppl_vae.families import Bernoulli
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE
from ppl_vae.networks import mlp
from ppl_vae.objectives import ELBO, IWAE, MeanFieldELBO
from ppl_vae.svi import SVI

LAWS: dict[str, type[Rotational]] = {
    "PowerSpherical": PowerSpherical,
    "VonMisesFisher": VonMisesFisher,
}
FAMILIES = {name: getattr(families, name) for name in LAWS}

laws = pytest.mark.parametrize("name", LAWS)
sizes = pytest.mark.parametrize("d", [2, 3, 10])
concentrations = pytest.mark.parametrize("kappa", [0.1, 1.0, 10.0, 500.0])


def direction(d: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.nn.functional.normalize(torch.randn(d, dtype=dtype), dim=0)


def law(name: str, d: int, kappa: float, dtype: torch.dtype = torch.float32) -> Rotational:
    return LAWS[name](direction(d, dtype), torch.tensor(kappa, dtype=dtype))


def log_bessel(nu: float, kappa: float) -> float:
    r"""The logarithm of I_nu(kappa) exp(-kappa), also where it underflows."""
    value = special.ive(nu, kappa)
    if value > 1e-200:
        return math.log(value)
    series = math.log(special.hyp0f1(nu + 1, kappa**2 / 4))
    return nu * math.log(kappa / 2) - math.lgamma(nu + 1) + series - kappa


# The normalizer and the moments


@pytest.mark.parametrize("d", [2, 3, 4, 7, 20, 50, 100, 200])
@pytest.mark.parametrize("kappa", [1e-4, 1e-2, 1.0, 10.0, 100.0, 1e3, 1e4])
def test_von_mises_fisher_is_exact(d: int, kappa: float) -> None:
    nu = d / 2 - 1
    exact = d / 2 * math.log(2 * math.pi) + log_bessel(nu, kappa) - nu * math.log(kappa)
    length = math.exp(log_bessel(nu + 1, kappa) - log_bessel(nu, kappa))

    # Both the integral and its derivative; the error of SciPy's functions is a few 1e-14.
    for dtype, error in ((torch.float64, 1e-12), (torch.float32, 1e-6)):
        k = torch.tensor(kappa, dtype=dtype, requires_grad=True)
        p = VonMisesFisher(torch.eye(d, dtype=dtype)[0], k)
        log_z = p.log_normalizer()
        (slope,) = torch.autograd.grad(log_z, k)
        p, log_z = VonMisesFisher(p.loc, k.detach()), log_z.detach()

        assert abs(float(log_z) - exact) < error * max(1, abs(exact))
        assert abs(float(p.mean_cosine()) - length) < error
        assert abs(float(slope) - (length - 1)) < error
        assert abs(float(p.mean_statistic()) - (length - 1)) < error


@pytest.mark.parametrize("d", [2, 3, 10, 200])
@pytest.mark.parametrize("kappa", [1e-4, 1.0, 100.0, 1e4])
def test_power_spherical_is_exact(d: int, kappa: float) -> None:
    # The formula of De Cao & Aziz; in double precision, gammaln(1e4) is known to 1e-11.
    alpha, beta = (d - 1) / 2 + kappa, (d - 1) / 2
    ratio = special.gammaln(alpha) - special.gammaln(alpha + beta)
    exact = (alpha + beta) * math.log(2) + beta * math.log(math.pi) + ratio
    mean = special.digamma(alpha) - special.digamma(alpha + beta)

    for dtype, error in ((torch.float64, 1e-10), (torch.float32, 1e-6)):
        p = PowerSpherical(torch.eye(d, dtype=dtype)[0], torch.tensor(kappa, dtype=dtype))
        log_z = float(p.log_normalizer())
        largest = max(1, abs(log_z), (alpha + beta) * math.log(2) * (dtype is torch.float64))

        assert abs(log_z + kappa * math.log(2) - exact) < error * largest
        assert abs(float(p.mean_statistic()) - mean) < error
        assert abs(float(p.mean_cosine()) - (alpha - beta) / (alpha + beta)) < error


@sizes
@pytest.mark.parametrize("kappa", [0.1, 1.0, 500.0])
def test_von_mises_fisher_has_scipys_density(d: int, kappa: float) -> None:
    p = law("VonMisesFisher", d, kappa, torch.float64)
    y = torch.cat([p.sample((20,)), SphericalUniform(d, torch.float64).sample((20,))])
    exact = stats.vonmises_fisher(p.loc.numpy(), kappa).logpdf(y.numpy())

    torch.testing.assert_close(p.log_prob(y), torch.from_numpy(exact), rtol=1e-9, atol=1e-9)


@laws
@sizes
@concentrations
def test_integrates_to_one(name: str, d: int, kappa: float) -> None:
    p = LAWS[name](torch.eye(d, dtype=torch.float64)[0], torch.tensor(kappa).double())
    area = math.exp(log_area(d - 1))

    def density(t: float) -> float:
        y = torch.zeros(d, dtype=torch.float64)
        y[0], y[1] = math.cos(t), math.sin(t)
        return area * math.sin(t) ** (d - 2) * float(p.log_prob(y).exp())

    assert abs(quad(density, 0, math.pi, limit=200, points=[3 / kappa**0.5])[0] - 1) < 1e-7


@laws
@pytest.mark.parametrize("d", [2, 3, 10, 100])
@pytest.mark.parametrize("kappa", [1e-4, 1.0, 100.0, 1e4])
def test_single_precision(name: str, d: int, kappa: float) -> None:
    r"""Log densities and entropies are right up to rounding, at the largest concentration too."""
    p = law(name, d, kappa)
    y = torch.cat([p.sample((100,)), SphericalUniform(d).sample((100,))])
    # Rounding moves points off the sphere: both compare the same direction.
    loc, wide = (torch.nn.functional.normalize(v.double(), dim=-1) for v in (p.loc, y))
    exact = LAWS[name](loc, torch.tensor(kappa).double())

    torch.testing.assert_close(p.log_prob(y).double(), exact.log_prob(wide), rtol=3e-6, atol=3e-5)
    torch.testing.assert_close(p.entropy().double(), exact.entropy(), rtol=1e-6, atol=3e-5)


@pytest.mark.parametrize("a", [0.5, 1.0, 3.3, 1e2, 1e4])
def test_gamma_ratio(a: float) -> None:
    x = torch.tensor(a, dtype=torch.float64, requires_grad=True)
    product = math.log(a * (a + 1) * (a + 2))

    assert abs(float(lgamma_difference(x.detach(), 3.0)) - product) < 1e-13 * max(1, abs(product))
    for b in (0.5, 1.0, 4.5, 99.5):
        (slope,) = torch.autograd.grad(lgamma_difference(x, b), x)
        twice = lgamma_difference(x, b / 2) + lgamma_difference(x + b / 2, b / 2)
        torch.testing.assert_close(lgamma_difference(x, b), twice, rtol=1e-13, atol=1e-14)
        torch.testing.assert_close(digamma_difference(x, b), slope, rtol=1e-12, atol=0)
    if a == 0.5:
        half = -math.log(math.pi) / 2  # of Gamma(1) / Gamma(1/2)
        assert abs(float(lgamma_difference(x.detach(), 0.5)) - half) < 1e-15


def test_quadrature_is_exact_for_polynomials() -> None:
    for n in (2, 5, 80, 200):
        x, w = legendre(n, torch.float64, torch.device("cpu"))
        for degree in (0, 1, n, 2 * n - 1):
            assert abs(float((w * x**degree).sum()) - 1 / (degree + 1)) < 1e-14


def test_quadrature_outlives_inference_mode() -> None:
    with torch.inference_mode():
        legendre(33, torch.float64, torch.device("cpu"))

    x, w = legendre(33, torch.float64, torch.device("cpu"))
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    (scale * x * w).sum().backward()
    assert scale.grad is not None


# Draws


@laws
@sizes
@concentrations
def test_goodness_of_fit(name: str, d: int, kappa: float) -> None:
    p = law(name, d, kappa, torch.float64)
    y = p.sample((10000,))

    # Limits as in test_families: one seed in 1000.
    if d < 10:
        assert auto_goodness_of_fit(y, p.log_prob(y).exp(), dim=d - 1) > 1e-8
    else:
        # Neighbours in nine dimensions are far away (the test refuses a standard normal too), but
        # what is left of y across the direction is uniform on a sphere of its own.
        across = torch.linalg.qr(torch.cat([p.loc[:, None], torch.eye(d).double()], dim=1))[0]
        v = torch.nn.functional.normalize(y @ across[:, 1:], dim=-1)[:, 0]
        log = log_area(d - 2) - log_area(d - 1) + (d - 4) / 2 * (1 - v.square()).log()
        assert density_goodness_of_fit(v, log.exp()) > 1e-3

    # Angles alone, against the integral of their density.
    grid = torch.linspace(0, math.pi, 200001, dtype=torch.float64)
    points = torch.stack([grid.cos(), grid.sin(), *[torch.zeros_like(grid)] * (d - 2)], dim=-1)
    turned = LAWS[name](torch.eye(d, dtype=torch.float64)[0], p.concentration)
    density = turned.log_prob(points).exp() * grid.sin() ** (d - 2)
    mass = torch.cumulative_trapezoid(density, grid) * math.exp(log_area(d - 1))
    cdf = partial(np.interp, xp=grid[1:].numpy(), fp=mass.numpy())
    assert abs(float(mass[-1]) - 1) < 1e-6
    assert stats.kstest((y @ p.loc).clamp(-1, 1).acos().numpy(), cdf).pvalue > 1e-3


@laws
@pytest.mark.parametrize("kappa", [1e-4, 1e4])
@pytest.mark.parametrize("d", [2, 3, 200])
def test_draws_at_the_bounds(name: str, d: int, kappa: float) -> None:
    p = law(name, d, kappa)
    y = p.sample((20000,))
    cosine = y @ p.loc
    # In single precision, of a mean within 1e-4 of one.
    error = float(cosine.std()) / len(y) ** 0.5 + 1e-7

    assert sphere.check(y).all() and p.log_prob(y).isfinite().all()
    assert abs(float(cosine.double().mean() - p.mean_cosine())) < 4 * error


@laws
@sizes
@pytest.mark.parametrize("kappa", [0.1, 10.0, 500.0])
def test_moments(name: str, d: int, kappa: float) -> None:
    n = 20000
    p = law(name, d, kappa, torch.float64)
    y = p.sample((n,))
    centred = (y - p.mean).square()

    # A random seed fails at one of at most 20 z-scores once in 700 times.
    assert ((y - p.mean).mean(0) / y.std(0) * n**0.5).abs().max() < 4
    assert ((centred.mean(0) - p.variance) / centred.std(0) * n**0.5).abs().max() < 4
    # Exactly, E |y|^2 = 1.
    torch.testing.assert_close(p.variance.sum() + p.mean.square().sum(), torch.ones(()).double())


@laws
@sizes
@concentrations
def test_entropy_and_divergences(name: str, d: int, kappa: float) -> None:
    n = 20000
    p = law(name, d, kappa, torch.float64)
    uniform = SphericalUniform(d, torch.float64)
    other = law("VonMisesFisher", d, 3.0, torch.float64)
    y, u = p.sample((n,)), uniform.sample((n,))

    def score(ratio: Tensor, exact: Tensor) -> float:
        return abs(float((ratio.mean() - exact) / ratio.std())) * n**0.5

    # A random seed fails at one of three z-scores once in 5000 times.
    assert score(-p.log_prob(y), p.entropy()) < 4
    assert score(p.log_prob(y) - other.log_prob(y), kl_divergence(p, other)) < 4
    assert score(uniform.log_prob(u) - other.log_prob(u), kl_divergence(uniform, other)) < 4
    # The entropy again, without draws.
    exact = log_area(d) - p.entropy()
    torch.testing.assert_close(kl_divergence(p, uniform), exact, rtol=0, atol=1e-12)
    assert kl_divergence(p, uniform) > 0


def test_divergence_of_a_law_from_itself_is_zero() -> None:
    p = law("VonMisesFisher", 5, 20.0, torch.float64)
    uniform = SphericalUniform(5)

    assert abs(float(kl_divergence(p, p))) < 1e-12
    assert float(kl_divergence(uniform, uniform)) == 0


# Gradients


@laws
@pytest.mark.parametrize("kappa", [0.01, 1.0, 30.0, 1e4])
def test_slope_is_exact(name: str, kappa: float) -> None:
    r"""In three dimensions, the distribution function of the angle is inverted in closed form."""
    k = torch.full((1000,), kappa, dtype=torch.float64, requires_grad=True)
    u = torch.rand(1000, dtype=torch.float64)

    if name == "VonMisesFisher":
        # (1 - cos t) / 2
        sin2 = -torch.log(u + (1 - u) * (-2 * k).exp()) / (2 * k)
    else:
        sin2 = -torch.expm1(u.log() / (1 + k))

    t = 2 * torch.asin(sin2.sqrt())
    (exact,) = torch.autograd.grad(t.sum(), k)
    p = LAWS[name](torch.eye(3, dtype=torch.float64)[0], k.detach())
    found = p._slope(t.detach(), p.statistic(sin2.detach(), 1 - sin2.detach()))

    # The power of the cosine has a logarithmic end, where quadrature is less exact.
    rough = 1e-4 if name == "PowerSpherical" and kappa < 1 else 1e-8
    torch.testing.assert_close(found, exact, rtol=rough, atol=rough * float(exact.abs().max()))


@laws
@sizes
@pytest.mark.parametrize("rho", [-2.0, 0.0, 5.0])
def test_gradient_of_the_mean(name: str, d: int, rho: float) -> None:
    r"""Derivatives of a draw are on average those of the mean, which is in closed form."""
    n = 20000
    family = FAMILIES[name]((d,))
    h = torch.randn(d + 1, dtype=torch.float64) / 2
    h[-1] = rho
    a = direction(d, torch.float64)
    wide = h.expand(n, -1).clone().requires_grad_()
    (found,) = torch.autograd.grad((family(wide).rsample() @ a).sum(), wide)
    alone = h.clone().requires_grad_()
    (exact,) = torch.autograd.grad(family(alone).mean @ a, alone)

    # A random seed fails at one of at most 11 z-scores once in 1400 times.
    z = (found.mean(0) - exact) / found.std(0) * n**0.5
    assert z.abs().max() < 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("away", [0.0, 1e-30, 1e-12, 1e-6, 1e-3, 0.1, 1.0, 3.0])
def test_reflection_is_exact_near_its_singular_point(dtype: torch.dtype, away: float) -> None:
    loc = torch.tensor([-math.cos(away), math.sin(away), 0.0], dtype=dtype)
    y = direction(3, dtype).expand(5, 3)
    eps = torch.finfo(dtype).eps

    image = reflect(torch.tensor([-1.0, 0, 0], dtype=dtype), loc)
    assert (image - loc).abs().max() < 4 * eps
    torch.testing.assert_close(reflect(reflect(y, loc), loc), y, rtol=0, atol=4 * eps)
    assert (reflect(y, loc).norm(dim=-1) - 1).abs().max() < 4 * eps


@laws
def test_singular_directions_do_no_harm(name: str) -> None:
    family = FAMILIES[name]((3,))
    h = torch.zeros(3, 4)
    h[0, 0] = -1  # no direction: e_1 is taken
    h[1, 0] = -2  # -e_1, exactly
    h[2, 0], h[2, 1] = -2, 1e-6
    h.requires_grad_()
    p = family(h)
    y = p.rsample((100,))
    (y.sum() + p.log_prob(y).sum()).backward()

    torch.testing.assert_close(p.loc[:, 0], torch.tensor([1.0, -1.0, -1.0]))
    assert sphere.check(y).all()
    assert h.grad is not None and h.grad.isfinite().all()


@laws
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("rho", [1e6, -1e6])
def test_extremes_on_draws_and_poles(name: str, sign: int, rho: float) -> None:
    family = FAMILIES[name]((4,))
    h = torch.tensor([sign * 1e6, 1e6, -1e6, 0.0, rho], requires_grad=True)
    p = family(h)
    points = torch.stack([p.loc.detach(), -p.loc.detach(), p.rsample().detach()])
    (p.log_prob(points).sum() + p.rsample().sum() + p.entropy()).backward()

    assert p.log_prob(points).isfinite().all()
    assert h.grad is not None and h.grad.isfinite().all()


@laws
@pytest.mark.parametrize("floor, ceiling", [(1e-4, 1e4), (0.1, 20.0)])
def test_concentrations_keep_their_bounds(name: str, floor: float, ceiling: float) -> None:
    family = FAMILIES[name]((3,), floor=floor, ceiling=ceiling)

    for rho, bound in ((-1e6, floor), (1e6, ceiling)):
        h = torch.tensor([0.0, 0.0, 0.0, rho])
        assert abs(float(family(h).concentration) / bound - 1) < 1e-6

    # Parameters of zero tell the dimension, or half of the ceiling.
    assert float(family(torch.zeros(4)).concentration) == pytest.approx(3)
    high = FAMILIES[name]((30,), floor=floor, ceiling=20.0)
    assert float(high(torch.zeros(31)).concentration) == pytest.approx(10)
    h = torch.zeros(4, requires_grad=True)
    narrow = FAMILIES[name]((3,), floor=0.6, ceiling=1.1)(h).concentration
    assert 0.6 < narrow < 1.1 and torch.autograd.grad(narrow, h)[0].abs().max() > 0.1


# The constraint, the uniform distribution and its prior


def test_sphere() -> None:
    y = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.6, 0.81], [math.nan, 0.0]])

    assert sphere.check(y).tolist() == [True, True, False, False]
    assert sphere.check(direction(500)).all()
    assert sphere.check(direction(500).double())
    assert sphere.check(transform_to(sphere)(torch.randn(20, 7))).all()


@pytest.mark.parametrize("name", LAWS)
def test_arguments_are_validated(name: str) -> None:
    with pytest.raises(ValueError, match="loc"):
        LAWS[name](torch.ones(3), torch.ones(()), validate_args=True)
    with pytest.raises(ValueError, match="concentration"):
        LAWS[name](direction(3), torch.tensor(-1.0), validate_args=True)
    with pytest.raises(ValueError, match="2 elements or more"):
        LAWS[name](torch.ones(1), torch.ones(()))
    with pytest.raises(ValueError, match="support"):
        LAWS[name](direction(3), torch.ones(()), validate_args=True).log_prob(torch.ones(3))


@pytest.mark.parametrize("valid", [True, False])
def test_expanded_ones_validate_too(valid: bool) -> None:
    laws = [kind(direction(3), torch.ones(()), validate_args=valid) for kind in LAWS.values()]

    for p in (*laws, SphericalUniform(3, validate_args=valid)):
        wide = p.expand((2,))
        if not valid:
            wide.log_prob(torch.ones(3))
            continue
        with pytest.raises(ValueError, match="support"):
            wide.log_prob(torch.ones(3))


@sizes
def test_uniform(d: int) -> None:
    p = SphericalUniform(d, torch.float64)
    y = p.sample((10000,))

    assert auto_goodness_of_fit(y, p.log_prob(y).exp(), dim=d - 1) > 1e-8
    assert (y.mean(0) / p.variance.sqrt() * 100).abs().max() < 4.5
    assert float(p.entropy()) == -float(p.log_prob(y[0]))
    assert p.mean.tolist() == [0.0] * d
    # It is the limit of both laws.
    for name in LAWS:
        flat = law(name, d, 1e-9, torch.float64)
        torch.testing.assert_close(flat.log_prob(y), p.log_prob(y), rtol=0, atol=1e-7)


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_prior_shapes(batch: tuple[int, ...]) -> None:
    prior = priors.SphericalUniform((4,))
    p = prior()

    assert p.batch_shape == () and p.event_shape == prior.event_shape == (4,)
    assert p.sample(batch).shape == (*batch, 4)
    assert p.log_prob(p.sample(batch)).shape == batch
    wide = p.expand(batch)
    assert wide.batch_shape == batch and wide.sample().shape == (*batch, 4)
    assert wide.log_prob(wide.sample((5,))).shape == (5, *batch)
    assert wide.entropy().shape == batch and wide.mean.shape == (*batch, 4)
    assert priors.SphericalUniform((4,)).double()().sample().dtype == torch.float64
    assert prior.attach() is prior


@pytest.mark.parametrize(
    "shape, sentence",
    [
        ((), "is over vectors.*such as"),
        ((2, 3), "is over vectors.*such as"),
        ((1,), "needs 2 elements or more"),
        ((0,), "needs positive sizes"),
    ],
)
def test_prior_refusals(shape: tuple[int, ...], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        priors.SphericalUniform(shape)
    with pytest.raises(ValueError, match="needs 2 elements or more, got 1"):
        SphericalUniform(1)


# Programs


def programs(name: str) -> tuple[VAE, Amortized]:
    torch.manual_seed(1)
    model = VAE(priors.SphericalUniform((3,)), Conditional((3,), Bernoulli((6,)), mlp([8])))
    return model, Amortized(Conditional((6,), FAMILIES[name]((3,)), mlp([8])))


def losses(name: str, objective: type, compile: str, x: Tensor) -> list[Tensor]:
    chosen = objective(particles=3) if objective is IWAE else objective()
    adam = partial(torch.optim.Adam, lr=1e-2)
    svi = SVI(*programs(name), adam, chosen, compile=compile)
    svi.plan(1000, None, x)
    torch.manual_seed(2)
    found = [svi.step(x).clone() for _ in range(5)]

    assert svi.backend == compile and svi.reason is None
    return found


@laws
@pytest.mark.parametrize("objective", [ELBO, MeanFieldELBO, IWAE])
def test_vae_is_staged(name: str, objective: type) -> None:
    x = torch.rand(20, 6).round()
    staged, plain = (losses(name, objective, way, x) for way in ("fx", "off"))

    assert all(torch.equal(a, b) for a, b in zip(staged, plain, strict=True))
    assert all(loss.isfinite() for loss in staged)


@laws
def test_evidence(name: str) -> None:
    r"""It is the integral over the sphere, here by a grid."""
    model, guide = programs(name)
    x = torch.rand(5, 6).round()
    found = log_evidence(model, guide, x, particles=2000)
    cosine, weight = (torch.from_numpy(a).float() for a in special.roots_legendre(40))
    azimuth = torch.arange(80) * (2 * math.pi / 80)
    sine = (1 - cosine.square()).sqrt()
    z = torch.stack(
        [
            cosine[:, None].expand(-1, 80),
            sine[:, None] * azimuth.cos(),
            sine[:, None] * azimuth.sin(),
        ],
        dim=-1,
    )

    with torch.no_grad():
        density = model.likelihood(z.unsqueeze(2)).log_prob(x).exp()
        exact = (weight[:, None, None] / 2 * density).sum(0).mean(0).log()

    # A random seed fails at one of the five z-scores once in 3000 times.
    assert ((found.log_evidence - exact).abs() < 4 * found.standard_error + 1e-5).all()
