r"""Laws of objectives that play against a critic."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from program_cases import PROGRAMS, nested
from replay import assert_replayed
from test_resume import SMALL, assert_equal, assert_resumes, stopping  # noqa: F401
from torch import Tensor, nn

from ppl_vae import Run
from ppl_vae.conditional import Conditional
from ppl_vae.families import Delta, Family, Implicit, Normal, PowerSpherical
from ppl_vae.folder.checkpoint import read
from ppl_vae.guides import Amortized, BottomUp
from ppl_vae.models import VAE, Hierarchical, Linear
from ppl_vae.networks import mlp
from ppl_vae.objectives import AAE, AVB, Factor
from ppl_vae.objectives.adversarial import Adversarial, Pair
from ppl_vae.objectives.aggregate import mmd
from ppl_vae.objectives.codes import codes_of, joined
from ppl_vae.priors import GaussianMixture, LearnedNormal, Prior, SphericalUniform, StandardNormal
from ppl_vae.svi import SVI
from ppl_vae.weights import Arguments, log_joint, log_weights

ADVERSARIAL: dict[str, Callable[..., Adversarial]] = {
    "Factor": partial(Factor, hidden=(8,)),
    "AAE": partial(AAE, hidden=(8,)),
    "AVB, prior": partial(AVB, (8,), "prior"),
    "AVB, adaptive": partial(AVB, (8,), "adaptive", moments=4),
}
each = pytest.mark.parametrize("make", ADVERSARIAL.values(), ids=ADVERSARIAL)
adam = partial(torch.optim.Adam, lr=1e-2)
game = partial(torch.optim.Adam, lr=5e-3, betas=(0.5, 0.9))  # damped, as players need it

NET = mlp([8])
Triple = tuple[Any, Any, Tensor]


def vae(posterior: Family | None = None, prior: Prior | None = None) -> Triple:
    prior = StandardNormal((2,)) if prior is None else prior
    model = VAE(prior, Conditional((2,), Normal((5,)), NET))
    guide = Amortized(Conditional((5,), posterior or Normal((2,)), NET))
    return model, guide, torch.randn(6, 5)


def layers(posterior: Callable[[tuple[int]], Family] = Normal) -> Triple:
    r"""Two layers of latent variables, which the guide draws against the model's order."""
    below = [Conditional((2,), Normal((3,)), NET)]
    model = Hierarchical(LearnedNormal((2,)), below, Conditional((3,), Normal((5,)), NET))
    posteriors = [((5,), posterior((3,))), ((3,), posterior((2,)))]
    guide = BottomUp([Conditional(shape, family, NET) for shape, family in posteriors])
    return model, guide, torch.randn(6, 5)


def match(model: Any, guide: Any, x: Tensor) -> Pair:
    return Pair(model, guide, Arguments((x,), {}))


# Critics


def taught(objective: Adversarial, model: Any, guide: Any, draw: Callable[[int], Tensor]) -> Tensor:
    r"""Trains the critic alone, on fixed programs; returns many data."""
    objective.estimate(model, guide, draw(256))
    parameters = list(objective.critic.parameters())
    optimizer = torch.optim.Adam(parameters, lr=3e-3)
    scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.02, 300)

    for _ in range(300):
        estimate = objective.discern(model, guide, draw(256))
        gradients = torch.autograd.grad(estimate.loss / estimate.size, parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        scheduler.step()

    return draw(10_000)


def affine(objective: Adversarial, slope: float) -> None:
    r"""Makes the logit that many times the sum of the critic's inputs."""
    with torch.no_grad():
        objective.critic.head.weight.fill_(slope)
        objective.critic.head.bias.zero_()


def normal_model(x: Tensor) -> None:
    with pyro.plate("data", len(x), dim=-1):
        z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)


@pytest.mark.slow
@pytest.mark.parametrize("rho", [0.0, 0.9])
def test_total_correlation_is_that_of_a_normal_law(rho: float) -> None:
    r"""-log(1 - r^2) / 2 for the correlation r of the codes, 0 or 0.57, within 0.08 nats.

    Of seeds 0 to 9 the largest error was 0.06; the seed is 0.
    """

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(x, 0.3).to_event(1))

    def draw(n: int) -> Tensor:
        x = torch.randn(n, 2)
        x[:, 1] = rho * x[:, 0] + (1 - rho**2) ** 0.5 * x[:, 1]
        return x

    objective = Factor(hidden=(32, 32))
    x = taught(objective, normal_model, guide, draw)
    found = objective.discern(normal_model, guide, x).metrics
    r = rho / 1.09
    assert float(found["divergence"]) == pytest.approx(-math.log(1 - r**2) / 2, abs=0.08)
    assert 0.48 < found["accuracy"] < (0.52 if rho == 0 else 0.75)


@pytest.mark.parametrize("contrast", ["prior", "adaptive"])
def test_divergence_is_that_of_normal_posteriors(contrast: Any) -> None:
    r"""KL(q(z|x) || p(z)) of 0.61 nats, within 0.08; both contrasts.

    Of seeds 0 to 9 the largest error was 0.05; the seed is 0. Moments of 64 draws hide 2 / 64.
    """
    scale = torch.tensor([0.5, 0.8])

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(x / 2, scale).to_event(1))

    objective = AVB((32, 32), contrast, moments=64)
    x = taught(objective, normal_model, guide, lambda n: torch.randn(n, 2))
    with torch.no_grad():
        estimate = objective.estimate(normal_model, guide, x)
    found = float(estimate.loss / len(x) + estimate.metrics["reconstruction"])
    p = dist.Normal(torch.zeros(2), 1.0)
    exact = torch.distributions.kl_divergence(dist.Normal(x / 2, scale), p).sum(-1).mean()
    assert found == pytest.approx(float(exact), abs=0.08)


@pytest.mark.parametrize("M", [8, 32])
def test_moments_hide_a_share_of_the_divergence(M: int) -> None:
    r"""The mean of log q - log r of a normal posterior is known, D / M nats and some more.

    With a critic that says nothing, all but the best there is. Of 20000 data the standard error is
    0.01 nats at most; the seed is 0.
    """

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(x, 0.7).to_event(1))

    objective = AVB((), "adaptive", moments=M)
    x = torch.zeros(20_000, 2)
    objective.loss(normal_model, guide, x)
    affine(objective, 0.0)
    with torch.no_grad():
        estimate = objective.estimate(normal_model, guide, x)
    terms = estimate.metrics
    found = float(terms["kl"] - (estimate.loss / len(x) + terms["reconstruction"]))
    # The expectation of the divergence of two normal laws over the mean and variance of a sample.
    half = torch.tensor((M - 1) / 2)
    log_variance = float(torch.digamma(half) - half.log())
    expected = log_variance + (1 + 1 / M) * (M - 1) / (M - 3) - 1
    assert found == pytest.approx(expected, abs=0.04) and found > 2 / M


# Losses, with a critic of which each number is known


@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize("slope", [0.0, 0.3])
def test_losses_by_hand(float64: None, K: int, slope: float) -> None:
    model, guide, x = vae(prior=GaussianMixture((2,), 3))
    kinds: dict[str, Adversarial] = {
        "Factor": Factor(7.0, (), K),
        "AAE": AAE(7.0, (), K),
        "AVB": AVB((), "prior", K, kl_weight=0.5),
    }
    for name, objective in kinds.items():
        objective.loss(model, guide, x)
        affine(objective, slope)
        torch.manual_seed(1)
        estimate = objective.estimate(model, guide, x)
        torch.manual_seed(1)
        w = log_weights(model, guide, x, K)
        z = w.sites["z"].value
        T = slope * z.sum(-1)
        penalty = {
            "Factor": (w.guide - w.prior + 7 * T).mean(0).sum(),
            "AAE": 7 * (1 + T.exp()).log().mean(0).sum(),
            "AVB": 0.5 * (T + slope * x.asinh().sum(-1)).mean(0).sum(),
        }[name]
        torch.testing.assert_close(estimate.loss, penalty - w.likelihood.mean(0).sum())
        assert float(estimate.metrics["elbo"]) == pytest.approx(float(w.log_weight.detach().mean()))


def test_adaptive_contrast_by_hand(float64: None) -> None:
    model, guide, x = vae(prior=LearnedNormal((2,)))
    objective = AVB((), "adaptive", particles=2, moments=3)
    objective.loss(model, guide, x)
    affine(objective, 0.3)
    torch.manual_seed(1)
    found = objective.differentiable_loss(model, guide, x)
    torch.manual_seed(1)
    w = log_weights(model, guide, x, 2)
    z, m = w.sites["z"].value, log_weights(model, guide, x, 3).sites["z"].value
    r = dist.Normal(m.mean(0), m.std(0))
    T = 0.3 * (x.asinh().sum(-1) + ((z - r.mean) / r.stddev).sum(-1))
    loss = (r.log_prob(z).sum(-1) - w.prior + T - w.likelihood).mean(0).sum()
    parameters = [*model.parameters(), *guide.parameters()]
    torch.testing.assert_close(
        torch.autograd.grad(found, parameters), torch.autograd.grad(loss, parameters)
    )


class Exact(nn.Module):
    r"""The best critic of normalized codes of a normal posterior.

    A draw less the mean of ``M`` others, over their standard deviation, is
    :math:`\sqrt{1 + 1 / M} \, t_{M - 1}`.
    """

    def __init__(self, M: int, D: int) -> None:
        super().__init__()
        self.law, self.D = torch.distributions.StudentT(M - 1.0, 0.0, math.sqrt(1 + 1 / M)), D

    def forward(self, v: Tensor) -> Tensor:
        u = v[..., -self.D :]
        return (self.law.log_prob(u) - torch.distributions.Normal(0.0, 1.0).log_prob(u)).sum(-1)


def test_adaptive_contrast_is_unbiased_for_the_guide(float64: None) -> None:
    r"""Under the best critic the guide's gradient is that of the divergence, for few moments too.

    Of 20 batches; a z-score of 4 is one seed in 16000, for each of two.
    """
    torch.manual_seed(0)
    D, M, n = 2, 8, 5000
    loc, scale = (torch.tensor(v, requires_grad=True) for v in (0.3, 0.5))

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(D), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(0 * z, 1.0).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(loc * torch.ones(len(x), D), scale).to_event(1))

    x = torch.zeros(n, D)
    objective = AVB((), "adaptive", moments=M)
    objective.loss(model, guide, x)
    objective.critic = Exact(M, D)  # type: ignore[assignment]
    found = torch.stack(
        [
            torch.stack(
                torch.autograd.grad(
                    objective.differentiable_loss(model, guide, x) / n, (loc, scale)
                )
            )
            for _ in range(20)
        ]
    )
    expected = torch.stack([D * loc.detach(), D * (scale.detach() - 1 / scale.detach())])
    z = (found.mean(0) - expected) / (found.std(0) / len(found) ** 0.5)
    assert (z.abs() < 4).all(), z


# Whose gradients they are


def held(objective: Adversarial, weights: Any, programs: Triple) -> Tensor:
    model, guide, x = programs
    return objective.held_prior(weights, match(model, guide, x)).mean(0).sum()


@pytest.mark.parametrize("build", [partial(vae, prior=GaussianMixture((2,), 3)), layers])
@pytest.mark.parametrize(("K", "vectorized"), [(1, True), (3, True), (3, False)])
def test_a_held_prior_moves_the_prior_alone(
    float64: None, build: Callable[[], Triple], K: int, vectorized: bool
) -> None:
    r"""Its value is log p(z) of the draws, its gradient that in the model's parameters alone."""
    model, guide, x = build()
    objective = AAE(hidden=(), particles=K, vectorized=vectorized)
    weights = objective.weights(model, guide, x)
    value = objective.held_prior(weights, match(model, guide, x))
    torch.testing.assert_close(value, weights.prior)
    g = torch.autograd.grad(value.sum(), list(guide.parameters()), allow_unused=True)
    assert all(part is None for part in g)
    values = {name: site.value.detach() for name, site in weights.sites.items()}
    exact = log_joint(model, x, values)[1].sum()
    owners = [p for name, p in model.named_parameters() if not name.startswith("likelihood")]
    torch.testing.assert_close(
        torch.autograd.grad(value.sum(), owners), torch.autograd.grad(exact, owners)
    )
    assert owners and all(
        part.any()
        for part in torch.autograd.grad(
            objective.held_prior(weights, match(model, guide, x)).sum(), owners
        )
    )


@pytest.mark.parametrize("build", [partial(vae, prior=LearnedNormal((2,))), layers])
@pytest.mark.parametrize("name", ["AAE", "AVB, prior"])
def test_gradients_go_to_whom_they_belong(
    float64: None, build: Callable[[], Triple], name: str
) -> None:
    r"""The guide follows the critic, and no path through log p(z); the prior log p(z) alone."""
    programs = build()
    model, guide, x = programs
    objective = ADVERSARIAL[name](particles=2)
    objective.loss(model, guide, x)
    torch.manual_seed(1)
    loss = objective.differentiable_loss(model, guide, x)
    torch.manual_seed(1)
    w = log_weights(model, guide, x, 2)
    z = codes_of(w)
    if name == "AAE":
        weight, match_term = 10.0, torch.nn.functional.softplus(objective.critic(z))
    else:
        rows = x.asinh().expand(2, *x.shape)
        weight, match_term = 1.0, objective.critic(torch.cat([rows, z], -1))
    critic = weight * match_term.mean(0).sum() - w.likelihood.mean(0).sum()
    mine, theirs = list(guide.parameters()), list(model.likelihood.parameters())
    torch.testing.assert_close(
        torch.autograd.grad(loss, mine + theirs, retain_graph=True),
        torch.autograd.grad(critic, mine + theirs, retain_graph=True),
    )
    prior = list(model.prior.parameters())
    expected = torch.autograd.grad(-weight * held(objective, w, programs), prior)
    torch.testing.assert_close(torch.autograd.grad(loss, prior), expected)
    assert all(g.any() for g in expected)


@each
def test_a_critic_follows_no_program(make: Callable[..., Adversarial]) -> None:
    model, guide, x = vae()
    objective = make()
    objective.loss(model, guide, x)
    loss = objective.discern(model, guide, x).loss
    programs = [*model.parameters(), *guide.parameters()]
    found = torch.autograd.grad(loss, programs, allow_unused=True, retain_graph=True)
    assert all(g is None for g in found)
    own = torch.autograd.grad(loss, list(objective.critic.parameters()))
    assert all(g.any() for g in own)


@each
def test_each_player_moves_its_own(make: Callable[..., Adversarial]) -> None:
    model, guide, x = vae(prior=LearnedNormal((2,)))
    svi = SVI(model, guide, adam, make(), compile="off")
    svi.prepare(x)
    programs = {id(p) for m in (model, guide) for p in m.parameters()}
    critic = {id(p) for p in svi.objective.parameters()}
    assert [p.name for p in svi.players] == ["programs", "critic"]
    assert [{id(p) for p in player.parameters} for player in svi.players] == [programs, critic]

    for player in svi.players:
        before = {k: p.detach().clone() for k, p in svi.parameters.items()}
        player.update(player.gradient(x)["gradients"])
        moved = {id(p) for k, p in svi.parameters.items() if not p.equal(before[k])}
        assert moved == {id(p) for p in player.parameters}


@each
def test_what_is_told(make: Callable[..., Adversarial]) -> None:
    model, guide, x = vae()
    svi = SVI(model, guide, adam, make(particles=2), compile="off")
    svi.step(x)
    assert {"elbo", "reconstruction", "kl"} <= svi.metrics.keys()
    told = {"critic_loss", "critic_accuracy", "critic_divergence"}
    assert {k for k in svi.metrics if k.startswith("critic")} == told
    assert not any(value.requires_grad for value in svi.metrics.values())
    estimate = svi.evaluate(x)
    assert not estimate.loss.requires_grad and estimate.size == len(x)

    if svi.objective.implicit and not isinstance(svi.objective, AVB):
        metrics = make().estimate(*vae(Delta((2,)))).metrics
        assert [*metrics] == ["reconstruction"]


# Codes


@pytest.mark.parametrize(("K", "vectorized"), [(1, True), (3, True), (3, False)])
def test_codes_of_all_sites(K: int, vectorized: bool) -> None:
    r"""Both programs' draws come in the order of names, whichever order they are drawn in."""
    model, guide, x = layers(Delta)
    objective = AAE(particles=K, vectorized=vectorized)
    z = codes_of(objective.weights(model, guide, x))
    drawn = objective.guide_codes(match(model, guide, x), K)
    prior = objective.prior_codes(match(model, guide, x), drawn)
    assert [*drawn] == [*prior] == ["z1", "z2"]
    assert joined(drawn).equal(z) and z.shape == (K, 6, 5)  # points: the same whenever drawn
    assert joined(prior).shape == z.shape and not joined(prior).requires_grad
    assert len(set(joined(prior)[..., 0].flatten().tolist())) == 6 * K


def test_draws_of_a_prior_are_joint() -> None:
    r"""A child from the parent of the same draw: correlated as in the model, within 0.05.

    Of 4000 draws that is 5 standard errors of a correlation of 0.8.
    """

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            u = pyro.sample("u", dist.Normal(0.0, 1.0))
            z = pyro.sample("z", dist.Normal(4 * u, 3.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(x, 1.0))
            pyro.sample("u", dist.Normal(-x, 1.0))

    objective = AAE(particles=4)
    y = joined(objective.prior_codes(match(model, guide, torch.randn(1000)), ["z", "u"]))
    assert float(torch.corrcoef(y.flatten(0, 1).mT)[0, 1]) == pytest.approx(0.8, abs=0.05)


@each
@pytest.mark.parametrize(("K", "vectorized"), [(1, True), (3, True), (3, False)])
@pytest.mark.parametrize("build", [vae, layers], ids=["one site", "two sites"])
def test_batches_of_any_size(
    make: Callable[..., Adversarial], build: Callable[[], Triple], K: int, vectorized: bool
) -> None:
    model, guide, x = build()
    svi = SVI(model, guide, adam, make(particles=K, vectorized=vectorized), compile="off")
    for n in (6, 1, 3):
        assert svi.step(x[:n]).isfinite() and svi.metrics["critic_loss"].isfinite()


OTHERS = [p for p in PROGRAMS if p not in ("categorical latent", "bernoulli latent", "nested")]


@each
@pytest.mark.parametrize("name", OTHERS)
def test_programs_of_any_kind(make: Callable[..., Adversarial], name: str) -> None:
    r"""Flows, mixtures, shared modules, two layers, functions with parameters in Pyro's store."""
    model, guide, x = PROGRAMS[name]()
    svi = SVI(model, guide, adam, make(particles=2), compile="off")
    assert svi.step(x).isfinite() and svi.metrics["critic_loss"].isfinite()
    held = [p for player in svi.players for p in player.parameters]
    assert len(held) == len(svi.parameters) and all(p.grad is not None for p in held)


@each
def test_a_minibatch_of_more_data(make: Callable[..., Adversarial]) -> None:
    r"""Numbers per datum, whatever the number of data that a minibatch stands for."""
    found = []

    for size in (6, 60):

        def model(x: Tensor, size: int = size) -> None:
            with pyro.plate("data", size, subsample=x):
                z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
                pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)

        def guide(x: Tensor, size: int = size) -> None:
            with pyro.plate("data", size, subsample=x):
                pyro.sample("z", dist.Normal(x / 2, 0.5).to_event(1))

        objective = make()
        torch.manual_seed(0)
        x = torch.randn(6, 2)
        objective.loss(model, guide, x)
        for p in objective.critic.parameters():
            nn.init.constant_(p, 0.1)
        torch.manual_seed(1)
        one, two = objective.estimate(model, guide, x), objective.discern(model, guide, x)
        found.append([float(e.loss.detach()) / e.size for e in (one, two)])
        assert one.size == size
    assert found[0] == pytest.approx(found[1], rel=1e-5)


# Trained


@pytest.mark.slow
@pytest.mark.parametrize(
    ("contrast", "steps", "nats"), [("adaptive", 400, 0.05), ("prior", 1200, 0.3)]
)
def test_linear_model_reaches_its_maximum(contrast: Any, steps: int, nats: float) -> None:
    r"""With a posterior that has no density, log p(x) comes within so much of the best, -6.06.

    It starts 2.8 nats below. Of seeds 0 to 4 it came within 0.015 nats with the adaptive contrast,
    and within 0.30 with the prior's, of which the critic has the harder task; the seed is 0.
    """
    torch.manual_seed(0)
    x = Linear(5, 2, scale=0.5)(n=500).detach()
    best = Linear.maximum_likelihood(x, 2).log_evidence(x).mean()
    model = Linear(5, 2)
    posterior = Implicit((2,), noise=4, features=16, hidden=(32,))
    guide = Amortized(Conditional((5,), posterior, mlp([32])))
    svi = SVI(model, guide, game, AVB((32, 32), contrast, moments=16), compile="fx")
    assert best - model.log_evidence(x).mean() > 2

    for _ in range(steps):
        svi.step(x[torch.randint(500, (100,))])
    assert 0 <= best - model.log_evidence(x).mean() < nats


POSTERIORS: dict[str, Callable[[tuple[int]], Family]] = {
    "Delta": Delta,
    "Implicit": lambda shape: Implicit(shape, noise=4, features=8, hidden=(16,)),
    "Normal": Normal,
}


SITES = [("one", name) for name in POSTERIORS] + [
    ("two", "Normal"),
    *(pytest.param("two", name, marks=pytest.mark.slow) for name in ("Delta", "Implicit")),
]


@pytest.mark.parametrize(("sites", "name"), SITES)
def test_codes_come_to_look_like_the_prior(sites: str, name: str) -> None:
    r"""By a discrepancy that has nothing to do with a critic: it falls below a third.

    Of seeds 0 to 4 it did in each case; the seed is 0.
    """
    torch.manual_seed(0)
    posterior = POSTERIORS[name]
    model, guide, _ = layers(posterior) if sites == "two" else vae(posterior((2,)))
    x = 2 + 3 * torch.randn(256, 5)
    objective = AAE(hidden=(32,))
    svi = SVI(model, guide, game, objective, compile="off")

    @torch.no_grad()
    def distance() -> float:
        pair = match(model, guide, x)
        z = objective.guide_codes(pair, 1)
        return float(mmd(joined(z)[0], joined(objective.prior_codes(pair, z))[0]))

    before = distance()
    for _ in range(300):
        svi.step(x)
    assert distance() < before / 3, (before, distance())


# Refusals


def test_masked_sites_are_refused() -> None:
    seen = torch.tensor([True, False, True])

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1), pyro.poutine.mask(mask=seen):
            pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(0.0, 1.0), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1), pyro.poutine.mask(mask=seen):
            pyro.sample("z", dist.Normal(x[:, None].expand(3, 2), 1.0).to_event(1))

    for make in ADVERSARIAL.values():
        with pytest.raises(ValueError, match=r"'z' is masked, or lies in a plate within"):
            make().loss(model, guide, torch.randn(3))
        with pytest.raises(ValueError, match=r"'bias' is masked, or lies in a plate within"):
            make().loss(*nested())


def test_sites_of_all_data_are_refused() -> None:
    def model(x: Tensor) -> None:
        shared = pyro.sample("shared", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(shared, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x: Tensor) -> None:
        pyro.sample("shared", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(x, 1.0))

    for make in ADVERSARIAL.values():
        with pytest.raises(ValueError, match=r"Site 'shared' lies outside of the plate of the da"):
            make().loss(model, guide, torch.randn(3))


@each
def test_discrete_posteriors_are_refused(make: Callable[..., Adversarial]) -> None:
    with pytest.raises(ValueError, match=r"site 'z' from Bernoulli do not pass; take a reparam"):
        make().loss(*PROGRAMS["bernoulli latent"]())


def test_guides_without_a_density() -> None:
    r"""The total correlation is beside an ELBO, and a divergence is not one of points."""
    with pytest.raises(ValueError, match=r"Site 'z' is drawn from Implicit, .* has no density"):
        Factor().loss(*vae(Implicit((2,))))
    for make in (ADVERSARIAL["AVB, prior"], ADVERSARIAL["AVB, adaptive"]):
        with pytest.raises(ValueError, match=r"'z' is a point, whose divergence .* AAE or WAE"):
            make().loss(*vae(Delta((2,))))
    for objective in (AAE(), AVB(), AVB(contrast="prior")):
        assert objective.loss(*vae(Implicit((2,)))).isfinite()


def test_surfaces_have_no_normal_law() -> None:
    programs = vae(PowerSpherical((2,)), SphericalUniform((2,)))
    with pytest.raises(ValueError, match=r"'z' lies on a surface.*take contrast='prior'"):
        AVB().loss(*programs)
    for objective in (AVB(contrast="prior"), AAE(), Factor()):
        assert objective.loss(*programs).isfinite()


@each
def test_a_critic_needs_a_player(make: Callable[..., Adversarial]) -> None:
    r"""Pyro's SVI knows of no second loss: the critic would stay as it was drawn."""
    model, guide, x = vae()
    stock = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), make())
    sentence = r"a network of its own, .*; use ppl_vae\.svi\.SVI"
    with pytest.raises(ValueError, match=sentence):
        stock.step(x)
    with pytest.raises(ValueError, match=sentence):
        make()(model, guide)(x)
    with pytest.raises(ValueError, match=sentence):
        make().loss_and_grads(model, guide, x)
    both = torch.optim.Adam([*model.parameters(), *guide.parameters()])
    with pytest.raises(ValueError, match=r"has 2 players with an optimizer each"):
        SVI(model, guide, both, make()).step(x)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Factor(-1.0), "weight of Factor must not be negative, got -1.0"),
        (lambda: AAE(-1.0), "weight of AAE must not be negative, got -1.0"),
        (lambda: AVB(contrast="none"), "is 'prior' or 'adaptive', got 'none'"),
        (lambda: AVB(moments=1), "need two draws or more, got 1"),
        (lambda: AAE(hidden=(8, 0)), "hidden layers of a critic need positive sizes"),
    ],
)
def test_refused(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


# Staged, and kept


@each
def test_replay_to_the_bit(make: Callable[..., Adversarial]) -> None:
    r"""A few steps of two particles, of programs of two sites, one of which is learned."""
    assert_replayed(layers, lambda: make(particles=2), adam)


def test_a_resumed_training_equals_an_uninterrupted_one(
    tmp_path: Path,
    stopping: Callable[[int], None],  # noqa: F811
) -> None:
    r"""The critic, which is sized by the first batch, and its optimizer are in the checkpoint."""
    options = [*SMALL, "--epochs", "3", "--objective", "AVB", "--posterior", "Implicit"]
    options += ["--objective.hidden", "[8]", "--objective.moments", "4", "--compile", "off"]
    whole = assert_resumes(tmp_path, stopping, options)

    tensors, rest = read(whole / "checkpoints" / "last.safetensors")
    assert {k: t.shape for k, t in tensors.items() if k.startswith("objective.critic")} == {
        "objective.critic.net.0.weight": (8, 66),
        "objective.critic.net.0.bias": (8,),
        "objective.critic.head.weight": (1, 8),
        "objective.critic.head.bias": (1,),
    }
    assert set(rest["players"]) == {"programs", "critic"}
    assert "optimizer.critic.0.exp_avg" in tensors
    row = Run(whole).history[-1]
    assert row["criterion"] == 3 and "train_critic_accuracy" in row and "train_elbo" not in row
