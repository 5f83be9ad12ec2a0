r"""Laws of one step: ours and Pyro's, over programs, objectives and optimizers."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pyro
import pyro.distributions as dist
import pyro.infer
import pyro.optim
import pytest
import torch
from program_cases import PROGRAMS
from pyro.distributions import constraints
from torch import Tensor, nn

from ppl_vae.evaluation import log_evidence
from ppl_vae.nonfinite import NonFiniteError
from ppl_vae.objectives import ELBO, IWAE, LinearWarmup, MeanFieldELBO
from ppl_vae.svi import SVI

OBJECTIVES: dict[str, Callable[..., Any]] = {
    "ELBO": partial(ELBO, particles=2),
    "MeanFieldELBO": MeanFieldELBO,
    "IWAE": partial(IWAE, particles=3),
}
DISCRETE = ("categorical latent", "bernoulli latent")
# The latter draws discrete sites, or sites against the model's order: both are refused.
PAIRS = [
    (name, o)
    for name in PROGRAMS
    for o in OBJECTIVES
    if o != "MeanFieldELBO" or name not in (*DISCRETE, "hierarchical")
]
adam = partial(torch.optim.Adam, lr=1e-3)


def parameters(*programs: Any) -> dict[str, Tensor]:
    modules = [p for p in programs if isinstance(p, nn.Module)]
    named = {f"{i}.{k}": p for i, m in enumerate(modules) for k, p in m.named_parameters()}
    return named | dict(pyro.get_param_store().named_parameters())


def clones(named: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: p.detach().clone() for k, p in named.items()}


# Every parameter moves


@pytest.mark.parametrize("stock", [True, False], ids=["pyro", "ours"])
@pytest.mark.parametrize(("name", "objective"), PAIRS)
def test_every_parameter_moves(name: str, objective: str, stock: bool) -> None:
    model, guide, x = PROGRAMS[name]()
    o = OBJECTIVES[objective]()

    if stock:
        svi: Any = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), o)
    else:
        svi = SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), o)

    svi.evaluate_loss(x)  # puts those of functions into the store
    before = clones(parameters(model, guide))
    losses = [svi.step(x) for _ in range(3)]
    still = [k for k, p in parameters(model, guide).items() if p.equal(before[k])]

    assert before and not still
    assert all(math.isfinite(loss) for loss in losses)


def test_index_under_pyro() -> None:
    r"""A batch of ours, with its index, runs under Pyro's SVI."""
    model, guide, x = PROGRAMS["linear"]()
    stock = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), ELBO())
    assert math.isfinite(stock.step(x=x, index=torch.arange(len(x))))


def test_two_programs_of_a_class() -> None:
    r"""Instances, and copies, have parameters of their own in Pyro's global store."""
    model, guide, x = PROGRAMS["linear"]()
    twin = copy.deepcopy(model)
    other, _, _ = PROGRAMS["linear"]()

    for m in (model, twin, other):
        pyro.infer.SVI(m, type(guide)(m.posterior), pyro.optim.Adam({"lr": 1e-2}), ELBO()).step(x)

    assert not model.weight.equal(other.weight)
    assert model.weight.equal(twin.weight) and model.weight is not twin.weight


# The loss


def test_nats_per_datum(float64: None) -> None:
    r"""A step returns the loss before it, per datum, as a tensor without graph."""
    model, guide, x = PROGRAMS["linear"]()
    expected = -model.log_evidence(x).mean().detach()
    svi = SVI(model, guide, adam, ELBO(particles=3))
    loss = svi.step(x)

    assert isinstance(loss, Tensor) and loss.shape == () and not loss.requires_grad
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    assert float(svi.metrics["elbo"]) == pytest.approx(-float(expected))
    assert svi.steps == 1

    twice = SVI(*PROGRAMS["linear"]()[:2], adam)
    twice.model.load_state_dict(model.state_dict())
    same = twice.evaluate_loss(torch.cat([x, x]))
    torch.testing.assert_close(same, twice.evaluate_loss(x), rtol=1e-12, atol=0)


def test_nats_per_datum_of_a_minibatch() -> None:
    r"""The scale of a minibatch leaves the number per datum, and the step, as they are."""
    found = []

    for size in (4, 100):
        pyro.clear_param_store()

        def model(x: Tensor, size: int = size) -> None:
            with pyro.plate("data", size, subsample=x):
                z = pyro.sample("z", dist.Normal(pyro.param("mu", torch.tensor(0.0)), 1.0))
                pyro.sample("x", dist.Normal(z, 0.5), obs=x)

        def guide(x: Tensor, size: int = size) -> None:
            with pyro.plate("data", size, subsample=x):
                pyro.sample("z", dist.Normal(pyro.param("a", torch.tensor(0.4)) * x, 0.8))

        torch.manual_seed(1)
        svi = SVI(model, guide, partial(torch.optim.SGD, lr=0.1))
        found += [[svi.step(torch.arange(4.0)), pyro.param("mu"), pyro.param("a")]]

    torch.testing.assert_close(found[0], found[1])


# What evaluation leaves alone


class Norms(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 5), nn.BatchNorm1d(5), nn.Dropout(0.3))

    def model(self, x: Tensor) -> None:
        pyro.module("Norms", self)
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            loc = self.net(z.reshape(-1, 2)).reshape(*z.shape[:-1], 5)
            pyro.sample("x", dist.Normal(loc, 1.0).to_event(1), obs=x)

    def guide(self, x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(x[:, :2], pyro.param("s", torch.tensor(0.9))).to_event(1))


def test_evaluate_changes_nothing() -> None:
    r"""Adam's momentum would move parameters under ``step`` and ``no_grad``; here nothing moves."""
    program, x = Norms(), torch.randn(8, 5)
    warmup = LinearWarmup(steps=9)
    svi = SVI(program.model, program.guide, adam, ELBO(particles=2, kl_weight=warmup))

    for _ in range(3):
        svi.step(x)

    before = copy.deepcopy((program.state_dict(), svi.optimizer.state_dict()["state"]))
    grads = {k: p.grad.clone() for k, p in svi.parameters.items()}
    steps, beta = svi.steps, svi.objective.beta.clone()
    program.net[2].eval()
    loss = svi.evaluate_loss(x)
    estimate = svi.evaluate(x=x)

    assert loss.shape == () and not loss.requires_grad and not estimate.loss.requires_grad
    after = program.state_dict(), svi.optimizer.state_dict()["state"]
    torch.testing.assert_close(after, before, rtol=0, atol=0)
    assert all(p.grad.equal(grads[k]) for k, p in svi.parameters.items())
    assert program.training and program.net[1].training and not program.net[2].training
    assert svi.steps == steps and svi.objective.beta == beta and svi.objective.step == 3


def test_first_step_is_one_run() -> None:
    r"""To find the parameters takes a run of the programs, of which no trace remains."""
    program, x = Norms(), torch.randn(8, 5)
    svi = SVI(program.model, program.guide, adam, ELBO(particles=2))
    random = torch.get_rng_state()
    svi.prepare(x)

    assert torch.get_rng_state().equal(random)
    assert program.net[1].num_batches_tracked == 0
    svi.step(x)
    assert program.net[1].num_batches_tracked == 1
    assert list(svi.parameters) == [
        *(f"model.{k}" for k, _ in program.named_parameters()),
        "param.s",
    ]


def test_unprepared() -> None:
    model, guide, _ = PROGRAMS["linear"]()
    with pytest.raises(ValueError, match=r"not known yet; call prepare\(batch\), or step"):
        _ = SVI(model, guide, adam).optimizer


# Optimizers


def test_optimizers() -> None:
    r"""By instance, by constructor, or Pyro's: the same trajectory, bit by bit; Pyro's SVI too."""
    results = []

    for kind in ("instance", "partial", "pyro", "stock"):
        torch.manual_seed(0)
        model, guide, x = PROGRAMS["normal, bernoulli"]()
        both = [*model.parameters(), *guide.parameters()]
        theirs = pyro.optim.Adam({"lr": 1e-2})
        optimizer = {
            "instance": lambda both=both: torch.optim.Adam(both, lr=1e-2),
            "partial": lambda: partial(torch.optim.Adam, lr=1e-2),
        }.get(kind, lambda theirs=theirs: theirs)()
        svi = SVI(model, guide, optimizer)
        torch.manual_seed(1)

        for _ in range(3):
            if kind == "stock":  # its loss is a sum over data, to which Adam is all but blind
                pyro.infer.SVI(model, guide, theirs, pyro.infer.Trace_ELBO()).step(x)
            else:
                svi.step(x)
        results.append([p.detach() for p in both])

    assert all(a.equal(b) for r in results[1:3] for a, b in zip(r, results[0], strict=True))
    torch.testing.assert_close(results[3], results[0], rtol=1e-4, atol=1e-4)


def test_optimizers_refused() -> None:
    model, guide, x = PROGRAMS["linear"]()
    refused: dict[str, Any] = {
        r"depend on the parameter": pyro.optim.Adam(lambda name: {"lr": 1e-3}),
        r"without scheduler and clip_args; fit takes": pyro.optim.ExponentialLR(
            {"optimizer": torch.optim.Adam, "optim_args": {"lr": 0.01}, "gamma": 0.1}
        ),
        r"LBFGS evaluates the loss several times": torch.optim.LBFGS,
        r"SVI takes clip": pyro.optim.Adam({"lr": 1e-3}, {"clip_norm": 1.0}),
    }

    for sentence, optimizer in refused.items():
        with pytest.raises(ValueError, match=sentence):
            SVI(model, guide, optimizer).step(x)

    for p in model.parameters():
        p.requires_grad_(False)
    with pytest.raises(ValueError, match=r"nothing to train"):
        SVI(model, guide, adam).step(x)


def test_frozen_parameters_stay() -> None:
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    frozen = model.likelihood.requires_grad_(False)
    before = clones(dict(frozen.named_parameters()))
    svi = SVI(model, guide, adam)
    svi.step(x)

    assert all(p.equal(before[k]) for k, p in frozen.named_parameters())
    assert not any("likelihood" in name for name in svi.parameters)


@pytest.mark.parametrize("clip", [None, 1e-3, 1e6])
def test_clip(clip: float | None) -> None:
    r"""Under gradient descent with rate 1, a step is as long as the gradient, or as the clip."""
    moved = []

    for c in (None, clip):
        torch.manual_seed(0)
        model, guide, x = PROGRAMS["linear"]()
        svi = SVI(model, guide, partial(torch.optim.SGD, lr=1.0), clip=c)
        svi.prepare(x)
        before = clones(svi.parameters)
        torch.manual_seed(1)
        svi.step(x)
        delta = torch.cat([(p - before[k]).flatten() for k, p in svi.parameters.items()])
        moved.append(float(delta.detach().norm()))

    assert moved[1] == pytest.approx(min(moved[0], clip or math.inf), rel=1e-3)


@pytest.mark.parametrize("clip", [0.0, -1.0])
def test_clip_refused(clip: float) -> None:
    model, guide, _ = PROGRAMS["linear"]()
    with pytest.raises(ValueError, match=rf"must be positive, got {clip}"):
        SVI(model, guide, adam, clip=clip)


# Programs written by others


class Tutorial(nn.Module):
    r"""The auto-encoder of Pyro's tutorial, in its habits."""

    def __init__(self, z_dim: int = 3, hidden_dim: int = 16) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(12, hidden_dim), nn.Softplus())
        self.loc, self.scale = nn.Linear(hidden_dim, z_dim), nn.Linear(hidden_dim, z_dim)
        self.decoder = nn.Sequential(
            nn.Linear(z_dim, hidden_dim), nn.Softplus(), nn.Linear(hidden_dim, 12), nn.Sigmoid()
        )
        self.z_dim = z_dim

    def model(self, x: Tensor) -> Tensor:
        pyro.module("decoder", self.decoder)
        with pyro.plate("data", x.shape[0]):
            z_loc = x.new_zeros(torch.Size((x.shape[0], self.z_dim)))
            z_scale = x.new_ones(torch.Size((x.shape[0], self.z_dim)))
            z = pyro.sample("latent", dist.Normal(z_loc, z_scale).to_event(1))
            loc_img = self.decoder.forward(z)
            pyro.sample(
                "obs",
                dist.Bernoulli(loc_img, validate_args=False).to_event(1),
                obs=x.reshape(-1, 12),
            )
            return loc_img

    def guide(self, x: Tensor) -> None:
        pyro.module("encoder", self.encoder)
        with pyro.plate("data", x.shape[0]):
            hidden = self.encoder.forward(x.reshape(-1, 12))
            z_loc, z_scale = self.loc(hidden), torch.exp(self.scale(hidden))
            pyro.sample("latent", dist.Normal(z_loc, z_scale).to_event(1))


@pytest.mark.parametrize("objective", [None, pyro.infer.Trace_ELBO(), MeanFieldELBO(particles=2)])
def test_tutorial(objective: Any) -> None:
    r"""Grey pixels train, with one kind of warning, under the ELBO alone."""
    vae, x = Tutorial(), torch.linspace(0.01, 0.99, 12).reshape(1, 3, 4).repeat(20, 1, 1, 1)
    svi = SVI(vae.model, vae.guide, pyro.optim.Adam({"lr": 1e-2}), objective)

    with pytest.warns(UserWarning) as caught:
        losses = [float(svi.step(x)) for _ in range(60)]

    kinds = {str(w.message).partition("they range")[0] for w in caught}
    assert kinds == {"The data of site 'obs' lie outside of the support of Bernoulli: "}
    assert losses[-1] < losses[0] - 0.5
    assert {*svi.parameters} == {
        f"model.{k}" for k, _ in vae.named_parameters()
    }  # the heads too, which the tutorial's pyro.module would forget

    with pytest.raises(
        ValueError, match=r"'obs' lie outside of the support of Bernoulli.*binarize"
    ):
        SVI(vae.model, vae.guide, adam, IWAE(particles=2)).step(x)
    with pytest.raises(ValueError, match=r"'obs' lie outside of the support of Bernoulli"):
        log_evidence(vae.model, vae.guide, x)

    binary = (x > 0.5).float()
    assert SVI(vae.model, vae.guide, adam, IWAE(particles=2)).step(binary).isfinite()
    assert log_evidence(vae.model, vae.guide, binary, particles=30).log_evidence.shape == (20,)


def test_functions() -> None:
    r"""Parameters of the store alone, constrained ones too, reach the exact posterior.

    The guide's gap to log p(x) is a divergence in closed form: of 2 nats per datum, below 0.02.
    """

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x: Tensor) -> None:
        slope, shift = (
            pyro.param("slope", torch.tensor(0.0)),
            pyro.param("shift", torch.tensor(1.0)),
        )
        scale = pyro.param("scale", torch.tensor(2.0), constraint=constraints.positive)
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(slope * x + shift, scale))

    x = torch.randn(50)
    svi = SVI(model, guide, partial(torch.optim.Adam, lr=0.03), MeanFieldELBO(particles=8))
    for _ in range(300):
        svi.step(x)

    a, b, s = (pyro.param(k).detach() for k in ("slope", "shift", "scale"))
    q, p = dist.Normal(a * x + b, s), dist.Normal(x / 2, 0.5**0.5)
    assert torch.distributions.kl_divergence(q, p).mean() < 0.02
    assert list(svi.parameters) == ["param.slope", "param.shift", "param.scale"]


# Losses that are not finite


class Broken(nn.Module):
    r"""A program of which one part overflows from the third step on."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.part, self.runs = part, 0

    def off(self, part: str, value: float) -> float:
        return value if part == self.part and self.runs > 2 else 1.0

    def model(self, x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            far = self.off("log p of site 'x'", 1e30)
            pyro.sample("x", dist.Normal(far * self.weight * (1 + z.square()), 1.0), obs=x)

    def guide(self, x: Tensor) -> None:
        self.runs += 1
        with pyro.plate("data", len(x), dim=-1):
            far = self.off("the draw of site 'z'", 1e39)
            pyro.sample("z", dist.Normal(far * self.weight, 1.0))


@pytest.mark.parametrize("part", ["log p of site 'x'", "the draw of site 'z'"])
def test_not_finite(part: str) -> None:
    r"""The message names step, term and site; the parameters stay as they were."""
    program, x = Broken(part), torch.zeros(5)
    svi = SVI(program.model, program.guide, adam)

    with pyro.validation_enabled(False):  # as fit does, after it has looked at all data
        svi.prepare(x)
        svi.step(x)
        before = program.weight.detach().clone()
        random = torch.get_rng_state()

        with pytest.raises(NonFiniteError, match=rf"step 2: {part} is not, for \d of its 5 values"):
            svi.step(x)

    assert program.weight.equal(before) and svi.steps == 1
    assert not torch.get_rng_state().equal(random)  # as after any step


@pytest.mark.parametrize("validation", [True, False])
def test_parameter_not_finite(validation: bool) -> None:
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    svi = SVI(model, guide, adam)
    svi.step(x)
    with torch.no_grad():
        next(guide.parameters())[0] = math.nan

    with (
        pyro.validation_enabled(validation),
        pytest.raises(
            NonFiniteError, match=r"step 2: parameter 'guide\.posterior\.net\.1\.weight' is not"
        ),
    ):
        svi.step(x)


def test_other_errors_pass() -> None:
    model, guide, x = PROGRAMS["linear"]()
    svi = SVI(model, guide, adam)
    svi.step(x)

    with pytest.raises(ValueError, match=r"NaN or infinite") as caught:
        svi.step(x * math.nan)
    assert not isinstance(caught.value, NonFiniteError)


def test_programs_in_the_wrong_order_are_refused() -> None:
    model, guide, x = PROGRAMS["linear"]()
    with pytest.raises(ValueError, match=r"observes nothing.*the model before the guide"):
        SVI(guide, model, adam).step(x)


def test_an_optimizer_of_some_parameters_is_refused() -> None:
    model, guide, x = PROGRAMS["flow prior"]()
    optimizer = torch.optim.Adam(model.parameters())
    with pytest.raises(ValueError, match=r"leaves out \d+ of the \d+ parameters"):
        SVI(model, guide, optimizer).step(x)
