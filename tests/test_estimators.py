r"""Laws of gradient estimators: each has the mean that it claims, on exact expectations."""

import copy
import math
from collections.abc import Callable
from itertools import pairwise, product
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from estimator_cases import CASES, X, exact_gradient, exact_wake, quadrature
from program_cases import PROGRAMS, d
from torch import Tensor

from ppl_vae.conditional import Conditional
from ppl_vae.evaluation import signal_to_noise
from ppl_vae.experiments.benchmarks.signal import near_the_optimum
from ppl_vae.families import Normal
from ppl_vae.guides import Amortized
from ppl_vae.networks import mlp
from ppl_vae.objectives import (
    CIWAE,
    CUBO,
    ELBO,
    IWAE,
    MIWAE,
    NVIL,
    PIWAE,
    TVO,
    VIMCO,
    DReG,
    EnumELBO,
    MonteCarloEM,
    Objective,
    Renyi,
    ReweightedWakeSleep,
    StickingTheLanding,
    VRMax,
)

Surrogate = Callable[[Tensor, Tensor], Tensor]


def lme(log_w: Tensor) -> Tensor:
    return log_w.logsumexp(0) - math.log(len(log_w))


def power(alpha: float) -> Surrogate:
    return lambda joint, q: lme((1 - alpha) * (joint - q)) / (1 - alpha)


def halves(joint: Tensor, q: Tensor) -> Tensor:
    a, b = (joint - q).chunk(2)
    return (lme(a) + lme(b)) / 2


# Of each estimator that is unbiased in all parameters: the function whose expectation it follows.
UNBIASED: dict[str, tuple[Objective, int, Surrogate]] = {
    "ELBO": (ELBO(particles=2), 2, lambda joint, q: (joint - q).mean(0)),
    "IWAE": (IWAE(particles=2), 2, power(0.0)),
    "MIWAE": (MIWAE(groups=2, particles=1), 2, halves),
    "CIWAE": (
        CIWAE(weight=0.3, particles=2),
        2,
        lambda joint, q: 0.3 * (joint - q).mean(0) + 0.7 * lme(joint - q),
    ),
    "Renyi, 0.5": (Renyi(alpha=0.5, particles=2), 2, power(0.5)),
    "Renyi, -1": (Renyi(alpha=-1.0, particles=2), 2, power(-1.0)),
    "Renyi, 2": (Renyi(alpha=2.0, particles=2), 2, power(2.0)),
    "Renyi, 1": (Renyi(alpha=1.0, particles=2), 2, lambda joint, q: (joint - q).mean(0)),
    "Renyi, 0.995": (Renyi(alpha=0.995, particles=2), 2, power(0.995)),
    "StickingTheLanding": (StickingTheLanding(2), 2, lambda joint, q: (joint - q).mean(0)),
    "DReG": (DReG(particles=2), 2, power(0.0)),
    "DReG, 0.5": (DReG(particles=2, alpha=0.5), 2, power(0.5)),
    "DReG, looped": (DReG(particles=2, vectorized=False), 2, power(0.0)),
    "VIMCO": (VIMCO(particles=2), 2, power(0.0)),
}
RUNS = 100_000


def estimated(case: str, objective: Objective, runs: int = RUNS) -> dict[str, Tensor]:
    r"""The gradient of the value in each run's own parameters, each with shape ``(runs,)``."""
    torch.manual_seed(0)
    p = CASES[case].expanded(runs)
    loss = objective.differentiable_loss(*CASES[case].programs(p), torch.full((runs,), X))
    return dict(zip(p, torch.autograd.grad(-loss, list(p.values())), strict=True))


def check_means(found: dict[str, Tensor], exact: dict[str, Tensor]) -> None:
    r"""Z-scores below 4.5: of one mean, fails once in 150000."""
    assert max(g.abs() for g in exact.values()) > 0.01

    for name, g in found.items():
        error = g.std() / len(g) ** 0.5
        assert float((g.mean() - exact[name]).abs()) <= 4.5 * float(error) + 1e-7, name


@pytest.mark.parametrize("beta", [1.0, 0.3])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", UNBIASED)
def test_unbiased(float64: None, name: str, case: str, beta: float) -> None:
    r"""The mean gradient is that of the exact expectation, by quadrature.

    With 300 means, it fails once in 500, at seed 0.
    """
    objective, K, f = UNBIASED[name]
    objective = copy.deepcopy(objective)
    objective.kl_weight = beta
    nodes = 80 if CASES[case].sites == 1 else 16
    exact = exact_gradient(CASES[case], K, f, nodes, float(objective.beta))
    check_means(estimated(case, objective), exact)


def test_the_largest_weight(float64: None) -> None:
    r"""VRMax has a kink, where quadrature is poor: its gradient passes through one particle."""
    p = CASES["one site"].expanded(50)
    x = torch.full((50,), X, dtype=torch.float64)
    programs = CASES["one site"].programs(p)
    objective = VRMax(particles=3)
    torch.manual_seed(0)
    w = objective.weights(*programs, x)
    best = w.log_weight.gather(0, w.log_weight.argmax(0, keepdim=True)).sum()
    torch.manual_seed(0)
    loss = objective.differentiable_loss(*programs, x)

    for a, b in zip(
        torch.autograd.grad(best, list(p.values())),
        torch.autograd.grad(-loss, list(p.values())),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


# Estimators that follow one function in the model, and another in the guide.


SPLIT: dict[str, tuple[Objective, int, Surrogate, Surrogate]] = {
    "PIWAE": (PIWAE(groups=2, particles=1), 2, power(0.0), halves),
    "CUBO": (CUBO(particles=2), 2, power(0.0), lambda joint, q: -power(-1.0)(joint, q)),
    "CUBO, 3": (
        CUBO(particles=2, order=3.0),
        2,
        power(0.0),
        lambda joint, q: -power(-2.0)(joint, q),
    ),
    "MonteCarloEM": (
        MonteCarloEM(particles=2),
        2,
        power(0.0),
        lambda joint, q: (joint - q).mean(0),
    ),
    "MonteCarloEM, looped": (
        MonteCarloEM(particles=2, vectorized=False),
        2,
        power(0.0),
        lambda joint, q: (joint - q).mean(0),
    ),
}


@pytest.mark.parametrize("case", ["one site", "two sites"])
@pytest.mark.parametrize(
    ("name", "beta"),
    [(k, beta) for k in SPLIT for beta in (1.0, 0.3) if SPLIT[k][0].weighted or beta == 1],
)
def test_split(float64: None, name: str, case: str, beta: float) -> None:
    r"""Model and guide each follow the function that is theirs; with 64 means, once in 2000."""
    objective, K, of_model, of_guide = SPLIT[name]
    objective = copy.deepcopy(objective)
    objective.kl_weight = beta
    nodes = 80 if CASES[case].sites == 1 else 16
    beta = float(objective.beta)
    model = exact_gradient(CASES[case], K, of_model, nodes, beta)
    guide = exact_gradient(CASES[case], K, of_guide, nodes, beta)
    own = CASES[case].guide_parameters
    exact = {k: guide[k] if k in own else model[k] for k in model}
    check_means(estimated(case, objective), exact)


# Estimators with normalized weights, whose bias goes as 1 / K.


def left_sum(points: Tensor, log_w: Tensor, log_measure: Tensor) -> Tensor:
    r"""The thermodynamic sum of exact expectations, by the nodes of a quadrature."""
    terms = [
        ((t * log_w + log_measure).softmax(0) * log_w).sum(0) * (s - t) for t, s in pairwise(points)
    ]
    return torch.stack(terms).sum()


@pytest.mark.parametrize("beta", [1.0, 0.3])
@pytest.mark.parametrize("case", CASES)
def test_thermodynamic(float64: None, case: str, beta: float) -> None:
    r"""With many particles, the gradient is that of the sum of exact expectations.

    At 4000 particles the bias is far below a standard error. With 20 means below 4.5, it fails
    once in 7000, at seed 0.
    """
    objective = TVO(particles=4000, partitions=4, first=0.1, kl_weight=beta)
    p = CASES[case].scalars()
    noise, weights = quadrature(CASES[case].sites, 60)
    likelihood, prior, q = CASES[case].densities(p, p, noise)
    log_w = likelihood + beta * (prior - q)
    value = left_sum(objective.points.double(), log_w, weights.log())
    exact = dict(zip(p, torch.autograd.grad(value, list(p.values())), strict=True))
    check_means(estimated(case, objective, 600), exact)


@pytest.mark.parametrize("beta", [1.0, 0.3])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize(
    "objective",
    [
        ReweightedWakeSleep(particles=2),
        DReG(particles=2, wake=True),
        DReG(particles=2, wake=True, vectorized=False),
    ],
    ids=["scores", "paths", "paths, looped"],
)
def test_wake_of_few_particles(float64: None, objective: Objective, case: str, beta: float) -> None:
    r"""The bias of normalized weights is one of both estimators; with 70 means, once in 2000."""
    objective = copy.deepcopy(objective)
    objective.kl_weight = beta
    nodes = 80 if CASES[case].sites == 1 else 16
    exact = exact_wake(CASES[case], 2, nodes, float(objective.beta))
    check_means(estimated(case, objective), exact)


@pytest.mark.parametrize("case", ["one site", "two sites"])
def test_wake(float64: None, case: str) -> None:
    r"""The model follows log p(x), the guide covers the posterior; fails once in 15000."""
    p = CASES[case].scalars()
    fixed = {k: v.detach() for k, v in p.items()}
    noise, weights = quadrature(CASES[case].sites, 60)
    likelihood, prior, q = CASES[case].densities(fixed, p, noise)
    joint = likelihood + prior
    v = (joint - q + weights.log()).softmax(0).detach()
    own = CASES[case].guide_parameters
    guide = torch.autograd.grad((v * q).sum(), [p[k] for k in own], retain_graph=True)
    model = torch.autograd.grad((v * joint).sum(), [p[k] for k in p if k not in own])
    exact = dict(zip(own, guide, strict=True))
    exact |= dict(zip((k for k in p if k not in own), model, strict=True))
    check_means(estimated(case, ReweightedWakeSleep(4000), 600), exact)


def test_sleep(float64: None) -> None:
    r"""The guide learns from what the model draws, in a minibatch. Fails once in 40000, at seed 0.

    For z ~ N(0.2, 1) and x ~ N(1.3 z, 0.7), all moments are known.
    """
    a = torch.full((RUNS,), 0.3, requires_grad=True)
    c = torch.full((RUNS,), -0.1, requires_grad=True)

    def model(x: Tensor | None = None, n: int = 1) -> None:
        with pyro.plate("data", 10 * RUNS, subsample_size=RUNS, dim=-1):
            z = pyro.sample("z", dist.Normal(torch.full((RUNS,), 0.2), 1.0))
            pyro.sample("x", dist.Normal(1.3 * z, 0.7), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", 10 * RUNS, subsample_size=RUNS, dim=-1):
            pyro.sample("z", dist.Normal(a * x, c.exp()))

    loss = ReweightedWakeSleep(particles=2, phase="sleep").differentiable_loss(
        model, guide, torch.full((RUNS,), X)
    )
    found = torch.autograd.grad(-loss / 10, [a, c])
    zz, zx, xx = 1.04, 1.3 * 1.04, 1.69 * 1.04 + 0.49
    precision = math.exp(0.2)
    exact = {
        "a": precision * torch.tensor(zx - 0.3 * xx),
        "c": precision * torch.tensor(zz - 0.6 * zx + 0.09 * xx) - 1,
    }
    check_means(dict(zip("ac", found, strict=True)), exact)


def test_both_phases_are_halves(float64: None) -> None:
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    found = {}

    for phase in "wake", "sleep", "both":
        torch.manual_seed(1)
        loss = ReweightedWakeSleep(3, phase).differentiable_loss(model, guide, x)
        found[phase] = torch.autograd.grad(loss, list(guide.parameters()))

    for wake, sleep, both in zip(*found.values(), strict=True):
        torch.testing.assert_close(both, (wake + sleep) / 2)
    assert not torch.equal(found["wake"][0], found["sleep"][0])


# Latent variables that are not reparameterized.


LOGIT = {"a": 0.4, "b": -0.3}
STATES = torch.tensor(list(product([0.0, 1.0], repeat=2)), dtype=torch.float64)


def coins(p: dict[str, Tensor]) -> tuple[Any, Any]:
    r"""Two coins, the second of which depends on the first, in both programs."""

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            u = pyro.sample("u", dist.Bernoulli(logits=torch.tensor(0.2)))
            z = pyro.sample("z", dist.Bernoulli(logits=u - 0.6))
            pyro.sample("x", dist.Normal(u - 2 * z, 0.7), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            u = pyro.sample("u", dist.Bernoulli(logits=p["a"]))
            pyro.sample("z", dist.Bernoulli(logits=p["b"] + u))

    return model, guide


def coin_densities(p: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    u, z = STATES.unbind(1)
    joint = (
        dist.Bernoulli(logits=torch.tensor(0.2)).log_prob(u)
        + dist.Bernoulli(logits=u - 0.6).log_prob(z)
        + dist.Normal(u - 2 * z, 0.7).log_prob(torch.tensor(X))
    )
    q = dist.Bernoulli(logits=p["a"]).log_prob(u) + dist.Bernoulli(logits=p["b"] + u).log_prob(z)
    return joint, q


def enumerated(K: int, f: Surrogate) -> dict[str, Tensor]:
    r"""The exact gradient: all 4 ** K joint draws, summed out."""
    p = {k: torch.tensor(v, requires_grad=True) for k, v in LOGIT.items()}
    joint, q = coin_densities(p)
    draws = torch.tensor(list(product(range(4), repeat=K))).mT
    mean = (q[draws].sum(0).exp() * f(joint[draws], q[draws])).sum()
    return dict(zip(p, torch.autograd.grad(mean, list(p.values())), strict=True))


def of_coins(objective: Objective, runs: int) -> dict[str, Tensor]:
    torch.manual_seed(0)
    p = {k: torch.full((runs,), v, requires_grad=True) for k, v in LOGIT.items()}
    loss = objective.differentiable_loss(*coins(p), torch.full((runs,), X))
    return dict(zip(p, torch.autograd.grad(-loss, list(p.values())), strict=True))


DISCRETE = {k: v for k, v in UNBIASED.items() if not k.startswith(("DReG", "Sticking"))} | {
    "VIMCO, 4": (VIMCO(particles=4), 4, power(0.0)),
    "VRMax": (VRMax(particles=3), 3, lambda joint, q: (joint - q).amax(0)),
    "MonteCarloEM": (MonteCarloEM(particles=2), 2, lambda joint, q: (joint - q).mean(0)),
}


@pytest.mark.parametrize("name", DISCRETE)
def test_unbiased_of_coins(float64: None, name: str) -> None:
    r"""With 28 means, it fails once in 5000, at seed 0. RenyiELBO of Pyro gives zero here."""
    objective, K, f = DISCRETE[name]
    check_means(of_coins(objective, RUNS), enumerated(K, f))


def test_vimco_has_less_variance(float64: None) -> None:
    a, b = (of_coins(o, 20_000) for o in (IWAE(particles=8), VIMCO(particles=8)))
    for name in a:
        assert b[name].var() < 0.2 * a[name].var()


def test_nvil(float64: None) -> None:
    r"""Its direction is the ELBO's, its length by the running standard deviation.

    Fails once in 75000, at seed 0.
    """
    objective = NVIL().eval()
    objective.mean.fill_(-3.0)
    objective.variance.fill_(4.0)
    exact = enumerated(1, lambda joint, q: (joint - q).mean(0))
    check_means(of_coins(objective, RUNS), {k: v / 2 for k, v in exact.items()})


def test_nvil_learns_its_baseline(float64: None) -> None:
    r"""Its error falls, its mean and variance follow the signal, and its value is the ELBO."""
    objective = NVIL(particles=4)
    p = {k: torch.full((64,), v) for k, v in LOGIT.items()}
    programs = coins(p)
    x = torch.randn(64)
    objective.loss(*programs, x)  # sizes the baseline
    optimizer = torch.optim.Adam(objective.parameters(), lr=1e-2)
    before = [t.clone() for t in objective.parameters()]

    for _ in range(300):
        optimizer.zero_grad()
        objective.loss_and_grads(*programs, x)
        optimizer.step()

    w = ELBO(particles=200).weights(*programs, x).log_weight.mean(0)
    predicted = objective._predict((x,), {}, objective.weights(*programs, x)).detach()
    residual = w - predicted - objective.mean
    assert all(not torch.equal(a, b) for a, b in zip(before, objective.parameters(), strict=True))
    assert residual.square().mean() < 0.3 * w.var()
    torch.manual_seed(1)
    loss = objective.loss(*programs, x)
    torch.manual_seed(1)
    torch.testing.assert_close(loss, ELBO(particles=4).loss(*programs, x))


def test_enumeration(float64: None) -> None:
    r"""The ELBO and its gradient, without variance; Pyro's own estimator is another objective's."""
    p = {k: torch.tensor(v, requires_grad=True) for k, v in LOGIT.items()}
    loss = EnumELBO().differentiable_loss(*coins(p), torch.full((1,), X))
    joint, q = coin_densities(p)
    exact = (q.exp() * (joint - q)).sum()
    torch.testing.assert_close(-loss, exact, rtol=1e-12, atol=0)

    for a, b in zip(
        torch.autograd.grad(-loss, list(p.values())),
        torch.autograd.grad(exact, list(p.values())),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_thermodynamic_of_coins(float64: None) -> None:
    r"""Fails once in 75000, at seed 0."""
    objective = TVO(particles=4000, partitions=4, first=0.1)
    p = {k: torch.tensor(v, requires_grad=True) for k, v in LOGIT.items()}
    joint, q = coin_densities(p)
    # The nodes are the states; their measure is the guide's, which the path of no draw follows.
    value = left_sum(objective.points.double(), joint - q, q)
    exact = dict(zip(p, torch.autograd.grad(value, list(p.values())), strict=True))
    check_means(of_coins(objective, 600), exact)


def test_wake_of_coins(float64: None) -> None:
    r"""Fails once in 75000, at seed 0."""
    p = {k: torch.tensor(v, requires_grad=True) for k, v in LOGIT.items()}
    joint, q = coin_densities(p)
    value = (joint.softmax(0) * q).sum()
    exact = dict(zip(p, torch.autograd.grad(value, list(p.values())), strict=True))
    check_means(of_coins(ReweightedWakeSleep(4000), 600), exact)


# Variance at the optimum.


@pytest.mark.parametrize(
    "objective", [StickingTheLanding(4), DReG(particles=4), DReG(particles=4, wake=True)]
)
def test_no_variance_at_the_optimum(float64: None, objective: Objective) -> None:
    r"""Where the guide is exact, the guide's gradient is zero, draw by draw; IWAE's is not."""
    spread = {}

    for o in (objective, IWAE(particles=4)):
        model, _, x = PROGRAMS["linear"]()
        exact = model.posterior(x)
        loc = exact.mean.detach().requires_grad_()
        tril = exact.scale_tril.detach().requires_grad_()

        def program(x: Tensor, loc: Tensor = loc, tril: Tensor = tril) -> None:
            with pyro.plate("data", len(x), dim=-1):
                pyro.sample("z", dist.MultivariateNormal(loc, scale_tril=tril))

        loss = o.differentiable_loss(model, program, x)
        found = torch.autograd.grad(loss, [loc, tril])
        spread[type(o)] = max(float(g.abs().max()) for g in found)

    assert spread[type(objective)] < 1e-12 < 0.1 < spread[IWAE]


@pytest.mark.parametrize(
    "objective", [DReG(), StickingTheLanding(), CUBO(), PIWAE()], ids=lambda o: type(o).__name__
)
def test_needs_reparameterized_sites(objective: Objective) -> None:
    p = {k: torch.tensor(v, requires_grad=True) for k, v in LOGIT.items()}
    with pytest.raises(ValueError, match=r"site 'u' from Bernoulli do not pass; take a repara"):
        objective.loss(*coins(p), torch.zeros(3))


def test_enumeration_says_what_it_cannot_do() -> None:
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    with pytest.raises(ValueError, match=r"sums out discrete sites, and the guide draws none"):
        EnumELBO().check(model, guide, x)
    model, guide, x = PROGRAMS["bernoulli latent"]()
    with pytest.raises(
        ValueError, match=r"values of site 'z', from Independent.*Take the posterior OneHot"
    ):
        EnumELBO().check(model, guide, x)


# Signal and noise.


@pytest.mark.slow
def test_signal_to_noise() -> None:
    r"""Of a guide it falls under IWAE as particles are added, and rises under DReG.

    Theory has a factor of 2.8, and its inverse, where 1.8 and 1.4 are asked for, at seed 0: in
    twenty seeds the least were 2.1 and 1.7.
    """
    model, guide, x = near_the_optimum()
    few, many = (
        [
            signal_to_noise(objective(particles=K), model, guide, x, draws=60)["guide"]
            for objective in (IWAE, DReG)
        ]
        for K in (4, 32)
    )
    assert few[0] > 1.8 * many[0] and many[1] > 1.4 * few[1] and few[1] > few[0]


def test_signal_to_noise_by_hand(float64: None) -> None:
    r"""The mean over the standard deviation of gradients, made one by one; nothing is changed."""
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    torch.manual_seed(3)
    parameters = list(guide.parameters())
    rows = []
    for _ in range(7):
        loss = IWAE(3).differentiable_loss(model, guide, x)
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, parameters)]))

    stacked = torch.stack(rows)
    noisy = stacked.std(0) > 0
    expected = (stacked.mean(0).abs() / stacked.std(0))[noisy].mean()
    state = torch.get_rng_state()
    found = signal_to_noise(IWAE(3), model, guide, x, draws=7, seed=3)
    assert found["guide"] == pytest.approx(float(expected), rel=1e-6)
    assert torch.equal(state, torch.get_rng_state())
    assert all(p.grad is None for p in parameters)

    with pytest.raises(ValueError, match="two draws or more"):
        signal_to_noise(IWAE(), model, guide, x, draws=1)
    with pytest.raises(ValueError, match="the programs hold none"):
        signal_to_noise(IWAE(), print, print, x)


def test_signal_is_of_the_loss_that_a_player_follows(float64: None) -> None:
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    objective = MonteCarloEM(particles=3)
    found = signal_to_noise(objective, model, guide, x, draws=5, seed=3)

    for name, program, loss in (
        ("guide", guide, objective.expectation),
        ("model", model, objective.maximization),
    ):
        torch.manual_seed(3)
        parameters = list(program.parameters())
        drawn = [torch.autograd.grad(loss(model, guide, x).loss, parameters) for _ in range(5)]
        rows = [torch.cat([g.flatten() for g in gradient]) for gradient in drawn]
        mean, noise = torch.stack(rows).mean(0), torch.stack(rows).std(0)
        assert found[name] == pytest.approx(float((mean.abs() / noise)[noise > 0].mean()), rel=1e-6)


def test_signal_of_a_guide_that_takes_the_index() -> None:
    model, _, x = PROGRAMS["normal, bernoulli"]()

    class Indexed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.loc = torch.nn.Parameter(torch.zeros(len(x), d))

        def forward(self, x: torch.Tensor, index: torch.Tensor) -> None:
            with pyro.plate("data", len(x), dim=-1):
                pyro.sample("z", dist.Normal(self.loc[index], 1.0).to_event(1))

    batch = {"x": x, "index": torch.arange(len(x))}
    assert signal_to_noise(ELBO(), model, Indexed(), batch, draws=3)["guide"] > 0


def test_a_guide_with_dropout_is_refused_where_it_is_run_twice() -> None:
    r"""Draws of one mask would be scored under another, and lower bounds lie above log p(x)."""
    net = mlp([8], dropout=0.5)
    model, _, x = PROGRAMS["normal, bernoulli"]()
    guide = Amortized(Conditional(x.shape[1:], Normal(model.prior.event_shape), net))

    for objective in (DReG(), StickingTheLanding(), CUBO(), PIWAE()):
        with pytest.raises(ValueError, match=r"runs the guide twice.*dropout in its network"):
            objective.differentiable_loss(model, guide, x)
        guide.eval()
        assert objective.differentiable_loss(model, guide, x).isfinite()
        guide.train()
    assert IWAE().differentiable_loss(model, guide, x).isfinite()


def test_weights_of_zero() -> None:
    r"""Draws outside of the prior's support have none; values and gradients stay finite."""
    p = {"a": torch.tensor(0.3, requires_grad=True)}

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Bernoulli(torch.tensor(0.0)))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Bernoulli(logits=p["a"]))

    for objective in (IWAE(6), VIMCO(6), TVO(6, partitions=2)):
        torch.manual_seed(0)
        with pyro.validation_enabled(False):
            loss = objective.differentiable_loss(model, guide, torch.zeros(5))
        (g,) = torch.autograd.grad(loss, list(p.values()))
        assert g.isfinite(), objective
