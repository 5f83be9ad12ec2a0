r"""Laws of the evidence: it converges, its error bar holds, and nothing is changed by it."""

from __future__ import annotations

import math
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from program_cases import PROGRAMS, n
from pyro.infer.importance import psis_diagnostic
from pyro.ops.stats import fit_generalized_pareto
from torch import Tensor, nn

from ppl_vae.drawing.verdict import verdict
from ppl_vae.evaluation import Evidence, log_evidence
from ppl_vae.evaluation.pareto import khat
from ppl_vae.guides import Amortized
from ppl_vae.models import Linear
from ppl_vae.weights import log_weights

programs = pytest.mark.parametrize("name", PROGRAMS)


def wrong(rows: int, widen: float = 1.5) -> tuple[Linear, Amortized, Tensor]:
    r"""Probabilistic PCA and a guide that is off: wide, and shifted."""
    model = Linear(5, 2, scale=0.7)

    def posterior(x: Tensor) -> Any:
        exact = model.posterior(x)
        return dist.Normal(exact.mean + 0.3, widen * exact.stddev).to_event(1)

    return model, Amortized(posterior), model(n=rows).detach()


def fields(evidence: Evidence) -> dict[str, Tensor]:
    return {k: v for k, v in vars(evidence).items() if isinstance(v, Tensor)}


# Truth


def test_calibrated(float64: None) -> None:
    r"""Errors in units of the standard error are standard normal, over data and over seeds.

    Of 600 z-scores (bias below 1/40 of a standard error at 2000 particles) the mean lies within
    4 of its standard errors and the spread within 15 % (5 standard errors): fails once in 15000.
    """
    model, guide, x = wrong(60)
    exact = model.log_evidence(x).detach()
    runs = [log_evidence(model, guide, x, particles=2000, seed=s) for s in range(10)]
    z = torch.cat([(e.log_evidence - exact) / e.standard_error for e in runs])

    assert abs(z.mean()) < 4 / 600**0.5
    assert 0.85 < z.std() < 1.15
    assert all((e.khat < 0.5).all() for e in runs)

    # The spread over seeds is what the error bar of one run says: 10 runs, 60 data.
    spread = torch.stack([e.log_evidence for e in runs]).var(0).mean().sqrt()
    assert spread / runs[0].standard_error.square().mean().sqrt() == pytest.approx(1, abs=0.15)


def test_converges(float64: None) -> None:
    r"""From below, as the number of particles grows: the gap falls by more than 1 / K.

    At 16000 particles 100 data are exact within 4 standard errors (fails once in 16000, at seed
    0); the gaps of 2000 data are known to within a tenth.
    """
    model, guide, x = wrong(2000)
    exact = model.log_evidence(x).detach()
    gaps = [
        float((exact - log_evidence(model, guide, x, particles=K).log_evidence).mean())
        for K in (1, 4, 16)
    ]

    assert gaps[0] > 4 * gaps[1] > 8 * gaps[2] > 0
    x, exact = x[:100], exact[:100]
    last = log_evidence(model, guide, x, particles=16_000)
    error = last.standard_error.square().sum().sqrt() / len(x)
    assert abs((last.log_evidence - exact).mean()) < 4 * error < 0.01
    assert (last.elbo < last.log_evidence).all()


@torch.no_grad()
def test_exact_guide(float64: None) -> None:
    r"""Where the guide is the posterior, one particle is enough and all weights are equal."""
    model, guide, x = PROGRAMS["linear"]()

    for K in (1, 30, 250):
        e = log_evidence(model, guide, x, particles=K)
        torch.testing.assert_close(e.log_evidence, model.log_evidence(x), rtol=0, atol=1e-12)
        torch.testing.assert_close(e.elbo, e.log_evidence, rtol=0, atol=1e-12)
        torch.testing.assert_close(e.ess, torch.full((n,), float(K)), rtol=1e-9, atol=0)
        # One draw tells no error.
        assert (e.standard_error < 1e-6).all() if K > 1 else e.standard_error.isnan().all()
        assert (e.khat.isnan() if K < 25 else e.khat == -torch.inf).all()


@programs
@torch.no_grad()
def test_every_program(float64: None, name: str) -> None:
    r"""The fields are what the weights of the same draws say."""
    model, guide, x = PROGRAMS[name]()
    e = log_evidence(model, guide, x, particles=40)

    assert all(v.shape == (n,) for v in fields(e).values()) and len(e) == n
    assert ((e.ess >= 1) & (e.ess <= 40 + 1e-9)).all()
    torch.testing.assert_close(e.elbo, e.reconstruction - e.kl)
    assert (e.log_evidence >= e.elbo - 1e-12).all()

    # Two estimates from other draws agree: 4.5 standard errors of their difference.
    pair = [log_evidence(model, guide, x, particles=1000, seed=s) for s in (1, 2)]
    error = sum(p.standard_error**2 for p in pair) ** 0.5
    light = torch.stack([p.khat for p in pair]).amax(0) < 0.5
    difference = (pair[0].log_evidence - pair[1].log_evidence).abs()
    assert (difference <= 4.5 * error + 1e-9)[light].all()


def test_enumerated_prior(float64: None) -> None:
    r"""A discrete latent of 9 states: the sum over all of them."""
    model, guide, x = PROGRAMS["categorical latent"]()
    with torch.no_grad():
        e = log_evidence(model, guide, x, particles=4000)
        states = torch.cartesian_prod(torch.arange(3), torch.arange(3))
        log_p = model.prior().log_prob(states)[:, None]
        exact = (model.likelihood(states[:, None]).log_prob(x) + log_p).logsumexp(0)

    assert ((e.log_evidence - exact) / e.standard_error).abs().max() < 4.5  # once in 40000


# The memory budget


@programs
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_memory(name: str, dtype: torch.dtype) -> None:
    r"""The result does not depend on the budget, up to the rounding of other batch sizes."""
    torch.set_default_dtype(dtype)
    model, guide, x = PROGRAMS[name]()
    results = [log_evidence(model, guide, x, particles=130, memory=m) for m in (2**29, 2**13, 1)]
    tol = 1e-4 if dtype == torch.float32 else 1e-10

    for other in results[1:]:
        for key in ("log_evidence", "elbo", "kl", "reconstruction"):
            torch.testing.assert_close(
                getattr(other, key), getattr(results[0], key), rtol=tol, atol=tol
            )


def test_seeds_and_blocks(float64: None) -> None:
    r"""One seed, one result; data beyond the first block do not disturb it."""
    model, guide, x = wrong(120)
    one = log_evidence(model, guide, x, particles=150)
    again = log_evidence(model, guide, {"x": x, "index": torch.arange(120)}, particles=150)
    other = log_evidence(model, guide, x, particles=150, seed=1)
    first = log_evidence(model, guide, x[:50], particles=150)
    seen: list[int] = []
    log_evidence(model, guide, x, particles=10, progress=seen.append)

    for key, value in fields(one).items():
        assert value.equal(getattr(again, key))
        assert not value.equal(getattr(other, key))
        assert value[:50].equal(getattr(first, key))
    assert seen == [50, 50, 20]


def test_looped(float64: None) -> None:
    model, guide, x = wrong(3)
    e = log_evidence(model, guide, x, particles=400, vectorized=False)
    assert ((e.log_evidence - model.log_evidence(x)) / e.standard_error).abs().max() < 4.5


# The tail


@pytest.mark.parametrize("K", [25, 100, 1000])
def test_khat_equals_pyro(float64: None, K: int) -> None:
    r"""Per datum, the fit of Pyro to the same tail."""
    log_w = torch.randn(K, 6) * torch.tensor([0.01, 0.3, 1.0, 2.0, 5.0, 30.0]) - 1000
    M = math.ceil(min(K / 5, 3 * K**0.5))

    for column, k in zip(log_w.unbind(1), khat(log_w), strict=True):
        top = column.sort().values[-M - 1 :]
        top = (top - top[-1]).exp()
        assert float(k) == pytest.approx(fit_generalized_pareto(top[1:] - top[0])[0], rel=1e-6)


def test_khat_is_per_datum(float64: None) -> None:
    r"""It does not grow with the batch, as the one number of Pyro's diagnostic does."""
    model, guide, x = wrong(1, widen=1.2)
    rows = x.expand(64, 5)
    e = log_evidence(model, guide, rows, particles=1000)
    one = log_evidence(model, guide, x, particles=1000)

    assert one.khat < 0.5 and e.khat.median() < 0.5
    assert psis_diagnostic(model, guide, rows, num_particles=1000, max_plate_nesting=1) > 2


def test_khat_limits() -> None:
    assert khat(torch.randn(24, 3)).isnan().all()
    assert (khat(torch.full((100, 3), -7.0)) == -torch.inf).all()
    assert khat(torch.randn(1000, 2)).dtype == torch.float32

    # Atoms, as discrete latent variables make them, are no tail, and no error in size.
    many, few = torch.randn(1000).round(), -torch.ones(1000)
    few[:40] = torch.rand(40)
    assert khat(torch.stack([-many.square(), few], 1)).isfinite().logical_not().all()
    rounded = torch.full((100, 1), -700.0) + 1e-4 * torch.rand(100, 1)
    assert khat(rounded) == -torch.inf

    heavy, light = 2.0 * -torch.rand(10_000, 20).log(), 0.2 * -torch.rand(10_000, 20).log()
    assert khat(heavy).mean() == pytest.approx(2.0, abs=0.15)  # exact Pareto tails, with k = 2
    assert khat(light).mean() == pytest.approx(0.2, abs=0.15)  # and 0.2; 300 draws each


# Nothing is changed


class Norms(nn.Module):
    r"""A model with batch normalization and dropout, in training mode in part."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 5), nn.BatchNorm1d(5), nn.Dropout(0.3))
        self.net[0].eval()

    def model(self, x: Tensor) -> None:
        pyro.module("Norms", self)
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            loc = self.net(z.reshape(-1, 2)).reshape(*z.shape[:-1], 5)
            pyro.sample("x", dist.Normal(loc, 1.0).to_event(1), obs=x)

    def guide(self, x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(self.net(x[:, :2])[:, :2], 0.9).to_event(1))


def test_changes_nothing() -> None:
    r"""Bit by bit: parameters, gradients, buffers, flags, random states."""
    program, x = Norms(), torch.randn(70, 5)
    program.model(x)
    program.net[0].weight.grad = torch.ones(5, 2)
    state = {k: v.clone() for k, v in program.state_dict().items()}
    flags = [m.training for m in program.modules()]
    random = torch.get_rng_state()

    e = log_evidence(program.model, program.guide, x, particles=120)

    assert all(v.equal(state[k]) for k, v in program.state_dict().items())
    assert [m.training for m in program.modules()] == flags
    assert torch.get_rng_state().equal(random)
    assert program.net[0].weight.grad.equal(torch.ones(5, 2))
    assert not any(v.requires_grad for v in fields(e).values())

    # Evaluation mode it was: the numbers are those of the running means, without dropout.
    program.eval()
    again = log_evidence(program.model, program.guide, x, particles=120)
    assert again.log_evidence.equal(e.log_evidence)


def test_changes_nothing_when_it_fails() -> None:
    program = Norms()
    random = torch.get_rng_state()

    with pytest.raises(ValueError, match=r"NaN"):
        log_evidence(program.model, program.guide, torch.full((4, 5), math.nan))
    assert program.training and not program.net[0].training
    assert torch.get_rng_state().equal(random) and torch.is_grad_enabled()


# Refusals and the summary


def test_refused() -> None:
    model, guide, x = PROGRAMS["linear"]()

    for empty in (x[:0], {"x": x[:0]}, {}):
        with pytest.raises(ValueError, match=r"no data to evaluate"):
            log_evidence(model, guide, empty)
    for K in (0, -3):
        with pytest.raises(ValueError, match=rf"must be positive, got {K}"):
            log_evidence(model, guide, x, particles=K)

    def shared(x: Tensor) -> None:
        mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("x", dist.Normal(mu, 1.0), obs=x)

    def guess(x: Tensor) -> None:
        pyro.sample("mu", dist.Normal(0.0, 1.0))

    with pytest.raises(ValueError, match=r"Site 'mu' lies outside of the plate of the data"):
        log_evidence(shared, guess, x[:, 0])

    far = x.clone()
    far[-1] = math.inf  # every datum is looked at
    with pytest.raises(ValueError, match=r"NaN or infinite"):
        log_evidence(model, guide, far)


def evidence(log_p: list[float], k: list[float]) -> Evidence:
    t = torch.tensor(log_p)
    return Evidence(
        log_evidence=t,
        standard_error=torch.tensor([0.3, 0.4, 0.0, 0.0])[: len(t)],
        elbo=t - 1,
        reconstruction=t + 2,
        kl=torch.full_like(t, 3.0),
        ess=torch.tensor([5.0, 1.0, 9.0, 7.0])[: len(t)],
        khat=torch.tensor(k),
        particles=10,
    )


def test_summary() -> None:
    s = evidence([-1.0, -2.0, -3.0, -6.0], [0.1, 0.8, math.nan, 0.2]).summary(6, log_volume=1.0)

    assert s["log_evidence"] == pytest.approx(-2.0)
    assert s["standard_error"] == pytest.approx((14 / 3) ** 0.5 / 2)
    assert s["monte_carlo_error"] == pytest.approx(0.5 / 4)
    assert (s["elbo"], s["reconstruction"], s["kl"]) == pytest.approx((-3.0, 0.0, 3.0))
    assert s["elbo"] == pytest.approx(s["reconstruction"] - s["kl"])
    assert s["bits_per_dim"] == pytest.approx(2 / (6 * math.log(2)))
    assert s["ess"] == {"median": 6.0, "min": 1.0}
    assert s["khat"] == pytest.approx({"median": 0.2, "max": 0.8, "share_over_0.7": 1 / 3})
    assert (s["n"], s["particles"], s["estimator"]) == (4, 10, "importance weighting")


def test_summary_without() -> None:
    s = evidence([-1.0], [math.nan]).summary()

    assert math.isnan(s["standard_error"]) and s["bits_per_dim"] is None
    assert s["khat"] == {"median": None, "max": None, "share_over_0.7": None}


def test_hierarchical(float64: None) -> None:
    r"""Linear in two layers: marginally one, whose evidence is known. z-scores as above."""
    inner = Linear(3, 1, scale=0.5)
    outer = Linear(5, 3, scale=0.8)

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z2 = pyro.sample("z2", dist.Normal(torch.zeros(1), 1.0).to_event(1))
            z1 = pyro.sample("z1", dist.Normal(z2 @ inner.weight.mT, 0.5).to_event(1))
            pyro.sample("x", dist.Normal(z1 @ outer.weight.mT, 0.8).to_event(1), obs=x)

    noise = 0.64 * torch.eye(5)
    covariance = outer.weight @ inner.covariance @ outer.weight.mT + noise
    exact = dist.MultivariateNormal(torch.zeros(5), covariance.detach())
    gain = (inner.covariance @ outer.weight.mT @ covariance.inverse()).detach()

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z1 = pyro.sample("z1", dist.Normal(x @ gain.mT, 0.7).to_event(1))
            pyro.sample("z2", dist.Normal(inner.posterior(z1).mean, 0.6).to_event(1))

    x = exact.sample((50,))
    e = log_evidence(model, guide, x, particles=4000)
    z = (e.log_evidence - exact.log_prob(x)) / e.standard_error

    assert z.abs().max() < 4.5 and abs(z.mean()) < 4 / 50**0.5  # once in 3000
    assert not log_weights(model, guide, x).global_sites


LEFT_OUT = {
    "a half line": (dist.Normal(0.0, 1.0), dist.Gamma(2.0, 2.0), ("z",)),
    "an interval": (dist.Normal(0.0, 1.0), dist.Beta(2.0, 2.0), ("z",)),
    "two of three": (dist.Categorical(torch.ones(3)), dist.Categorical(torch.ones(2)), ("z",)),
    "all": (dist.Normal(0.0, 1.0), dist.StudentT(4.0), ()),
    "positive": (dist.Gamma(2.0, 2.0), dist.LogNormal(0.0, 1.0), ()),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_a_guide_that_leaves_out_a_part(name: str) -> None:
    r"""No number of particles makes up for what is never drawn: the record says so."""
    prior, posterior, sites = LEFT_OUT[name]

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", prior)
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", posterior)

    evidence = log_evidence(model, guide, torch.randn(8), particles=3)
    record = evidence.summary()
    assert evidence.left_out == sites and record["left_out"] == list(sites)
    assert ("'z': this is a lower bound however" in verdict(record)[1]) == bool(sites)


# What errors cover


def test_finite_populations() -> None:
    r"""The error of a mean over all of a test set, of which a part was evaluated.

    2000 times 30 of 40 data are chosen, and estimated with noise: z-scores have mean zero within 4
    standard errors, and a spread of one within 8 % (5 standard errors): fails once in 10000.
    """
    generator = torch.Generator().manual_seed(0)
    truth = 3 * torch.randn(40, generator=generator, dtype=torch.float64)
    noise = 0.2 + torch.rand(40, generator=generator, dtype=torch.float64)
    z = []

    for _ in range(2000):
        i = torch.randperm(40, generator=generator)[:30]
        found = truth[i] + noise[i] * torch.randn(30, generator=generator, dtype=torch.float64)
        e = Evidence(found, noise[i], *[found] * 5)
        s = e.summary(population=40)
        z.append((s["log_evidence"] - truth.mean().item()) / s["population_error"])

    z = torch.tensor(z)
    assert abs(z.mean()) < 4 / 2000**0.5
    assert z.std() == pytest.approx(1, abs=0.08)


def test_whole_and_unknown_populations() -> None:
    r"""Where all were evaluated, other draws alone move the mean; an infinite one is the sample."""
    e = evidence([-1.0, -2.0, -3.0, -6.0], [0.1, 0.8, math.nan, 0.2])
    whole = e.summary(population=4)
    assert whole["population_error"] == pytest.approx(whole["monte_carlo_error"])
    assert e.summary(population=10**12)["population_error"] == pytest.approx(
        whole["standard_error"], rel=1e-6
    )
    assert e.summary()["population_error"] is None and e.summary()["population"] is None
    assert whole["bias"] == pytest.approx(-(0.09 + 0.16) / 4 / 2)
    with pytest.raises(ValueError, match=r"no more than 3 to choose from"):
        e.summary(population=3)
    one = evidence([-1.0], [0.1])
    assert one.summary(population=1)["population_error"] == pytest.approx(0.3)
    assert math.isnan(one.summary(population=2)["population_error"])


def test_bias(float64: None) -> None:
    r"""What the logarithm falls short by, to first order: within a fifth, and 4 standard errors."""
    model, guide, x = wrong(5000)
    with torch.no_grad():
        e = log_evidence(model, guide, x, particles=50)
        off = e.log_evidence - model.log_evidence(x)
    bias = e.summary()["bias"]
    assert bias < -0.005
    assert abs(off.mean() - bias) < 4 * off.std() / 5000**0.5 + 0.2 * abs(bias)


def test_arrays() -> None:
    e = evidence([-1.0, -2.0], [0.1, 0.2])
    arrays = e.arrays()
    assert arrays.keys() == fields(e).keys() and arrays["khat"].shape == (2,)
    assert e.estimator == "importance weighting" and e.summary()["draws"] == "random"
