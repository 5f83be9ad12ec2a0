r"""Laws of objectives that weight the terms of the ELBO otherwise, and of their schedules."""

import math
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from objective_cases import KNOWN
from program_cases import PROGRAMS
from torch import Tensor

from ppl_vae.objectives import (
    ELBO,
    GECO,
    Beta,
    Capacity,
    CyclicalWarmup,
    FreeBits,
    LinearWarmup,
    MeanFieldELBO,
    Objective,
    Schedule,
    SigmoidWarmup,
    TargetRate,
    Tempered,
)
from ppl_vae.svi import SVI
from ppl_vae.weights import log_weights

# What each is at the weights of a batch, written out.


def terms(model: Any, guide: Any, x: Tensor, K: int) -> tuple[Tensor, Tensor, Any]:
    torch.manual_seed(1)
    with torch.no_grad():
        w = log_weights(model, guide, x, K)
    return w.likelihood.mean(), w.sites["z"].kl().mean(), w


def loss_of(objective: Objective, model: Any, guide: Any, x: Tensor) -> float:
    torch.manual_seed(1)
    return float(objective.loss(model, guide, x)) / len(x)


@pytest.mark.parametrize("K", [1, 3])
def test_by_hand(float64: None, K: int) -> None:
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    rec, kl, w = terms(model, guide, x, K)
    q, p = w.sites["z"].q.base_dist, w.sites["z"].p.base_dist
    each = torch.distributions.kl_divergence(q, p).flatten(0, -2).mean(0)
    prior = (w.prior - w.guide).mean()
    expected = {
        Beta(3.0, K): -rec - 3 * prior,
        Tempered(0.3, K): -0.3 * rec - prior,
        Capacity(0.7, 20.0, K): -rec + 20 * (kl - 0.7).abs(),
        FreeBits(0.3, "site", K): -rec + kl.clamp(min=0.3),
        FreeBits(0.05, "element", K): -rec + each.clamp(min=0.05).sum(),
        GECO(-2.0, particles=K): kl + (-2.0 - rec),
        TargetRate(2.0, particles=K): -rec + (kl - 2.0),
    }
    for objective, value in expected.items():
        found = loss_of(objective, model, guide, x)
        assert found == pytest.approx(float(value), rel=1e-6), type(objective).__name__


@pytest.mark.parametrize("per", ["element", "site"])
def test_free_bits_without_a_floor_are_the_elbo(float64: None, per: str) -> None:
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    elbo = loss_of(MeanFieldELBO(3), model, guide, x)
    assert loss_of(FreeBits(0.0, per, 3), model, guide, x) == pytest.approx(elbo, rel=1e-10)


def test_free_bits_give_no_gradient_below_the_floor(float64: None) -> None:
    r"""The divergence alone pulls the guide where the likelihood says nothing."""
    loc = torch.tensor([0.5, 2.0], requires_grad=True)

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(0.0 * z.sum(-1), 1.0), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(loc, 1.0).to_event(1))

    loss = FreeBits(0.5, per="element").differentiable_loss(model, guide, torch.randn(4))
    (g,) = torch.autograd.grad(loss / 4, loc)
    torch.testing.assert_close(g, torch.tensor([0.0, 2.0]))


def test_free_bits_need_elements() -> None:
    model, guide, x = PROGRAMS["linear"]()
    with pytest.raises(ValueError, match=r"'z' has no divergence for each of its elements in cl"):
        FreeBits(per="element").loss(model, guide, x)
    assert FreeBits().loss(model, guide, x).isfinite()


@pytest.mark.parametrize("objective", [Capacity(), FreeBits(), GECO(), TargetRate()])
def test_needs_reparameterized_sites(objective: Objective) -> None:
    known = KNOWN["coins"]()
    with pytest.raises(ValueError, match=r"site 'u' from Bernoulli do not pass; take a repara"):
        objective.loss(known.model, known.wrong, known.x)


# Multipliers.


def scales() -> tuple[Any, Any, Tensor, Tensor]:
    r"""A guide whose rate goes from nothing to as much as one likes."""
    rho = torch.tensor(-1.0, requires_grad=True)

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 0.1), obs=x)

    def guide(x: Tensor) -> None:
        s = rho.sigmoid()
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal((1 - s.square()).sqrt() * x, s))

    return model, guide, rho, torch.randn(500)


def trained(objective: Objective, steps: int = 1200) -> dict[str, float]:
    r"""The mean terms over the last half of a training."""
    model, guide, rho, x = scales()
    optimizer = torch.optim.Adam([rho], lr=0.02, betas=(0.9, 0.95))
    rows = []

    for _ in range(steps):
        estimate = objective.estimate(model, guide, x)
        (rho.grad,) = torch.autograd.grad(estimate.loss / len(x), rho)
        optimizer.step()
        rows.append(estimate.metrics)

    return {k: float(torch.stack([r[k] for r in rows[steps // 2 :]]).mean()) for k in rows[0]}


@pytest.mark.slow
@pytest.mark.parametrize("nats", [0.5, 2.0])
def test_target_rate_is_reached(nats: float) -> None:
    r"""The rate of this guide is -log s on the mean: after training it is the one asked for."""
    objective = TargetRate(nats, rate=0.01, momentum=0.5)
    assert trained(objective)["kl"] == pytest.approx(nats, abs=0.05)
    assert 1e-4 < objective.multiplier < 1e4 and objective.multiplier != 1


@pytest.mark.slow
def test_geco_reaches_its_target() -> None:
    objective = GECO(-1.0, rate=0.01, momentum=0.5)
    assert trained(objective)["reconstruction"] == pytest.approx(-1.0, abs=0.1)
    # Where the gradient of the cost is minus the multiplier times that of the constraint.
    assert float(objective.multiplier) == pytest.approx(0.21, abs=0.05)


def test_multipliers_move_in_training_alone() -> None:
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    objective = GECO(-1.0)
    svi = SVI(model, guide, torch.optim.Adam([*model.parameters(), *guide.parameters()]), objective)
    svi.evaluate_loss(x)
    objective.loss(model, guide, x)
    assert objective.multiplier == 1 and not objective.moved
    svi.step(x)
    assert objective.multiplier > 1 and objective.moved
    assert objective.average == pytest.approx(-1.0 - float(svi.metrics["reconstruction"]), rel=1e-5)


# Schedules.

SCHEDULES: list[Schedule] = [
    LinearWarmup(12),
    CyclicalWarmup(12, cycles=3),
    SigmoidWarmup(12),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda s: type(s).__name__)
def test_schedules_settle(schedule: Schedule) -> None:
    values = [schedule(t) for t in range(20)]
    assert values[0] == 0 and all(v == 1 for v in values[schedule.steps :])
    assert all(0 <= v <= 1 for v in values) and len(set(values)) > 2


def test_a_sigmoid_is_steepest_in_the_middle() -> None:
    rise = SigmoidWarmup(100, steepness=8.0)
    steps = [rise(t + 1) - rise(t) for t in range(100)]
    assert all(s > 0 for s in steps) and max(steps) == pytest.approx(max(steps[49:51]))
    assert rise(30) == pytest.approx(1 - rise(70))
    flat = SigmoidWarmup(100, steepness=1e-4)
    assert flat(30) == pytest.approx(0.3, abs=1e-6)


def test_cycles_begin_again() -> None:
    cycle = CyclicalWarmup(40, cycles=4, share=0.5, end=2.0)
    for start in (0, 10, 20, 30):
        assert [cycle(start + t) for t in range(10)] == pytest.approx(
            [0, 0.4, 0.8, 1.2, 1.6, 2, 2, 2, 2, 2]
        )


def test_a_capacity_rises() -> None:
    r"""The number of a schedule is part of the state, and of each step."""
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    objective = Capacity(LinearWarmup(4, end=8.0), gamma=10.0)
    found = []
    for _ in range(6):
        found.append(float(objective.capacity))
        objective.loss_and_grads(model, guide, x)
    assert found == [0, 2, 4, 6, 8, 8]

    other = Capacity(LinearWarmup(4, end=8.0), gamma=10.0)
    other.load_state_dict(objective.state_dict())
    other.seek(2)
    assert other.capacity == 4 and other.beta == 1 and list(other.schedules) == ["capacity"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Beta(-1.0), "KL weight must not be negative, got -1.0"),
        (lambda: Capacity(-1.0), "a capacity and a weight that are not negative"),
        (lambda: FreeBits(-0.1), "floor of FreeBits must not be negative"),
        (lambda: FreeBits(per="group"), "is an 'element' or a 'site', got 'group'"),
        (lambda: GECO(math.inf), "target of GECO must be finite"),
        (lambda: GECO(rate=0.0), "GECO needs a positive rate"),
        (lambda: TargetRate(0.0), "rate to reach must be positive"),
        (lambda: Tempered(-0.5), "power of a likelihood must not be negative"),
        (lambda: CyclicalWarmup(3, cycles=4), "a step or more for each cycle"),
        (lambda: CyclicalWarmup(8, share=0.0), "above 0 and at most 1"),
        (lambda: SigmoidWarmup(0), "one step or more"),
        (lambda: SigmoidWarmup(5, steepness=0.0), "a positive steepness"),
    ],
)
def test_refused(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


def test_beta_is_the_elbo_weighted(float64: None) -> None:
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    a, b = (loss_of(o, model, guide, x) for o in (Beta(4.0, 2), ELBO(2, kl_weight=4.0)))
    assert a == b


def test_cycles_begin_on_whole_steps() -> None:
    r"""Where fractions of steps are rounded, a cycle may not begin at its top."""
    for steps, cycles in ((10, 6), (17, 3), (1000, 7)):
        values = [CyclicalWarmup(steps, cycles)(t) for t in range(steps + 1)]
        starts = [t for t in range(1, steps) if values[t] < values[t - 1]]
        assert len(starts) == cycles - 1 and values[-1] == 1


def test_a_state_brings_no_other_weight() -> None:
    r"""Numbers are those that an objective was built with, at the step that the state tells."""
    other = Beta(1.0)
    other.load_state_dict(Beta(4.0).state_dict())
    assert other.beta == 1

    warm = ELBO(kl_weight=LinearWarmup(10))
    warm.seek(5)
    fixed = ELBO()
    fixed.load_state_dict(warm.state_dict())
    assert warm.beta == 0.5 and fixed.beta == 1 and fixed.step == 5


def test_multipliers_take_small_steps() -> None:
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    objective = GECO(1000.0, rate=1.0)
    torch.manual_seed(1)
    estimate = objective.estimate(model, guide, x)
    assert estimate.metrics["multiplier"] == pytest.approx(math.exp(0.05))
    objective._follow(torch.tensor(math.nan))
    assert objective.multiplier.isfinite() and objective.average.isfinite()
