r"""Laws of Sobol points: as plain draws on average, nearer to the truth, and soundly put in."""

from __future__ import annotations

from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from program_cases import NET, PROGRAMS, D, d, n
from torch import Tensor

from ppl_vae import families, priors
from ppl_vae.conditional import Conditional
from ppl_vae.evaluation import log_evidence
from ppl_vae.evaluation.noise import Noise
from ppl_vae.evaluation.sobol import REPLICATES, points
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE, Linear


def wrong(rows: int) -> tuple[Linear, Amortized, Tensor]:
    r"""Probabilistic PCA and a guide that is off: wide, and shifted."""
    model = Linear(5, 2, scale=0.7)

    def posterior(x: Tensor) -> Any:
        exact = model.posterior(x)
        return dist.Normal(exact.mean + 0.3, 1.5 * exact.stddev).to_event(1)

    return model, Amortized(posterior), model(n=rows).detach()


# The points


def test_points_are_uniform() -> None:
    r"""Each point by itself, over scramblings and data; two dimensions and two data uncorrelated.

    2000 draws of the point number 3: means and correlations within 4.5 standard errors, and a
    Kolmogorov-Smirnov distance below 2.2 / sqrt(n): fails once in 5000 seeds.
    """
    u = torch.stack([torch.cat([*points(8, 2, 2, s)])[3] for s in range(2000)])  # (2000, 2, 2)
    flat = u.flatten(1)
    assert ((flat.mean(0) - 0.5).abs() < 4.5 * 12**-0.5 / 2000**0.5).all()
    correlation = torch.corrcoef(flat.mT) - torch.eye(4)
    assert correlation.abs().max() < 4.5 / 2000**0.5
    expected = torch.linspace(0, 1, 2001, dtype=torch.float64)[1:, None]
    assert ((flat.sort(0).values - expected).abs().amax(0) < 2.2 / 2000**0.5).all()
    assert ((u > 0) & (u < 1)).all() and u.dtype == torch.float64


@pytest.mark.parametrize("dims", [1, 7])
def test_points_are_even(dims: int) -> None:
    r"""Of 256 points each dimension has one in each of 256 cells, each datum in another order."""
    u = torch.cat([*points(256, 3, dims, seed=5)])
    cells = (u * 256).long()
    every = torch.arange(256)[:, None, None].expand(256, 3, dims)
    assert cells.sort(0).values.equal(every)
    assert not cells[:, 0].equal(cells[:, 1])
    assert torch.cat([*points(256, 3, dims, seed=5)]).equal(u)


@pytest.mark.parametrize("m", [2, 129, 300])
def test_blocks_of_points(m: int) -> None:
    r"""Blocks of no more than 128 and no fewer than two, whatever the number."""
    sizes = [len(part) for part in points(m, 1, 1, seed=0)]
    assert sum(sizes) == m and max(sizes) <= 128 and min(sizes) >= 2


# The evidence


@torch.no_grad()
def test_unbiased_and_nearer(float64: None) -> None:
    r"""p(x) is right on average, the error bar is the spread, and the variance is lower.

    5 data, 200 times each with points of their own: the largest bias is below 4 standard errors
    (fails once in 3000 seeds), and the squared error bar is the variance within 25 % (5 standard
    errors at a kurtosis of 4, and the fewer degrees of freedom).
    """
    model, guide, x = wrong(5)
    exact = model.log_evidence(x)
    rows = x.repeat(200, 1)
    e, plain = (log_evidence(model, guide, rows, 8 * 64, draws=a) for a in ("sobol", "random"))
    p, q = ((f.log_evidence.unflatten(0, (200, 5)) - exact).exp() for f in (e, plain))
    assert ((p.mean(0) - 1) / p.std(0) * 200**0.5).abs().max() < 4
    told = (e.standard_error.unflatten(0, (200, 5)) * p).square().mean(0)
    assert (told / p.var(0)).mean() == pytest.approx(1, abs=0.25)
    assert (p.var(0) < 0.4 * q.var(0)).all()
    assert e.draws == "sobol" and e.estimator == "importance weighting, Sobol points"


@torch.no_grad()
def test_errors_fall_faster(float64: None) -> None:
    r"""Four times the points: the error falls to less than a third, of plain draws to a half."""
    model, guide, x = wrong(100)
    sizes = [8 * 64, 8 * 256]
    for draws, low, high in (("sobol", 0.0, 0.4), ("random", 0.45, 0.55)):
        errors = [
            log_evidence(model, guide, x, K, draws=draws).standard_error.square().mean().sqrt()
            for K in sizes
        ]
        assert low < errors[1] / errors[0] < high


@torch.no_grad()
def test_students(float64: None) -> None:
    r"""Errors in units of the error bar follow Student's law of 7 degrees of freedom.

    Of 600 data, 8.1 % are beyond 2 (standard error 1.1 %), and the mean is zero within 4 of its
    standard errors: fails once in 5000 seeds.
    """
    model, guide, x = wrong(600)
    e = log_evidence(model, guide, x, 8 * 128, draws="sobol")
    t = (e.log_evidence - model.log_evidence(x)) / e.standard_error
    assert (t.abs() > 2).double().mean() == pytest.approx(0.081, abs=0.045)
    assert abs(t.mean()) < 4 * (7 / 5 / 600) ** 0.5


NOISY = {
    "linear": lambda: wrong(n),
    "full rank": lambda: of(families.FullRankNormal((d,))),
    "low rank": lambda: of(families.LowRankNormal((d,), 1)),
    "laplace": lambda: of(families.Laplace((d,))),
    "flow": lambda: of(families.Flow((d,), hidden=(8,), context=3)),
    "hierarchical": lambda: PROGRAMS["hierarchical"](),
    "ladder": lambda: PROGRAMS["ladder"](),
    "top down": lambda: PROGRAMS["top down"](),
    "other plate": lambda: PROGRAMS["other plate"](),
    "nested": lambda: PROGRAMS["nested"](),
}


def of(posterior: families.Family) -> Any:
    model = VAE(
        priors.StandardNormal((d,)), Conditional((d,), families.Normal((D,), scale=0.5), NET)
    )
    return model, Amortized(Conditional((D,), posterior, NET)), torch.randn(n, D)


@pytest.mark.parametrize("name", NOISY)
def test_every_guide(float64: None, name: str) -> None:
    r"""They agree with plain draws: 6 standard errors, of 7 degrees of freedom, of few data."""
    model, guide, x = NOISY[name]()
    options: Any = {"draws": "sobol", "particles": 8 * 16, "seed": 3}
    e = log_evidence(model, guide, x, **options)
    plain = log_evidence(model, guide, x, 1000, seed=1)
    error = (e.standard_error**2 + plain.standard_error**2).sqrt()
    assert (
        ((e.log_evidence - plain.log_evidence).abs() < 6 * error + 1e-9) | (plain.khat > 0.5)
    ).all()
    torch.testing.assert_close(e.elbo, e.reconstruction - e.kl)

    # One seed, one result, whatever the budget; replayed or not.
    again = log_evidence(model, guide, x, **options).arrays()
    assert all((again[k] == v).all() for k, v in e.arrays().items() if k != "khat")
    replayed = [{"compile": "fx"}] if name in ("linear", "nested") else []
    for more in ({"memory": 2**13}, *replayed):
        again = log_evidence(model, guide, x, **options, **more)
        torch.testing.assert_close(again.log_evidence, e.log_evidence)
        torch.testing.assert_close(again.standard_error, e.standard_error, rtol=1e-6, atol=1e-7)
    other = log_evidence(model, guide, x, **{**options, "seed": 4})
    assert not other.log_evidence.equal(e.log_evidence)


@torch.no_grad()
def test_exact_guide(float64: None) -> None:
    model, guide, x = PROGRAMS["linear"]()
    e = log_evidence(model, guide, x, 16, draws="sobol")
    torch.testing.assert_close(e.log_evidence, model.log_evidence(x), rtol=0, atol=1e-12)
    assert (e.standard_error < 1e-7).all()


# The noise


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_every_way_to_ask(dtype: torch.dtype) -> None:
    r"""However torch is asked for normal or uniform numbers, it takes what is given."""
    torch.set_default_dtype(dtype)
    z, u = torch.tensor([0.5, -2.0]), torch.tensor([0.25, 0.75])
    normal = [
        lambda: torch.randn(2),
        lambda: torch.randn_like(z),
        lambda: torch.empty(2).normal_(),
        lambda: torch.normal(torch.zeros(2), torch.ones(2)),
        lambda: torch.normal(0.0, torch.ones(2)),
        lambda: torch.normal(torch.zeros(2), 1.0),
        lambda: torch.normal(0.0, 1.0, (2,)),
        lambda: dist.Normal(torch.zeros(2), 1.0).rsample(),
        lambda: dist.LogNormal(torch.zeros(2), 1.0).sample().log(),
        lambda: dist.MultivariateNormal(torch.zeros(2), torch.eye(2)).rsample(),
        lambda: (torch.empty(2).normal_(3.0, 2.0) - 3) / 2,
    ]
    uniform = [
        lambda: torch.rand(2),
        lambda: torch.rand_like(z),
        lambda: torch.empty(2).uniform_(),
        lambda: (torch.empty(2).uniform_(-1, 3) + 1) / 4,
        lambda: dist.Uniform(torch.zeros(2), 1.0).rsample(),
        lambda: dist.Laplace(torch.zeros(2), 1.0).cdf(dist.Laplace(torch.zeros(2), 1.0).rsample()),
    ]
    for given, ways in ((z, normal), (u, uniform)):
        for way in ways:
            with Noise([given]) as told:
                got = way()
            told.check()
            torch.testing.assert_close(got, given)


def guide_of(draw: Any) -> Any:
    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            draw(x)

    return guide


def by_numpy(x: Tensor) -> None:
    import numpy as np

    pyro.sample("z", dist.Normal(x[:, :d] + float(np.random.rand()), 1.0).to_event(1))


def shared(x: Tensor) -> None:
    pyro.sample("z", dist.Normal(x[:, :d] + torch.randn(d), 1.0).to_event(1))


def changing(x: Tensor) -> None:
    for _ in range(next(CALLS) % 2):
        torch.rand(len(x))
    pyro.sample("z", dist.Normal(x[:, :d], 1.0).to_event(1))


CALLS = iter(range(10**9))

REFUSED = {
    "student": (
        lambda x: pyro.sample("z", dist.StudentT(4.0, x[:, :d], 1.0).to_event(1)),
        "draws by _standard_gamma",
    ),
    "mixture": (
        lambda x: pyro.sample(
            "z",
            dist.MixtureSameFamily(
                dist.Categorical(torch.ones(2)), dist.Normal(torch.zeros(d, 2), 1.0)
            ).to_event(1),
        ),
        "draws by multinomial",
    ),
    "delta": (
        lambda x: pyro.sample("z", dist.Delta(x[:, :d]).to_event(1)),
        "without noise of torch|has no density",
    ),
    "shared": (shared, "which is no part for each particle"),
    "numpy": (by_numpy, "more than the noise of torch"),
    "changing": (changing, "does not ask for the same noise"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_guides_that_are_refused(name: str) -> None:
    draw, message = REFUSED[name]
    model, _, x = PROGRAMS["linear"]()
    with pytest.raises(ValueError, match=message) as caught:
        log_evidence(model, guide_of(draw), x, 64, draws="sobol")
    assert "\n" not in str(caught.value)


def test_refused() -> None:
    model, guide, x = PROGRAMS["linear"]()
    for K in (100, 8, 0):
        with pytest.raises(ValueError, match=rf"take a multiple of {REPLICATES}|positive"):
            log_evidence(model, guide, x, K, draws="sobol")
    for more in ({"defensive": 0.1}, {"vectorized": False}):
        with pytest.raises(ValueError, match=r"take defensive=0 and vectorized=True"):
            log_evidence(model, guide, x, 64, draws="sobol", **more)
    with pytest.raises(ValueError, match=r"'random' or 'sobol', got 'halton'"):
        log_evidence(model, guide, x, 64, draws="halton")
    model, guide, x = PROGRAMS["bernoulli latent"]()
    with pytest.raises(ValueError, match=r"draws by bernoulli, whose noise is neither"):
        log_evidence(model, guide, x, 64, draws="sobol")
