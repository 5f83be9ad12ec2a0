r"""Laws of annealing: weights are unbiased, moves keep their law, and nothing else moves."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from program_cases import PROGRAMS
from scipy import stats
from torch import Tensor
from torch.distributions.transforms import identity_transform

from ppl_vae import families, priors
from ppl_vae.conditional import Conditional
from ppl_vae.distributions import Implicit, SphericalUniform
from ppl_vae.evaluation import log_evidence
from ppl_vae.evaluation.annealing import (
    Annealed,
    Sandwich,
    annealed_evidence,
    rate_distortion,
    sandwich,
)
from ppl_vae.evaluation.annealing.chain import pilot
from ppl_vae.evaluation.annealing.from_prior import FromPrior
from ppl_vae.evaluation.annealing.path import Path
from ppl_vae.evaluation.annealing.schedule import schedule
from ppl_vae.evaluation.annealing.sizes import StepSizes, log_widths
from ppl_vae.evaluation.annealing.space import Flat, Spherical
from ppl_vae.evaluation.annealing.transition import follow, jump, move
from ppl_vae.guides import Amortized, SemiAmortized
from ppl_vae.models import VAE, Linear
from ppl_vae.networks import mlp
from ppl_vae.weights import draw_sites, redraw_site
from ppl_vae.weights.layout import vectors

programs = pytest.mark.parametrize("name", PROGRAMS)
spacings = pytest.mark.parametrize("spacing", ["sigmoid", "linear", "geometric"])


def linear(n: int, features: int = 6, latent: int = 2) -> tuple[Linear, Amortized, Tensor]:
    model = Linear(features, latent, scale=0.7)
    return model, Amortized(model.posterior), model(n=n).detach()


def coins(n: int, d: int = 3) -> tuple[VAE, Amortized, Tensor]:
    r"""A VAE of binary latent variables, whose evidence is a sum over all of them."""
    model = VAE(
        priors.Bernoulli((d,), learned=True),
        Conditional((d,), families.Normal((4,), scale=0.5), mlp([8])),
    )
    guide = Amortized(Conditional((4,), families.Bernoulli((d,)), mlp([8])))
    with torch.no_grad():
        return model, guide, model(n=n)


def summed(model: VAE, x: Tensor, d: int = 3) -> Tensor:
    z = torch.tensor(list(itertools.product([0.0, 1.0], repeat=d)))
    log_p = model.likelihood(z[:, None].expand(-1, len(x), -1)).log_prob(x)
    return (log_p + model.prior().log_prob(z)[:, None]).logsumexp(0)


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


@pytest.mark.parametrize("leapfrog", [1, 5])
def test_moves_keep_the_posterior(float64: None, leapfrog: int) -> None:
    r"""Exact draws of the posterior stay exact draws: two-sample z-scores of two moments.

    Chains of ten moves from 4000 exact draws; |z| > 4.5 of eight once in 20000.
    """
    model, guide, x = linear(2)
    path = Path(model, guide, x, "prior", 2**29)
    exact = model.posterior(x)
    with torch.no_grad(), pyro.validation_enabled(False):
        point, sizes = path.at(x, {"z": exact.sample((4000,))}), {"z": torch.tensor([0.4, 0.8])}
        for _ in range(10):
            point, _ = move(path, x, point, torch.tensor(1.0), sizes, leapfrog)

    e = ((point.u["z"] - exact.mean) / exact.stddev).detach()
    assert (e.mean(0).abs() * 4000**0.5 < 4.5).all()
    assert ((e.square().mean(0) - 1).abs() * (4000 / 2) ** 0.5 < 4.5).all()


def test_jumps_keep_the_posterior(float64: None) -> None:
    r"""Exact draws of coins stay exact draws: a chi-squared test, p > 1e-4."""
    model, guide, x = coins(2)
    x = x[:1].expand(2, -1).contiguous()
    path = Path(model, guide, x, "guide", 2**29)
    z = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)))
    log_p = model.likelihood(z).log_prob(x[0]) + model.prior().log_prob(z)
    with torch.no_grad():
        posterior = log_p.softmax(0)
        exact = z[posterior.multinomial(8000, replacement=True)].reshape(4000, 2, 3)
        point = path.at(x, {"z": exact})
        for share in (1.0, 0.5, 0.1) * 2:
            point = jump(path, x, point, torch.tensor(1.0), share)

    kinds = (point.u["z"] * torch.tensor([4.0, 2.0, 1.0])).sum(-1).long().flatten()
    counts = kinds.bincount(minlength=8).double()
    assert stats.chisquare(counts.numpy(), (8000 * posterior).numpy()).pvalue > 1e-4


def test_redrawn_sites(float64: None) -> None:
    r"""A site drawn anew has the law of its conditional; others, and elements, are left."""
    _, guide, x = coins(4)
    values = draw_sites(guide, x, 2000, depth=1)
    found = redraw_site(guide, x, values, "z", share=0.5, depth=1)
    changed = (found.value != values["z"]).float().mean()
    p = guide.posterior(x).base_dist.probs
    assert abs(changed - (p * (1 - p)).mean()) < 0.02  # half of 2 p (1 - p), of 24000 draws
    assert torch.equal(found.log_old, guide.posterior(x).log_prob(values["z"]))
    assert torch.equal(found.log_new, guide.posterior(x).log_prob(found.value))


# Both sides


def sandwiches(found: Sandwich, exact: Tensor, size: int = 10) -> int:
    r"""How many of the sandwiches of ten data each hold their exact mean."""
    held = 0
    for i in range(0, len(found), size):
        rows = slice(i, i + size)
        part = Sandwich(found.lower[rows], found.upper[rows], found.acceptance[rows])
        low, high = part.edges
        held += low <= exact[rows].mean().item() <= high
    return held


def test_sandwich_holds_the_truth(float64: None) -> None:
    r"""The edges hold the exact evidence at their level of 95 %.

    For 89 of 100 data sets at the least, which edges of exactly that level miss 0.4 % of the time.
    """
    model, guide, x = linear(2)
    found = sandwich(
        model, guide, {"x": x}, n=1000, particles=0, steps=5, chains=4, leapfrog=2, compile="off"
    )
    assert sandwiches(found, model.log_evidence(found.data["x"])) >= 89
    assert 0.1 < (found.upper - found.lower).mean() < 5  # neither exact nor far off


def test_sandwich_of_coins(float64: None) -> None:
    r"""As above, for discrete latent variables, whose evidence is a sum."""
    model, guide, x = coins(2)
    found = sandwich(model, guide, {"x": x}, n=1000, particles=0, steps=5, chains=4, compile="off")
    assert sandwiches(found, summed(model, found.data["x"])) >= 89
    assert 0.01 < (found.upper - found.lower).mean() < 5


def test_weights_backward_are_unbiased(float64: None) -> None:
    r"""The mean of exp(log p(x) - upper) is one over draws of the model: |z| > 4 once in 16000.

    Of a model whose posterior is not far from the prior: else the weights have heavy tails.
    """
    model = Linear(6, 2, scale=3.0)
    guide, batch = Amortized(model.posterior), {"x": torch.zeros(1, 6)}
    found = sandwich(
        model, guide, batch, n=400, particles=0, steps=4, chains=10, leapfrog=3, compile="off"
    )
    ratio = (model.log_evidence(found.data["x"]) - found.upper).exp().detach()
    assert ratio.std() > 0.01
    assert abs((ratio - 1).mean() / (ratio.std() / 20)) < 4


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


@pytest.mark.slow
def test_sandwich_tells_what_is_enough(float64: None) -> None:
    model, guide, x = linear(2)
    found = sandwich(model, guide, {"x": x}, n=20, particles=200, steps=1000)
    # With the exact guide all weights are alike.
    assert found.cubo is not None and found.importance is not None
    torch.testing.assert_close(found.cubo, found.importance, rtol=0, atol=1e-6)
    told = found.summary()
    assert told["level"] == "good" and "200 particles are enough" in told["verdict"]

    far = Amortized(lambda x: dist.Normal(torch.full((len(x), 2), 4.0), 0.1).to_event(1))
    found = sandwich(model, far, {"x": x}, n=20, particles=200, steps=50).summary()
    assert "not enough" in found["verdict"]


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


def test_pilot(float64: None) -> None:
    r"""Step sizes bring moves to be accepted as often as they aim at, for each datum."""
    model, guide, x = linear(8, features=20, latent=4)
    path = Path(model, guide, x, "prior", 2**29)
    betas = schedule(100, "sigmoid")
    with torch.no_grad():
        sizes = pilot(path, x, betas, 5)
        assert sizes(100)["z"].shape == (1, 8, 4)
        point = path.at(x, {"z": model.posterior(x).sample((400,))})
        _, accept = move(path, x, point, betas[-1], sizes(100), 5)
    assert ((accept.mean(0) - 0.7).abs() < 0.15).all()


def test_widths_are_those_of_the_posterior(float64: None) -> None:
    r"""Elements whose posteriors are narrow move in small steps, in proportion.

    A width is a mean over 50 data and 8 chains: its logarithm is off by 0.04, its average over
    the last steps of the pilot by less, and what chains lag behind comes on top.
    """
    torch.manual_seed(1)
    model = Linear(features=20, latent=4, scale=0.5)
    with torch.no_grad():
        model.weight.copy_(torch.randn(20, 4) * torch.tensor([3.0, 1.0, 0.3, 0.0]))
    x = model(n=50).detach()
    path = Path(model, Amortized(model.posterior), x, "prior", 2**29)
    with torch.no_grad(), pyro.validation_enabled(False):
        sizes = pilot(path, x, schedule(400, "sigmoid"), 5)(400)["z"]
        exact = model.posterior(x).stddev[0].log()

    # Of one datum: the product of its own size and of the widths that all share.
    found = sizes[0, 0].log()
    assert torch.allclose(found - found.mean(), exact - exact.mean(), atol=0.25)
    assert exact.max() - exact.min() > 2


def test_sizes_between_the_steps_of_a_pilot(float64: None) -> None:
    r"""Log-linear, by datum and element."""
    log_size = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    log_width = torch.tensor([[[[0.0, 0.5, -0.5]]], [[[1.0, 0.5, -1.5]]]])
    flat = Flat(1, identity_transform)
    sizes = StepSizes(torch.tensor([0, 4]), log_size, {"z": log_width}, {"z": flat})
    expected = torch.tensor([[[0.75, 1.0, -0.25], [1.75, 2.0, 0.75]]])
    assert torch.allclose(sizes(1)["z"].log(), expected)
    assert torch.allclose(sizes(4)["z"].log()[0, 0], torch.tensor([3.0, 2.5, 0.5]))


@pytest.mark.parametrize("far", [1e9, math.inf, math.nan])
def test_widths_do_not_follow_one_chain(float64: None, far: float) -> None:
    r"""Of 50 data a chain of one is far out, or nowhere: the widths hardly change."""
    u = torch.randn(8, 50, 3) * torch.tensor([0.1, 1.0, 10.0])
    d = torch.nn.functional.normalize(torch.randn(8, 50, 4), dim=-1)
    spaces = {"z": Flat(1, identity_transform), "d": Spherical(1)}
    before = log_widths({"z": u, "d": d}, spaces)
    u[3, 7, 1] = far
    after = log_widths({"z": u, "d": d}, spaces)
    assert torch.allclose(before["z"], after["z"], atol=0.02)
    assert (before["z"].diff() - math.log(10)).abs().max() < 0.2
    assert before["d"].shape == (1, 1, 1)


def mixed(x: Tensor | None = None, *, n: int = 1) -> Tensor:
    r"""A program that draws in every space, with and without event shapes, and in another plate."""
    n = n if x is None else len(x)
    with pyro.plate("data", n, dim=-1):
        z = pyro.sample("z", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
        s = pyro.sample("s", dist.LogNormal(0.0, 0.5))
        w = pyro.sample("w", dist.Dirichlet(torch.full((3,), 2.0)))
        d = pyro.sample("d", SphericalUniform(3))
        b = pyro.sample("b", dist.Bernoulli(torch.tensor([0.3, 0.6])).to_event(1))
        with pyro.plate("inner", 3, dim=-2):
            e = pyro.sample("e", dist.Normal(0.0, 1.0))
        loc = z.sum(-1) + 2 * w[..., 0] + d[..., 0] + 2 * b.sum(-1)
        loc = loc + e.sum(-2).reshape(loc.shape)
        return pyro.sample("x", dist.Normal(loc, s), obs=x)


def mixed_path(n: int) -> tuple[Path, Tensor, dict[str, Tensor]]:
    r"""Its path from the prior, data, and the latent variables behind them: posterior draws."""
    with torch.no_grad():
        trace = pyro.poutine.trace(mixed).get_trace(n=n)
    x = trace.nodes["x"]["value"]
    path = Path(mixed, FromPrior(mixed), x, "prior", 2**29)
    exact = {name: trace.nodes[name]["value"][None] for name in path.spaces}
    return path, x, path.coordinates(path.repeated(exact, slice(0, n), 1))


def test_moves_are_undone_by_a_turn(float64: None) -> None:
    r"""Leapfrog steps in all spaces at once, the momentum turned, and the same steps again."""
    path, x, _ = mixed_path(5)
    assert len(path.moving) == 5 and path.jumping == ["b"]
    beta = torch.tensor(0.6)
    with torch.no_grad(), pyro.validation_enabled(False):
        point = path.at(x, path.draw(x, 8))
        widths = log_widths({k: point.u[k] for k in path.moving}, path.spaces)
        eps = {k: 0.2 * t.exp() for k, t in widths.items()}
        v = {k: path.spaces[k].momentum(point.u[k]) for k in path.moving}
        there, w = follow(path, x, point, v, beta, eps, 5)
        back, _ = follow(path, x, there, {k: -t for k, t in w.items()}, beta, eps, 5)

    for name in path.moving:
        assert (there.u[name] - point.u[name]).abs().max() > 0.1
        assert torch.allclose(back.u[name], point.u[name], atol=1e-10)


def test_terms_travel_with_the_chains(float64: None) -> None:
    r"""What chains carry along is what the programs tell where the chains are."""
    path, x, _ = mixed_path(4)
    beta = torch.tensor(0.6)
    with torch.no_grad(), pyro.validation_enabled(False):
        begin = point = path.at(x, path.draw(x, 20))
        sizes = {k: torch.tensor(0.3) for k in path.moving}
        point, _ = move(path, x, point, beta, sizes, 2)
        stayed = (point.u["s"] == begin.u["s"]).double().mean()
        point = jump(path, x, point, beta, 0.5)
        fresh = path.at(x, point.u)

    assert 0.1 < stayed < 0.9 and not torch.equal(point.u["b"], begin.u["b"])
    assert torch.equal(point.slope, fresh.slope)
    assert torch.equal(point.log_density(beta), fresh.log_density(beta))
    for name, force in fresh.force(beta).items():
        assert torch.allclose(point.force(beta)[name], force)


def test_moves_in_all_spaces_keep_the_posterior(float64: None) -> None:
    r"""The latent variables behind 4000 data are posterior draws, and stay so.

    Over data of the model they have the law of the prior: z-scores of 26 moments, |z| > 4.5 of one
    in 5000 runs. After Getting It Right (Geweke, 2004), https://doi.org/10.1198/016214504000001132.
    """
    path, x, u = mixed_path(4000)
    with torch.no_grad(), pyro.validation_enabled(False):
        point = path.at(x, u)
        sizes = {k: torch.tensor(0.4) for k in path.moving}
        for share in (1.0, 0.5, 1.0, 0.5):
            point, accept = move(path, x, point, torch.tensor(1.0), sizes, 3)
            point = jump(path, x, point, torch.tensor(1.0), share)
        found = {k: path.spaces[k].value(point.u[k])[0] for k in path.moving} | {"b": point.u["b"]}

    assert 0.3 < accept.mean() < 0.95 and not torch.equal(point.u["b"], u["b"])
    values = (vectors(found[k], path.spaces[k].axis)[0] for k in ("z", "s", "w", "d", "b", "e"))
    z, s, w, d, b, e = values
    normal = torch.cat([z, 2 * s.log(), e], 1)
    # Each with its mean under the prior.
    square = [normal.square() - 1, w.square() - 1 / 7, d.square() - 1 / 3]
    moments = torch.cat([normal, w - 1 / 3, d, b - torch.tensor([0.3, 0.6]), *square], 1)
    scores = moments.mean(0) / moments.std(0) * len(moments) ** 0.5
    assert scores.abs().max() < 4.5, scores


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


def test_simulated_data_are_like_real_ones() -> None:
    r"""With their missing entries, and their rows over again where there are too few."""
    likelihood = Conditional((2,), families.Masked((4,), families.Normal), mlp([8]))
    q = Conditional((4,), families.Normal((2,)), mlp([8]), missing=True)
    x = torch.randn(3, 4)
    x[0, 1] = torch.nan
    model, guide = VAE(priors.StandardNormal((2,)), likelihood), Amortized(q)
    found = sandwich(model, guide, {"x": x}, n=7, particles=30, steps=3, chains=2, leapfrog=2)
    missing = found.data["x"].isnan()
    assert missing.sum() == 3 and missing[[0, 3, 6], 1].all()
    assert found.lower.isfinite().all() and found.upper.isfinite().all()

    counts = Conditional((2,), families.Poisson((4,)), mlp([8]))
    model = VAE(priors.StandardNormal((2,)), counts)
    guide = Amortized(Conditional((4,), families.Normal((2,)), mlp([8])))
    batch = {"x": torch.ones(3, 4), "exposure": torch.tensor([1.0, 2.0, 3.0])}
    found = sandwich(model, guide, batch, n=7, particles=30, steps=3, chains=2, leapfrog=2)
    assert found.data["exposure"].tolist() == [1, 2, 3, 1, 2, 3, 1]

    with pytest.raises(ValueError, match="the batch is empty"):
        sandwich(model, guide, {"x": torch.ones(0, 4)}, n=7)


def test_verdicts_heed_their_errors() -> None:
    r"""No sentence says more than the intervals do; what is not finite is poor."""
    few = Sandwich(
        torch.tensor([-3.0]), torch.tensor([-2.9]), torch.ones(1), importance=torch.tensor([-5.0])
    )
    told = few.summary()
    assert told["level"] == "poor" and "not decided" in told["verdict"]

    lost = Annealed(torch.tensor([-1.0, torch.nan]), *torch.ones(3, 2).unbind())
    assert lost.summary()["level"] == "poor" and "1 of 2 data" in lost.summary()["verdict"]


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
