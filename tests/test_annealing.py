r"""Laws of annealing: weights are unbiased, moves keep their law, and nothing else moves."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from annealing_cases import coins, linear, sandwiches, summed
from program_cases import PROGRAMS
from scipy import stats
from torch import Tensor

from ppl_vae import families, priors
from ppl_vae.conditional import Conditional
from ppl_vae.distributions import Implicit
from ppl_vae.evaluation import log_evidence
from ppl_vae.evaluation.annealing import (
    annealed_evidence,
    rate_distortion,
    sandwich,
)
from ppl_vae.evaluation.annealing.schedule import schedule
from ppl_vae.guides import Amortized, SemiAmortized
from ppl_vae.models import VAE, Linear
from ppl_vae.networks import mlp

programs = pytest.mark.parametrize("name", PROGRAMS)
spacings = pytest.mark.parametrize("spacing", ["sigmoid", "linear", "geometric"])


# The schedule


@spacings
def test_schedule(spacing: Any) -> None:
    for steps in (1, 2, 3, 50):
        betas = schedule(steps, spacing)
        assert betas[0] == 0 and betas[-1] == 1 and len(betas) == steps + 1
        assert (betas.diff() > 0).all()


# Truth


@pytest.mark.parametrize("start", ["prior", "guide"])
def test_weights_are_unbiased(float64: None, start: Any) -> None:
    r"""The mean of exp(log w - log p(x)) is one, with however few steps.

    400 chains of each of 20 data with four steps: |z| > 4 once in 16000, for each start. The
    guide is off, so that its weights vary.
    """
    model, _, x = linear(20)

    def posterior(x: Tensor) -> Any:
        exact = model.posterior(x)
        return dist.Normal(exact.mean + 0.3, 1.3 * exact.stddev).to_event(1)

    found = annealed_evidence(
        model, Amortized(posterior), x, steps=4, chains=400, leapfrog=3, start=start
    )
    ratio = (found.log_evidence - model.log_evidence(x)).exp().detach()
    error = (found.standard_error * ratio).square().sum().sqrt()
    assert abs((ratio - 1).sum() / error) < 4


@pytest.mark.slow
def test_error_falls_with_steps(float64: None) -> None:
    r"""The gap falls as one over the number of steps: power -1, within 0.3."""
    model, guide, x = linear(50, features=20, latent=4)
    exact, gaps = model.log_evidence(x).detach(), []
    steps = (8, 32, 128)
    for T in steps:
        found = annealed_evidence(model, guide, x, steps=T, chains=2, leapfrog=5, seed=1)
        gaps.append((exact - found.log_evidence).mean().item())

    assert all(gap > 0 for gap in gaps)
    power = stats.linregress([math.log(T) for T in steps], [math.log(g) for g in gaps]).slope
    assert -1.3 < power < -0.7


@spacings
def test_schedules_agree(float64: None, spacing: Any) -> None:
    model, guide, x = linear(20)
    found = annealed_evidence(model, guide, x, steps=60, chains=64, leapfrog=5, spacing=spacing)
    error = (found.log_evidence - model.log_evidence(x)).detach()
    # At 4 standard errors of a mean of 20: fails once in 16000; the bias is a fifth of one.
    assert abs(error.mean() / found.standard_error.square().sum().sqrt() * 20) < 4


def test_discrete_sites(float64: None) -> None:
    r"""Coins, flipped by Metropolis steps: the sum over all of their values."""
    model, guide, x = coins(20)
    exact = summed(model, x).detach()
    for start in ("prior", "guide"):
        found = annealed_evidence(model, guide, x, steps=40, chains=100, start=start)  # type: ignore[arg-type]
        error = found.log_evidence - exact
        assert abs(error.sum() / found.standard_error.square().sum().sqrt()) < 4
        assert found.acceptance.isnan().all()


@pytest.mark.slow
def test_directions(float64: None) -> None:
    r"""On a sphere, along great circles: importance weighting by the prior agrees."""
    model = VAE(
        priors.SphericalUniform((3,)),
        Conditional((3,), families.Normal((4,), scale=0.5), mlp([8])),
    )
    guide = Amortized(Conditional((4,), families.VonMisesFisher((3,)), mlp([8])))
    x = torch.randn(20, 4)
    exact = log_evidence(model, guide, x, particles=5000)
    found = annealed_evidence(model, guide, x, steps=30, chains=100, leapfrog=5)
    error = found.log_evidence - exact.log_evidence
    spread = (found.standard_error.square() + exact.standard_error.square()).sum().sqrt()
    assert abs(error.sum() / spread) < 4
    assert 0.5 < found.acceptance.mean() < 0.9


@pytest.mark.slow
def test_hierarchies(float64: None) -> None:
    r"""Several latent variables for each datum: importance weighting agrees."""
    for start in ("prior", "guide"):
        model, guide, x = PROGRAMS["hierarchical"]()
        exact = log_evidence(model, guide, x, particles=20000)
        found = annealed_evidence(
            model,
            guide,
            x,
            steps=40,
            chains=100,
            leapfrog=5,
            start=start,  # type: ignore[arg-type]
        )
        error = found.log_evidence - exact.log_evidence
        spread = (found.standard_error.square() + exact.standard_error.square()).sum().sqrt()
        assert abs(error.sum() / spread) < 4


@pytest.mark.slow
def test_simplices_and_intervals(float64: None) -> None:
    r"""In coordinates without bounds: importance weighting agrees."""
    for prior, family, size in [
        (priors.FamilyPrior((3,), families.Dirichlet), families.Dirichlet, 3),
        (priors.FamilyPrior((2,), families.Gamma), families.Gamma, 2),
        (priors.FamilyPrior((2,), families.Beta), families.Beta, 2),
    ]:
        likelihood = Conditional((size,), families.Normal((4,), scale=0.5), mlp([8]))
        guide = Amortized(Conditional((4,), family((size,)), mlp([8])))
        model, x = VAE(prior, likelihood), torch.randn(10, 4)
        exact = log_evidence(model, guide, x, particles=5000)
        found = annealed_evidence(model, guide, x, steps=30, chains=100, leapfrog=5)
        error = found.log_evidence - exact.log_evidence
        spread = (found.standard_error.square() + exact.standard_error.square()).sum().sqrt()
        assert abs(error.sum() / spread) < 4


# Without a guide


def test_from_the_prior_the_guide_is_not_asked(float64: None) -> None:
    r"""None gives the numbers of any guide, one without a density included."""
    model, guide, x = linear(2)

    def point(x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            pyro.sample("z", Implicit(torch.zeros(len(x), 2)))

    found = [
        annealed_evidence(model, q, x, steps=5, chains=4).log_evidence for q in (guide, None, point)
    ]
    assert torch.equal(found[0], found[1]) and torch.equal(found[0], found[2])
    # It is the estimate: the mean of the weights is the evidence, |z| > 4 once in 16000.
    few = annealed_evidence(model, None, x[:1].expand(400, -1), steps=5, chains=4, compile="off")
    ratio = (few.log_evidence - model.log_evidence(x[:1])).exp().detach()
    assert ratio.std() > 0.01 and abs((ratio - 1).mean() / (ratio.std() / 20)) < 4
    with pytest.raises(ValueError, match="start from the prior"):
        annealed_evidence(model, None, x, steps=5, start="guide")


# Rate and distortion


def test_rate_distortion(float64: None) -> None:
    r"""In closed form: normal posteriors at each power.

    |z| > 4.5 of one of 40, with 19 degrees of freedom: one run in a hundred.
    """
    model, guide, x = linear(20, features=3, latent=1)
    curve = rate_distortion(model, guide, x, steps=60, chains=200, leapfrog=5)
    W, noise = model.weight.detach(), model.log_scale.exp().detach()
    away = x - model.bias.detach()
    for beta, R, D in zip(curve.betas, curve.rate, curve.distortion, strict=True):
        precision = 1 + beta * (W.T @ W).squeeze() / noise**2
        mean = beta * (away @ W).squeeze(-1) / noise**2 / precision
        square = (away - mean[:, None] * W.squeeze(-1)).square().sum(-1)
        square = square + (W.square().sum() / precision)
        d = square / (2 * noise**2) + 3 * (noise.log() + math.log(2 * math.pi) / 2)
        r = (precision.log() + mean**2 + 1 / precision - 1) / 2
        for found, exact in ((R, r), (D, d)):
            error = (found - exact).detach()
            assert abs(error.mean() / (error.std() / 20**0.5)) < 4.5


# Nothing else moves


@programs
@pytest.mark.parametrize("start", ["prior", "guide"])
def test_all_programs(name: str, start: Any) -> None:
    r"""Every pair of programs is annealed; programs, data and random state stay as they are."""
    model, guide, x = PROGRAMS[name]()
    modules = [p for p in (model, guide) if isinstance(p, torch.nn.Module)]
    before = [{k: v.clone() for k, v in m.state_dict().items()} for m in modules]
    flags = [m.training for m in modules]
    state = torch.get_rng_state()
    options: dict[str, Any] = {"steps": 3, "chains": 4, "compile": "off", "start": start}
    found = annealed_evidence(model, guide, x, **options)
    again = annealed_evidence(model, guide, x, **options, memory=1)

    assert found.log_evidence.isfinite().all() and len(found) == len(x)
    torch.testing.assert_close(found.log_evidence, again.log_evidence, rtol=1e-4, atol=1e-4)
    assert torch.equal(torch.get_rng_state(), state)
    assert flags == [m.training for m in modules]
    for module, old in zip(modules, before, strict=True):
        assert all(torch.equal(old[k], v) for k, v in module.state_dict().items())


def test_same_seed_same_numbers() -> None:
    model, guide, x = linear(30)
    options: dict[str, Any] = {"steps": 5, "chains": 4, "leapfrog": 2}
    first = annealed_evidence(model, guide, x, **options)
    assert torch.equal(
        first.log_evidence, annealed_evidence(model, guide, x, **options).log_evidence
    )
    other = annealed_evidence(model, guide, x, **options, seed=1)
    assert not torch.equal(first.log_evidence, other.log_evidence)


def test_replayed_gradients_are_the_same() -> None:
    model, guide, x = linear(20)
    options: dict[str, Any] = {"steps": 5, "chains": 4, "leapfrog": 2}
    for start in ("prior", "guide"):
        eager = annealed_evidence(model, guide, x, **options, start=start, compile="off")
        replayed = annealed_evidence(model, guide, x, **options, start=start, compile="fx")
        assert torch.equal(eager.log_evidence, replayed.log_evidence)


def test_continued() -> None:
    r"""Blocks that are kept are not run again, and the numbers are the same."""
    model, guide, x = linear(110)
    options: dict[str, Any] = {"steps": 5, "chains": 4, "leapfrog": 2}
    whole: dict[int, Any] = {}
    first = annealed_evidence(model, guide, x, **options, kept=whole)
    done: list[int] = []
    part = {0: whole[0], 2: whole[2]}
    again = annealed_evidence(model, guide, x, **options, kept=part, progress=done.append)
    assert torch.equal(first.log_evidence, again.log_evidence)
    # Of the block that was run, steps are told of as well.
    assert sum(done) == 110 and done[0] == 50 and len(done) > 3 and sorted(part) == [0, 1, 2]


# What programs bring with them


def test_sites_that_are_summed_out(float64: None) -> None:
    r"""A site that the model sums out is no latent variable of the chains."""
    weights, loc = torch.tensor([0.3, 0.7]), torch.tensor([-1.0, 2.0])

    def model(x: Tensor | None = None, *, n: int = 1) -> Tensor:
        with pyro.plate("data", n if x is None else len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            infer = {"enumerate": "parallel"}
            k = pyro.sample("k", dist.Categorical(weights), infer=infer)
            return pyro.sample("x", dist.Normal(z + loc[k], 0.5), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(0.0, 1.0))

    x = torch.randn(10)
    mixture = dist.MixtureSameFamily(dist.Categorical(weights), dist.Normal(loc, 1.25**0.5))
    for start in ("prior", "guide"):
        found = annealed_evidence(model, guide, x, steps=20, chains=100, start=start)  # type: ignore[arg-type]
        error = found.log_evidence - mixture.log_prob(x)
        assert abs(error.sum() / found.standard_error.square().sum().sqrt()) < 4

    both = sandwich(model, guide, {"x": x}, n=40, particles=0, steps=20, chains=8)
    low, high = both.edges
    assert low <= mixture.log_prob(both.data["x"]).mean() <= high


def test_a_site_without_a_density_of_its_own_is_refused() -> None:
    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            infer = {"enumerate": "parallel"}
            k = pyro.sample("k", dist.Categorical(torch.ones(2)), infer=infer)
            z = pyro.sample("z", dist.Normal(k.to(x), 1.0))
            pyro.sample("x", dist.Normal(z, 0.5), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(0.0, 1.0))

    with pytest.raises(ValueError, match="'z' depends on a site that the model sums out"):
        annealed_evidence(model, guide, torch.randn(3))


def test_starts_that_are_no_law_are_refused() -> None:
    r"""Chains start from the guide only where its density is one, and covers the prior."""
    q = Conditional((6,), families.Normal((2,)), mlp([8]))
    model = Linear(6, 2)
    x = model(n=5).detach()
    noisy = SemiAmortized(q, steps=2).attach(model)
    with pytest.raises(ValueError, match="changes from run to run"):
        annealed_evidence(model, noisy, x, steps=2, start="guide")
    assert annealed_evidence(model, noisy, x, steps=2).log_evidence.isfinite().all()

    narrow = Amortized(Conditional((6,), families.Gamma((2,)), mlp([8])))
    with pytest.raises(ValueError, match="never draws a part"):
        annealed_evidence(model, narrow, x, steps=2, start="guide")


@pytest.mark.slow
def test_several_discrete_sites(float64: None) -> None:
    r"""Two coins, one of which depends on the other, and a normal: the sum and quadrature."""

    def model(x: Tensor | None = None, *, n: int = 1) -> Tensor:
        with pyro.plate("data", n if x is None else len(x), dim=-1):
            a = pyro.sample("a", dist.Bernoulli(0.4))
            b = pyro.sample("b", dist.Bernoulli(0.2 + 0.6 * a))
            z = pyro.sample("z", dist.Normal(a - b, 0.8))
            # So wide that weights backward have no heavy tail.
            return pyro.sample("x", dist.Normal(z + 2 * a + b, 2.0), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("a", dist.Bernoulli(0.5))
            pyro.sample("b", dist.Bernoulli(0.5))
            pyro.sample("z", dist.Normal(0.0, 1.0))

    def exact(x: Tensor) -> Tensor:
        terms = [
            dist.Bernoulli(0.4).log_prob(a)
            + dist.Bernoulli(0.2 + 0.6 * a).log_prob(b)
            + dist.Normal(3 * a, (0.8**2 + 2.0**2) ** 0.5).log_prob(x)
            for a, b in itertools.product(torch.tensor([0.0, 1.0]), repeat=2)
        ]
        return torch.stack(terms).logsumexp(0)

    batch = {"x": torch.zeros(1)}
    found = sandwich(model, guide, batch, n=1000, particles=0, steps=5, chains=4, leapfrog=2)
    truth = exact(found.data["x"])
    assert sandwiches(found, truth) >= 89
    ratio = (truth - found.upper).exp()
    assert abs((ratio - 1).mean() / (ratio.std() / 1000**0.5)) < 4


# Refusals


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"steps": 0}, "steps of 1 or more"),
        ({"chains": 0}, "chains of 1 or more"),
        ({"start": "posterior"}, "starts from prior or guide"),
        ({"spacing": "cubic"}, "no schedule"),
        ({"compile": "fast"}, "compile is one of"),
    ],
)
def test_refused(options: dict[str, Any], match: str) -> None:
    model, guide, x = linear(3)
    with pytest.raises(ValueError, match=match):
        annealed_evidence(model, guide, x, **options)


def test_global_sites_are_refused() -> None:
    def model(x: Tensor) -> None:
        loc = pyro.sample("loc", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("x", dist.Normal(loc, 1.0), obs=x)

    def guide(x: Tensor) -> None:
        pyro.sample("loc", dist.Normal(0.0, 1.0))

    with pytest.raises(ValueError, match="outside of the plate"):
        annealed_evidence(model, guide, torch.randn(3))
