r"""Laws of models and guides; closed forms of the linear one."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from itertools import pairwise

import pyro
import pytest
import torch
from pyro import poutine
from pyro.distributions.testing.gof import auto_goodness_of_fit
from torch import Tensor
from torch.distributions import MultivariateNormal

from ppl_vae.conditional import Conditional
from ppl_vae.families import Bernoulli, Flow, FullRankNormal, Normal
from ppl_vae.guides import Amortized, BottomUp, Ladder, SemiAmortized
from ppl_vae.models import VAE, Hierarchical, Linear
from ppl_vae.networks import mlp
from ppl_vae.priors import GaussianMixture, LearnedNormal, StandardNormal
from ppl_vae.program import Program
from ppl_vae.weights import log_joint


def layer(a: int, b: int) -> Conditional:
    return Conditional((a,), Normal((b,)), mlp([8]))


def likelihood(latent: int) -> Conditional:
    return Conditional((latent,), Bernoulli((4,)), mlp([8]))


def attached(model: Program, guide: Program) -> tuple[Program, Program]:
    return model, guide.attach(model)


# A new program is one more line: a model and a guide of its latent variables, from 4 bits.
PROGRAMS: dict[str, Callable[[], tuple[Program, Program]]] = {
    "VAE": lambda: (VAE(LearnedNormal((2,)), likelihood(2)), Amortized(layer(4, 2))),
    "VAE, full rank": lambda: (
        VAE(GaussianMixture((2,), 3), likelihood(2)),
        Amortized(Conditional((4,), FullRankNormal((2,)), mlp([8]))),
    ),
    "VAE, flow": lambda: (
        VAE(LearnedNormal((2,)), likelihood(2)),
        Amortized(Conditional((4,), Flow((2,), hidden=(8,), context=3), mlp([8]))),
    ),
    "one layer": lambda: (
        Hierarchical(LearnedNormal((2,)), [], likelihood(2)),
        BottomUp([layer(4, 2)]),
    ),
    "three layers": lambda: (
        Hierarchical(LearnedNormal((2,)), [layer(2, 3), layer(3, 5)], likelihood(5)),
        BottomUp([layer(4, 5), layer(5, 3), layer(3, 2)]),
    ),
    "linear": lambda: (Linear(features=4, latent=2), Amortized(layer(4, 2))),
    "semi-amortized": lambda: attached(
        VAE(LearnedNormal((2,)), likelihood(2)), SemiAmortized(layer(4, 2), steps=2)
    ),
    "ladder": lambda: attached(
        Hierarchical(LearnedNormal((2,)), [layer(2, 3), layer(3, 5)], likelihood(5)),
        Ladder([layer(4, 5), layer(5, 3), layer(3, 2)]),
    ),
}

# The latent sites, from the top down, with their shapes.
SITES = {
    "VAE": {"z": (2,)},
    "VAE, full rank": {"z": (2,)},
    "VAE, flow": {"z": (2,)},
    "one layer": {"z1": (2,)},
    "three layers": {"z3": (2,), "z2": (3,), "z1": (5,)},
    "linear": {"z": (2,)},
    "semi-amortized": {"z": (2,)},
    "ladder": {"z3": (2,), "z2": (3,), "z1": (5,)},
}

programs = pytest.mark.parametrize("name", PROGRAMS)


def bits(n: int) -> Tensor:
    return torch.randint(0, 2, (n, 4)).float()


def state(program: Program) -> dict[str, Tensor]:
    return {key: value.detach().clone() for key, value in program.named_parameters()}


# Laws of every program


@programs
@pytest.mark.parametrize("n", [1, 7])
def test_shapes(name: str, n: int) -> None:
    model, guide = PROGRAMS[name]()
    drawn = poutine.trace(model).get_trace(n=n)
    inferred = poutine.trace(guide).get_trace(bits(n))
    drawn.compute_log_prob()
    inferred.compute_log_prob()

    assert drawn.nodes["_RETURN"]["value"].shape == drawn.nodes["x"]["value"].shape == (n, 4)
    assert drawn.nodes["x"]["log_prob"].shape == (n,)
    assert [s for s in drawn.stochastic_nodes if s in SITES[name]] == list(SITES[name])

    for site, shape in SITES[name].items():
        for trace in (drawn, inferred):
            assert trace.nodes[site]["value"].shape == (n, *shape)
            assert trace.nodes[site]["log_prob"].shape == (n,)


@programs
def test_observes(name: str) -> None:
    model, _ = PROGRAMS[name]()
    x = bits(7)
    site = poutine.trace(model).get_trace(x).nodes["x"]

    assert site["is_observed"] and site["value"] is x
    assert model(x) is x


@programs
def test_particles(name: str) -> None:
    model, guide = PROGRAMS[name]()
    x = bits(7)

    with pyro.plate("particles", 3, dim=-2):
        z = poutine.trace(guide).get_trace(x)
        replayed = poutine.trace(poutine.replay(model, trace=z)).get_trace(x)

    replayed.compute_log_prob()
    z.compute_log_prob()

    for site, shape in SITES[name].items():
        assert z.nodes[site]["value"].shape == (3, 7, *shape)
        assert z.nodes[site]["log_prob"].shape == (3, 7)
        assert replayed.nodes[site]["log_prob"].shape == (3, 7)

    assert replayed.nodes["x"]["log_prob"].shape == (3, 7)


@programs
def test_stock_svi_moves_every_parameter_of_a_copy_only(name: str) -> None:
    model, guide = PROGRAMS[name]()
    x = bits(20)
    optimizer = pyro.optim.Adam({"lr": 1e-2})
    # The originals are in Pyro's store before they are copied.
    pyro.infer.SVI(model, guide, optimizer, pyro.infer.Trace_ELBO()).step(x)
    before = state(model), state(guide)
    twin, mate = copy.deepcopy(model), copy.deepcopy(guide)
    svi = pyro.infer.SVI(twin, mate, optimizer, pyro.infer.Trace_ELBO())

    for _ in range(3):
        svi.step(x)

    for program, double, old in zip((model, guide), (twin, mate), before, strict=True):
        assert all(torch.equal(value, old[key]) for key, value in program.named_parameters())
        assert all((value != old[key]).any() for key, value in double.named_parameters())


@programs
def test_names_are_unique(name: str) -> None:
    model, guide = PROGRAMS[name]()
    others = [*PROGRAMS[name](), copy.deepcopy(model), pickle.loads(pickle.dumps(model))]

    for program in (model, guide, *others):
        program(bits(3))

    count = sum(len(list(program.parameters())) for program in (model, guide, *others))
    assert len(pyro.get_param_store()) == count


@programs
def test_registers_no_frozen_parameter(name: str) -> None:
    model, _ = PROGRAMS[name]()
    model.requires_grad_(False)
    model(bits(3))

    assert len(pyro.get_param_store()) == 0


# Densities


def test_vae_joint() -> None:
    model = VAE(LearnedNormal((2,)), likelihood(2))
    x, z = bits(7), torch.randn(7, 2)
    trace = poutine.trace(poutine.condition(model, {"z": z})).get_trace(x)
    trace.compute_log_prob()

    assert torch.equal(trace.nodes["z"]["log_prob"], model.prior().log_prob(z))
    assert torch.equal(trace.nodes["x"]["log_prob"], model.likelihood(z).log_prob(x))


def test_hierarchical_joint_and_bottom_up() -> None:
    model, guide = PROGRAMS["three layers"]()
    x = bits(7)
    z = {"z1": torch.randn(7, 5), "z2": torch.randn(7, 3), "z3": torch.randn(7, 2)}
    p = poutine.trace(poutine.condition(model, z)).get_trace(x)
    q = poutine.trace(poutine.condition(guide, z)).get_trace(x)
    p.compute_log_prob()
    q.compute_log_prob()
    up = [x, z["z1"], z["z2"], z["z3"]]

    assert torch.equal(p.nodes["z3"]["log_prob"], model.prior().log_prob(z["z3"]))
    assert torch.equal(p.nodes["z2"]["log_prob"], model.layers[0](z["z3"]).log_prob(z["z2"]))
    assert torch.equal(p.nodes["z1"]["log_prob"], model.layers[1](z["z2"]).log_prob(z["z1"]))
    assert torch.equal(p.nodes["x"]["log_prob"], model.likelihood(z["z1"]).log_prob(x))

    for level, (below, above) in enumerate(pairwise(up), start=1):
        expected = guide.layers[level - 1](below).log_prob(above)
        assert torch.equal(q.nodes[f"z{level}"]["log_prob"], expected)


# Closed forms of the linear model


def random_linear(features: int = 4, latent: int = 2) -> Linear:
    model = Linear(features, latent, scale=0.7)
    with torch.no_grad():
        model.bias.normal_()

    return model


def joint(model: Linear) -> tuple[Tensor, Tensor]:
    r"""The mean and covariance of :math:`(z, x)`, put together block by block."""
    W, variance = model.weight.detach(), model.log_scale.detach().exp() ** 2
    D, d = W.shape
    top = torch.cat([torch.eye(d), W.T], 1)
    bottom = torch.cat([W, W @ W.T + variance * torch.eye(D)], 1)
    return torch.cat([torch.zeros(d), model.bias.detach()]), torch.cat([top, bottom])


@pytest.mark.parametrize("features, latent", [(1, 1), (4, 2), (5, 5)])
def test_linear_evidence(float64: None, features: int, latent: int) -> None:
    model = random_linear(features, latent)
    x = 3 * torch.randn(6, features)
    mean, covariance = joint(model)
    exact = MultivariateNormal(mean[latent:], covariance[latent:, latent:]).log_prob(x)

    torch.testing.assert_close(model.covariance, covariance[latent:, latent:])
    torch.testing.assert_close(model.log_evidence(x), exact, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("features, latent", [(1, 1), (4, 2), (5, 5)])
def test_linear_posterior(float64: None, features: int, latent: int) -> None:
    model = random_linear(features, latent)
    x = 3 * torch.randn(6, features)
    mean, covariance = joint(model)
    # The conditional of a normal vector: S_zz - S_zx S_xx^-1 S_xz, and so on.
    zz, zx = covariance[:latent, :latent], covariance[:latent, latent:]
    xx = covariance[latent:, latent:]
    gain = zx @ torch.linalg.inv(xx)
    posterior = model.posterior(x)

    assert posterior.batch_shape == (6,) and posterior.event_shape == (latent,)
    torch.testing.assert_close(posterior.mean, (x - mean[latent:]) @ gain.T, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(
        posterior.covariance_matrix, (zz - gain @ zx.T).expand(6, -1, -1), rtol=1e-10, atol=1e-10
    )


def test_linear_weights_are_the_evidence(float64: None) -> None:
    r"""log p(x, z) - log p(z | x) is log p(x) for every z."""
    model = random_linear()
    x, z = 3 * torch.randn(6, 4), 3 * torch.randn(6, 2)
    trace = poutine.trace(poutine.condition(model, {"z": z})).get_trace(x)
    trace.compute_log_prob()
    weights = trace.nodes["x"]["log_prob"] + trace.nodes["z"]["log_prob"]
    weights = weights - model.posterior(x).log_prob(z)

    torch.testing.assert_close(weights, model.log_evidence(x), rtol=1e-10, atol=1e-10)


def test_linear_draws_have_the_evidence_as_density() -> None:
    model = random_linear(features=2, latent=1)

    with torch.no_grad():
        x = model(n=10000)
        # One random seed in 1000 is below: test_families.py says why it is 1e-8 for vectors.
        assert auto_goodness_of_fit(x, model.log_evidence(x).exp()) > 1e-8


@pytest.mark.parametrize("latent", [1, 2, 3])
def test_maximum_likelihood_is_stationary(float64: None, latent: int) -> None:
    x = torch.randn(50, 4) @ torch.randn(4, 4) + torch.randn(4)
    model = Linear.maximum_likelihood(x, latent)
    evidence = model.log_evidence(x).mean()
    evidence.backward()

    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() < 1e-10, key

    # A stationary point that is a maximum: any other is lower.
    for _ in range(20):
        other = copy.deepcopy(model)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter += 0.05 * torch.randn_like(parameter)
        assert other.log_evidence(x).mean() < evidence


def rows(n: int = 50) -> Tensor:
    r"""Data of four elements with a mean, the variances of which tell directions apart."""
    turn = torch.linalg.qr(torch.randn(4, 4))[0]
    return torch.randn(n, 4) * torch.tensor([8.0, 4.0, 2.0, 0.7]) @ turn + 3 * torch.randn(4)


def mean_evidence(model: Linear, x: Tensor) -> float:
    return float(model.log_evidence(x).mean().detach())


@pytest.mark.parametrize(("latent", "steps"), [(1, 150), (2, 500), (3, 1500)])
def test_em_climbs_to_the_maximum(float64: None, latent: int, steps: int) -> None:
    r"""Each step raises the exact log p(x), up to rounding; where it ends, its gradient is zero."""
    x = rows()
    best = mean_evidence(Linear.maximum_likelihood(x, latent), x)
    model = Linear(4, latent)
    start = mean_evidence(model, x)
    history = model.fit_em(x, steps)
    model.log_evidence(x).mean().backward()

    assert history.shape == (steps + 1,) and not history.requires_grad
    assert float(history[0]) == start < best - 1
    assert float(history[-1]) == mean_evidence(model, x)
    assert float(history.diff().min()) > -1e-13 * abs(best)
    assert float(history[-1]) == pytest.approx(best, abs=1e-11)
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() < 1e-8, key


@pytest.mark.parametrize("latent", [1, 2, 3])
def test_a_step_of_em_maximizes_the_expected_joint(float64: None, latent: int) -> None:
    r"""log p(x, z) is quadratic in z: its expectation is that over two points along each axis."""
    x = rows()
    model = Linear(4, latent)
    with torch.no_grad():
        model.bias.copy_(x.mean(0))
    before = model.posterior(x)
    axes = latent**0.5 * before.scale_tril.mT.detach().movedim(-2, 0)
    z = torch.cat([before.mean.detach() + axes, before.mean.detach() - axes])

    def expected(model: Linear) -> Tensor:
        likelihood, prior = log_joint(model, {"x": x}, {"z": z})
        return (likelihood + prior).mean(0).mean()

    old = expected(model).detach()
    model.fit_em(x, steps=1)
    value = expected(model)
    value.backward()

    assert value > old
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().max() < 1e-10, key
    for _ in range(20):
        other = copy.deepcopy(model)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter += 0.01 * torch.randn_like(parameter)
        assert expected(other) < value


def test_em_follows_dtype_and_stops() -> None:
    r"""In single precision it falls by rounding at most; data of any type are taken."""
    x = rows().round()
    model = Linear(4, 2)
    history = model.fit_em(x.to(torch.int64), steps=1000, tolerance=1e-4)
    best = mean_evidence(Linear.maximum_likelihood(x.double(), 2), x.double())

    assert history.dtype == model.weight.dtype == torch.float32
    assert 5 < len(history) < 500 and history[-1] - history[-2] < 1e-4
    assert float(history.diff().min()) > -1e-6 * abs(best)
    assert float(history[-1]) == pytest.approx(best, abs=1e-2)
    assert Linear(4, 2).double().fit_em(x, steps=1).dtype == torch.float64


def test_maximum_likelihood_follows_dtype() -> None:
    x = 100 * torch.rand(50, 4, dtype=torch.float64)

    assert Linear.maximum_likelihood(x, 2).weight.dtype == torch.float64
    assert Linear.maximum_likelihood(x.to(torch.uint8), 2).weight.dtype == torch.float32


def test_exact_guide() -> None:
    model = random_linear()
    x = model(n=5).detach()
    guide = Amortized(model.posterior)

    assert guide(x).shape == (5, 2)
    assert not list(guide.parameters())


# Refusals


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: VAE(StandardNormal((3,)), likelihood(2)), r"shape \(3,\).*takes \(2,\)"),
        (
            lambda: Hierarchical(StandardNormal((3,)), [layer(2, 4)], likelihood(4)),
            r"z2 is drawn with shape \(3,\), but the layer below takes \(2,\)",
        ),
        (
            lambda: Hierarchical(StandardNormal((3,)), [layer(3, 4)], likelihood(3)),
            r"z1 is drawn with shape \(4,\), but the layer below takes \(3,\)",
        ),
        (
            lambda: BottomUp([layer(4, 3), layer(3, 2), layer(3, 2)]),
            r"z2 is drawn with shape \(2,\), but the layer above takes \(3,\)",
        ),
        (lambda: BottomUp([]), "one layer or more"),
        (lambda: Linear(features=3, latent=4), "1 <= latent <= features"),
        (lambda: Linear(features=3, latent=0), "1 <= latent <= features"),
        (lambda: Linear(features=3, latent=-1), "1 <= latent <= features"),
        (lambda: Linear(features=3, latent=1, scale=0.0), "scale of Linear must be positive"),
        (lambda: Linear(features=3, latent=1, scale=float("nan")), "must be positive"),
        (lambda: Linear.maximum_likelihood(torch.randn(9, 3), 3), "no noise beyond 3"),
        (lambda: Linear.maximum_likelihood(torch.randn(1, 3), 1), "no noise beyond 1"),
        (lambda: Linear.maximum_likelihood(torch.ones(9, 3), 1), "no noise beyond 1"),
        (
            lambda: Linear.maximum_likelihood(torch.randn(50, 2) @ torch.randn(2, 5), 2),
            "no noise beyond 2",
        ),
        (
            lambda: Linear.maximum_likelihood(torch.full((9, 3), float("nan")), 1),
            "NaN or infinite",
        ),
        (lambda: Linear.maximum_likelihood(torch.zeros(0, 3), 1), r"shape \(n, D\)"),
        (lambda: Linear.maximum_likelihood(torch.zeros(9), 1), r"shape \(n, D\)"),
        (lambda: Linear(3, 1).fit_em(torch.zeros(9)), r"shape \(n, 3\), got \(9,\)"),
        (lambda: Linear(3, 1).fit_em(torch.randn(9, 4)), r"shape \(n, 3\), got \(9, 4\)"),
        (lambda: Linear(3, 1).fit_em(torch.zeros(0, 3)), r"shape \(n, 3\)"),
        (lambda: Linear(3, 1).fit_em(torch.full((9, 3), float("inf"))), "NaN or infinite"),
        (lambda: Linear(3, 1).fit_em(torch.ones(9, 3)), "no noise beyond 1"),
        (lambda: Linear(3, 3).fit_em(torch.randn(9, 3)), "no noise beyond 3"),
        (lambda: Linear(3, 1).fit_em(torch.randn(9, 3), steps=0), "one step or more.*steps=0"),
        (
            lambda: Linear(3, 1).fit_em(torch.randn(9, 3), tolerance=float("nan")),
            "not negative; got steps=100 and tolerance=nan",
        ),
    ],
)
def test_refusals(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()
