r"""Laws of objectives: bounds, gradients, and equality with Pyro's own."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise, product
from typing import Any

import pyro
import pyro.distributions as dist
import pyro.infer
import pytest
import torch
from program_cases import PROGRAMS
from pyro import poutine
from torch import Tensor, nn

from ppl_vae.conditional import Conditional
from ppl_vae.families import Normal
from ppl_vae.guides import Amortized
from ppl_vae.models import Linear
from ppl_vae.networks import mlp
from ppl_vae.objectives import (
    ELBO,
    IWAE,
    LinearWarmup,
    MeanFieldELBO,
    Objective,
    PyroObjective,
    as_objective,
)
from ppl_vae.svi import SVI
from ppl_vae.weights import log_weights

OBJECTIVES: dict[str, Callable[..., Objective]] = {
    "ELBO": ELBO,
    "MeanFieldELBO": MeanFieldELBO,
    "IWAE": IWAE,
}
objectives = pytest.mark.parametrize("objective", OBJECTIVES.values(), ids=OBJECTIVES)


def subsampled() -> tuple[Any, Any, Tensor]:
    r"""A minibatch of 4 among 50 data, with a latent variable that all of them share."""
    mu, slope = nn.Parameter(torch.tensor(0.2)), nn.Parameter(torch.tensor(0.3))

    def model(x: Tensor) -> None:
        shared = pyro.sample("shared", dist.Normal(0.0, 1.0))
        with pyro.plate("data", 50, subsample=x):
            z = pyro.sample("z", dist.Normal(pyro.param("mu", mu) + shared, 1.0))
            pyro.sample("x", dist.Normal(z, 0.5), obs=x)

    def guide(x: Tensor) -> None:
        pyro.sample("shared", dist.Normal(pyro.param("loc", torch.tensor(0.1)), 0.5))
        with pyro.plate("data", 50, subsample=x):
            pyro.sample("z", dist.Normal(pyro.param("slope", slope) * x, 0.8))

    return model, guide, torch.randn(4)


def coins() -> tuple[Any, Any, Tensor]:
    r"""A minibatch with a shared coin and one coin per datum, none of them reparameterized."""

    def model(x: Tensor) -> None:
        shared = pyro.sample("shared", dist.Bernoulli(0.4))
        with pyro.plate("data", 20, subsample=x):
            z = pyro.sample("z", dist.Bernoulli(logits=shared - 0.5))
            u = pyro.sample("u", dist.Normal(z, 1.0))
            pyro.sample("x", dist.Normal(pyro.param("a", torch.tensor(0.7)) * u, 0.5), obs=x)

    def guide(x: Tensor) -> None:
        pyro.sample("shared", dist.Bernoulli(logits=pyro.param("b", torch.tensor(0.1))))
        with pyro.plate("data", 20, subsample=x):
            z = pyro.sample("z", dist.Bernoulli(logits=pyro.param("c", torch.tensor(1.0)) * x))
            pyro.sample("u", dist.Normal(pyro.param("e", torch.tensor(0.5)) * z, 0.8))

    return model, guide, torch.randn(4)


def masked() -> tuple[Any, Any, Tensor]:
    seen = torch.tensor([True, False, True, True])

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1), poutine.mask(mask=seen):
            z = pyro.sample("z", dist.Normal(pyro.param("mu", torch.tensor(0.3)), 1.0))
            pyro.sample("x", dist.Normal(z, 0.5), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1), poutine.mask(mask=seen):
            pyro.sample("z", dist.Normal(pyro.param("slope", torch.tensor(0.3)) * x, 0.8))

    return model, guide, torch.randn(4)


EQUAL = {**PROGRAMS, "subsampled": subsampled, "masked": masked, "coins": coins}
DISCRETE = ("categorical latent", "bernoulli latent", "coins")
ELBO_CASES = [(ELBO, pyro.infer.Trace_ELBO, name) for name in EQUAL] + [
    (MeanFieldELBO, pyro.infer.TraceMeanField_ELBO, name)
    for name in EQUAL
    if name not in (*DISCRETE, "hierarchical")
]


def leaves(model: Any, guide: Any) -> dict[str, Tensor]:
    r"""All parameters of two programs, by name."""
    modules = {"model": model, "guide": guide}
    named = {
        f"{role}.{name}": p
        for role, m in modules.items()
        if isinstance(m, nn.Module)
        for name, p in m.named_parameters()
    }
    return named | dict(pyro.get_param_store().named_parameters())


def gradients(loss: Tensor, model: Any, guide: Any) -> dict[str, Tensor]:
    named = leaves(model, guide)
    grads = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {k: torch.zeros(()) if g is None else g for k, g in zip(named, grads, strict=True)}


# Equality with Pyro


@pytest.mark.parametrize(("K", "vectorized"), [(1, False), (4, True), (4, False)])
@pytest.mark.parametrize(("ours", "theirs", "name"), ELBO_CASES)
def test_equals_pyro(
    float64: None, ours: Any, theirs: Any, name: str, K: int, vectorized: bool
) -> None:
    r"""One seed, one loss, one gradient."""
    model, guide, x = EQUAL[name]()
    found = []

    for objective in (
        ours(particles=K, vectorized=vectorized),
        theirs(num_particles=K, vectorize_particles=vectorized),
    ):
        objective.loss(model, guide, x)  # Pyro's counts plates with the first draws
        torch.manual_seed(1)
        loss = objective.loss(model, guide, x)
        torch.manual_seed(1)
        surrogate = objective.differentiable_loss(model, guide, x)
        found.append((loss, gradients(surrogate, model, guide)))

    (a, ga), (b, gb) = found
    assert float(a) == pytest.approx(float(b), rel=1e-10)
    assert ga and ga.keys() == gb.keys() and any(g.abs().sum() > 0 for g in ga.values())

    for key in ga:
        torch.testing.assert_close(ga[key], gb[key], rtol=1e-7, atol=1e-9, msg=key)


@pytest.mark.parametrize("K", [1, 3])
@objectives
def test_interface(objective: Any, K: int) -> None:
    r"""Loss, differentiable loss, gradients, and the call of a module agree."""
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    o = objective(particles=K)
    calls: list[Callable[[], Tensor]] = [
        lambda: o.loss(model, guide, x),
        lambda: o.differentiable_loss(model, guide, x),
        lambda: o.loss_and_grads(model, guide, x),
        lambda: o.estimate(model, guide, x=x).loss,
        lambda: o(model, guide)(x),
    ]
    losses = []

    for call in calls:
        torch.manual_seed(1)
        losses.append(call())

    assert all(isinstance(loss, Tensor) and loss.shape == () for loss in losses)
    assert all(float(loss.detach()) == float(losses[0]) for loss in losses)
    assert [loss.requires_grad for loss in losses] == [False, True, False, True, True]
    assert o.step == 1 and isinstance(o, pyro.infer.ELBO) and isinstance(o, nn.Module)
    assert all(p.grad is not None for p in leaves(model, guide).values())


# Bounds


def wrong() -> tuple[Linear, Amortized, Tensor]:
    r"""Probabilistic PCA and a guide that is off: wide, and shifted."""
    model = Linear(5, 2, scale=0.7)

    def posterior(x: Tensor) -> Any:
        exact = model.posterior(x)
        return dist.Normal(exact.mean + 0.3, 1.5 * exact.stddev).to_event(1)

    return model, Amortized(posterior), model(n=3).detach()


def bounds(objective: Objective, programs: tuple[Any, Any], x: Tensor, runs: int) -> Tensor:
    r"""Independent draws of a bound on the sum over data: copies of them in one batch."""
    copies = x.repeat_interleave(runs, 0)
    weights = objective.weights(*programs, copies)
    log_w = weights.log_weight.detach()
    per_datum = (
        log_w.logsumexp(0) - math.log(len(log_w)) if isinstance(objective, IWAE) else log_w.mean(0)
    )
    total = -objective.loss_of(weights).detach()
    divisor = 1 if isinstance(objective, IWAE) else objective.particles / len(log_w)
    torch.testing.assert_close(per_datum.sum(), total * divisor)
    return per_datum.reshape(len(x), runs).sum(0)


def test_order(float64: None) -> None:
    r"""ELBO <= IWAE-2 <= IWAE-8 <= log p(x), apart by many standard errors.

    A false alarm needs 4 standard errors the wrong way: 1 in 30000, at seed 0.
    """
    model, guide, x = wrong()
    runs = 4000
    ladder = [ELBO(), IWAE(particles=2), IWAE(particles=8)]
    draws = [bounds(o, (model, guide), x, runs) for o in ladder]
    means = [d.mean() for d in draws]
    errors = [d.std() / runs**0.5 for d in draws]

    for (a, b), (s, t) in zip(pairwise(means), pairwise(errors), strict=True):
        assert b - a > 4 * (s**2 + t**2) ** 0.5
    assert model.log_evidence(x).sum() - means[-1] > 4 * errors[-1]


@objectives
@pytest.mark.parametrize("K", [1, 6])
def test_exact_guide(float64: None, objective: Any, K: int) -> None:
    r"""Where the guide is the posterior, every bound is log p(x), without variance."""
    model, guide, x = PROGRAMS["linear"]()
    loss = objective(particles=K).loss(model, guide, x)

    torch.testing.assert_close(-loss, model.log_evidence(x).sum(), rtol=1e-12, atol=0)


def test_torch_knows_no_more_divergences_than_before() -> None:
    r"""Those of this library are of its own classes: programs of others stay what they were."""
    p = dist.MultivariateNormal(torch.zeros(2), torch.eye(2))
    with pytest.raises(NotImplementedError):
        torch.distributions.kl_divergence(p, dist.Normal(torch.zeros(2), 1.0).to_event(1))


def test_mean_field_is_the_elbo(float64: None) -> None:
    r"""With divergences in closed form the loss has a variance of its own, and the same mean.

    The z-scores of 3 data stay below 4.5: fails once in 50000, at seed 0.
    """
    model, guide, x = wrong()
    w = log_weights(model, guide, x, 20_000)
    closed = w.likelihood - w.sites["z"].kl()
    difference = (closed - w.log_weight).detach()
    z = difference.mean(0) / (difference.std(0) / len(difference) ** 0.5)

    assert difference.std(0).min() > 0.1 and z.abs().max() < 4.5
    assert float(MeanFieldELBO(len(closed)).loss_of(w).detach()) == pytest.approx(
        -float(closed.detach().mean(0).sum())
    )


def test_iwae_of_a_minibatch(float64: None) -> None:
    r"""The scale of a minibatch stays outside of the logarithm, so IWAE stays a bound.

    A conjugate model, in nats per datum: RenyiELBO is above log p(x) by more than 20 standard
    errors, IWAE-50 below or within 4 (fails once in 16000, at seed 0).
    """
    size, x = 100, torch.randn(10)

    def model(x: Tensor, n: int) -> None:
        with pyro.plate("data", n, subsample=x):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x: Tensor, n: int) -> None:
        with pyro.plate("data", n, subsample=x):
            pyro.sample("z", dist.Normal(0.0, 1.5))

    exact = dist.Normal(0.0, 2**0.5).log_prob(x).mean()

    def z_score(objective: Any) -> float:
        draws = torch.tensor([-float(objective.loss(model, guide, x, size)) for _ in range(150)])
        draws = draws / size
        return float((draws.mean() - exact) / (draws.std() / len(draws) ** 0.5))

    renyi = pyro.infer.RenyiELBO(num_particles=50, vectorize_particles=True, max_plate_nesting=1)
    assert z_score(renyi) > 20
    assert z_score(IWAE(particles=50)) < 4

    # The same draws without the scale: the same bound, times N / n.
    for K in (1, 50):
        torch.manual_seed(1)
        scaled = IWAE(particles=K).loss(model, guide, x, size)
        torch.manual_seed(1)
        plain = IWAE(particles=K).loss(model, guide, x, len(x))
        torch.testing.assert_close(scaled, plain * size / len(x), rtol=1e-12, atol=0)


# Gradients of latent variables that are not reparameterized


LOGIT, BIAS = torch.tensor([0.4, -0.3]), torch.tensor([0.2, -0.6])


def bernoulli(logits: Tensor) -> tuple[Any, Any]:
    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Bernoulli(logits=BIAS.to(x)).to_event(1))
            pyro.sample("x", dist.Normal(z @ torch.tensor([1.0, -2.0]).to(x), 0.7), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Bernoulli(logits=logits.to(x)).to_event(1))

    return model, guide


def enumerated(K: int, x: Tensor, iwae: bool) -> Tensor:
    r"""The exact gradient in the logits of the guide: all 4 ** K joint draws, summed out."""
    logits = LOGIT.double().requires_grad_()
    states = torch.tensor(list(product([0.0, 1.0], repeat=2))).double()
    log_q = dist.Bernoulli(logits=logits).to_event(1).log_prob(states)
    log_w = (
        dist.Bernoulli(logits=BIAS.double()).to_event(1).log_prob(states)
        + dist.Normal(states @ torch.tensor([1.0, -2.0]).double(), 0.7).log_prob(x)
        - log_q
    )
    draws = torch.tensor(list(product(range(4), repeat=K)))
    inner = log_w[draws].logsumexp(1) - math.log(K) if iwae else log_w[draws].mean(1)
    (gradient,) = torch.autograd.grad((log_q[draws].sum(1).exp() * inner).sum(), logits)
    return gradient


@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize("objective", [ELBO, IWAE])
def test_score_function(float64: None, objective: Any, K: int) -> None:
    r"""The mean of the gradient is the enumerated one; z-scores of 2 x 2 x 2 means stay below 4.5.

    Fails once in 20000, at seed 0. RenyiELBO, weighted by alpha / (1 - alpha), gives zero here.
    """
    runs, x = 40_000, torch.tensor(0.3)
    logits = LOGIT.double().expand(runs, 2).clone().requires_grad_()
    loss = objective(particles=K).differentiable_loss(*bernoulli(logits), x.expand(runs))
    (g,) = torch.autograd.grad(-loss, logits)  # a copy of the logits for each run
    exact = enumerated(K, x, objective is IWAE)
    z = (g.mean(0) - exact) / (g.std(0) / runs**0.5)

    assert exact.abs().min() > 0.01 and z.abs().max() < 4.5


def test_renyi_is_silent() -> None:
    r"""The trap itself: it says when Pyro is mended, and the line above may go."""
    logits = LOGIT.clone().requires_grad_()
    renyi = pyro.infer.RenyiELBO(num_particles=3, vectorize_particles=True, max_plate_nesting=1)
    renyi.loss_and_grads(*bernoulli(logits), torch.randn(5))

    assert logits.grad is None or (logits.grad == 0).all()


# Weights of the KL term


@pytest.mark.parametrize("beta", [0.0, 0.3, 1.0, 2.0])
@objectives
def test_kl_weight(float64: None, objective: Any, beta: float) -> None:
    r"""The loss is weighted; the metrics are those of the true ELBO."""
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    o = objective(particles=3, kl_weight=beta)
    torch.manual_seed(1)
    estimate = o.estimate(model, guide, x)
    torch.manual_seed(1)
    with torch.no_grad():
        w = log_weights(model, guide, x, 3)
    local = w.likelihood + beta * (w.prior - w.guide)
    expected = {
        ELBO: local.mean(0).sum(),
        IWAE: (local.logsumexp(0) - math.log(3)).sum(),
        MeanFieldELBO: (w.likelihood - beta * w.sites["z"].kl()).mean(0).sum(),
    }[objective]
    rtol = 1e-7  # the weight is stored in the dtype of the time of construction

    torch.testing.assert_close(-estimate.loss.detach(), expected, rtol=rtol, atol=0)
    assert estimate.size == len(x)
    assert {k: float(v) for k, v in estimate.metrics.items()} == pytest.approx(
        {
            "elbo": float(w.log_weight.mean()),
            "reconstruction": float(w.likelihood.mean()),
            "kl": float((w.guide - w.prior).mean()),
            "ess": float((w.log_weight.softmax(0).square().sum(0)).reciprocal().mean()),
        }
        # The bound of the objective, where it is another than the ELBO.
        | (
            {"bound": float(w.log_weight.logsumexp(0).mean()) - math.log(3)}
            if objective is IWAE
            else {}
        ),
        rel=1e-12,
    )
    assert not any(v.requires_grad for v in estimate.metrics.values())


def test_metrics_of_several_sites(float64: None) -> None:
    r"""The divergences of the sites add up to that of all; one particle has no sample size."""
    model, guide, x = PROGRAMS["hierarchical"]()
    one, more = (ELBO(K).estimate(model, guide, x).metrics for K in (1, 3))
    assert [*one] == ["elbo", "reconstruction", "kl", "kl_z2", "kl_z1"]
    assert float(more["kl"]) == pytest.approx(float(more["kl_z1"] + more["kl_z2"]))
    assert "ess" not in one and 1 <= more["ess"] <= 3

    model, guide, x = subsampled()
    terms = ELBO(3).estimate(model, guide, x).metrics
    assert float(terms["kl"]) == pytest.approx(float(terms["kl_shared"] + terms["kl_z"]))
    assert "ess" not in terms


def test_metrics_of_a_minibatch(float64: None) -> None:
    r"""A term that all data share counts once for all of them, not once per minibatch."""
    model, guide, x = subsampled()
    torch.manual_seed(1)
    estimate = ELBO(particles=2).estimate(model, guide, x)
    torch.manual_seed(1)
    with torch.no_grad():
        w = log_weights(model, guide, x, 2)

    assert estimate.size == 50
    assert float(estimate.metrics["elbo"]) == pytest.approx(
        float((w.likelihood + w.prior - w.guide).mean() + w.global_term.mean() / 50)
    )
    assert float(estimate.metrics["elbo"]) == pytest.approx(-float(estimate.loss.detach()) / 50)


def test_warmup() -> None:
    warmup = LinearWarmup(steps=4, start=0.2)
    assert [warmup(t) for t in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])


@objectives
def test_schedule(objective: Any) -> None:
    r"""It advances once per step, under both SVI, and its state comes back."""
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    o = objective(kl_weight=LinearWarmup(steps=4))
    svi = SVI(model, guide, partial(torch.optim.Adam, lr=1e-3), o)
    stock = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), o)

    assert o.beta == 0
    svi.step(x)
    svi.evaluate_loss(x)  # does not count
    assert o.beta == 0.25
    stock.step(x)
    stock.evaluate_loss(x)
    assert o.beta == 0.5 and o.step == 2

    again = objective(kl_weight=LinearWarmup(steps=4))
    again.load_state_dict(o.state_dict())
    assert again.beta == 0.5
    SVI(model, guide, partial(torch.optim.Adam, lr=1e-3), again).step(x)
    assert again.step == 3 and again.beta == 0.75


# Refusals


@objectives
def test_options_refused(objective: Any) -> None:
    for particles in (0, -2):
        with pytest.raises(ValueError, match=rf"one particle or more, got {particles}"):
            objective(particles=particles)
    with pytest.raises(ValueError, match=r"must not be negative, got -0\.5"):
        objective(kl_weight=-0.5)


@objectives
def test_arguments_by_position_and_by_name(objective: Any) -> None:
    model, guide, x = PROGRAMS["linear"]()
    losses = []

    for args, kwargs in [((x,), {}), ((), {"x": x}), ((x,), {"index": torch.arange(len(x))})]:
        torch.manual_seed(0)
        losses.append(objective().loss(model, guide, *args, **kwargs))

    assert losses[0] == losses[1] == losses[2]


def test_iwae_has_several_particles_by_default() -> None:
    assert IWAE().particles == 8


def test_schedules_refused() -> None:
    with pytest.raises(ValueError, match=r"one step or more, got 0"):
        LinearWarmup(steps=0)
    with pytest.raises(ValueError, match=r"got -1 to 1"):
        LinearWarmup(steps=1, start=-1)


def test_mean_field_refused() -> None:
    model, guide, x = PROGRAMS["hierarchical"]()
    with pytest.raises(ValueError, match=r"order, z2, z1; this one draws z1, z2\. Use ELBO"):
        MeanFieldELBO().loss(model, guide, x)

    for name in DISCRETE[:2]:
        model, guide, x = PROGRAMS[name]()
        with pytest.raises(ValueError, match=r"'z' is drawn from .* without\. Use ELBO"):
            MeanFieldELBO().loss(model, guide, x)


def test_iwae_refused() -> None:
    model, guide, x = subsampled()
    with pytest.raises(ValueError, match=r"Site 'shared' lies outside .* use ELBO"):
        IWAE(particles=2).loss(model, guide, x)


# Pyro's own


def test_as_objective() -> None:
    for theirs, ours in (
        (pyro.infer.Trace_ELBO, ELBO),
        (pyro.infer.TraceMeanField_ELBO, MeanFieldELBO),
        (pyro.infer.TraceGraph_ELBO, PyroObjective),
    ):
        objective = as_objective(theirs(num_particles=7))
        assert type(objective) is ours and objective.particles == 7
        assert as_objective(objective) is objective and not objective.vectorized

    class Mine(pyro.infer.Trace_ELBO):
        pass

    assert type(as_objective(Mine())) is PyroObjective
    with pytest.raises(ValueError, match=r"ppl_vae\.objectives or of pyro\.infer, got 'elbo'"):
        as_objective("elbo")


PYRO: dict[str, Callable[[], pyro.infer.ELBO]] = {
    "RenyiELBO": lambda: pyro.infer.RenyiELBO(num_particles=4, vectorize_particles=True),
    "TraceGraph_ELBO": lambda: pyro.infer.TraceGraph_ELBO(),
}


@pytest.mark.parametrize("elbo", PYRO.values(), ids=PYRO)
def test_pyro_objective(elbo: Any) -> None:
    r"""It trains as under Pyro's SVI: the same gradient, per datum."""
    model, _, x = PROGRAMS["linear"]()
    guide = Amortized(Conditional((5,), Normal((2,)), mlp([])))
    svi = SVI(model, guide, partial(torch.optim.SGD, lr=1.0), elbo())
    svi.prepare(x=x, index=torch.arange(4))
    before = {k: p.detach().clone() for k, p in svi.parameters.items()}
    theirs = elbo()
    theirs.loss(model, guide, x)

    torch.manual_seed(1)
    theirs.loss_and_grads(model, guide, x)
    expected = {k: p.grad.clone() / 4 for k, p in svi.parameters.items() if p.grad is not None}
    svi.evaluate_loss(x=x)
    torch.manual_seed(1)
    loss = svi.step(x=x, index=torch.arange(4))

    assert loss.shape == () and loss.isfinite() and expected
    for key, g in expected.items():
        torch.testing.assert_close(before[key] - svi.parameters[key], g, rtol=1e-4, atol=1e-6)


def test_pyro_objective_hands_on_the_index() -> None:
    model, exact, x = PROGRAMS["linear"]()
    rows = torch.arange(len(x))
    seen = []

    def guide(x: Tensor, index: Tensor) -> None:
        seen.append(index)
        exact(x)

    SVI(model, guide, partial(torch.optim.Adam, lr=1e-3), pyro.infer.TraceGraph_ELBO()).step(
        x=x, index=rows
    )
    assert seen and all(index is rows for index in seen)
