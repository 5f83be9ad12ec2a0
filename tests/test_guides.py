r"""Laws of the guides that hold their model: semi-amortized, and the ladder."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn

from ppl_vae.conditional import Conditional
from ppl_vae.evaluation import log_evidence
from ppl_vae.families import (
    Bernoulli,
    Categorical,
    Family,
    FullRankNormal,
    Gamma,
    Laplace,
    Normal,
)
from ppl_vae.families.merge import merged
from ppl_vae.families.scale import unbounded
from ppl_vae.guides import Amortized, BottomUp, Ladder, SemiAmortized
from ppl_vae.models import VAE, Hierarchical, Linear
from ppl_vae.networks import mlp
from ppl_vae.objectives import ELBO, IWAE, MeanFieldELBO, Objective
from ppl_vae.priors import LearnedNormal, StandardNormal
from ppl_vae.program import Program
from ppl_vae.run import load, train
from ppl_vae.svi import SVI
from ppl_vae.weights import log_weights, simulate

D, d = 4, 2
NET = mlp([8])


def bits(n: int) -> Tensor:
    return torch.randint(0, 2, (n, D)).to(torch.get_default_dtype())


def posterior(family: Callable[[tuple[int]], Family] = Normal) -> Conditional:
    return Conditional((D,), family((d,)), NET)


def vae() -> VAE:
    return VAE(LearnedNormal((d,)), Conditional((d,), Bernoulli((D,)), NET))


def semi(family: Any = Normal, **options: Any) -> tuple[VAE, SemiAmortized]:
    model = vae()
    return model, SemiAmortized(posterior(family), **options).attach(model)


def chain(*sizes: int) -> list[Conditional]:
    return [Conditional((a,), Normal((b,)), NET) for a, b in pairwise(sizes)]


def ladder(*latents: int) -> tuple[Hierarchical, Ladder]:
    r"""A model of latent variables of some sizes, from the data up, and its ladder."""
    likelihood = Conditional((latents[0],), Bernoulli((D,)), NET)
    model = Hierarchical(LearnedNormal((latents[-1],)), chain(*latents[::-1]), likelihood)
    return model, Ladder(chain(D, *latents)).attach(model)


PAIRS: dict[str, Callable[[], tuple[Program, Program]]] = {
    "semi-amortized": lambda: semi(steps=2, rate=0.1),
    "semi-amortized, first order": lambda: semi(steps=2, rate=0.1, through=False),
    "semi-amortized, full rank": lambda: semi(FullRankNormal, steps=2, particles=2),
    "ladder": lambda: ladder(3, 2),
    "ladder of three": lambda: ladder(5, 3, 2),
}

pairs = pytest.mark.parametrize("name", PAIRS)


def loss_at(objective: Objective, model: Any, guide: Any, x: Tensor, seed: int = 1) -> Tensor:
    torch.manual_seed(seed)
    return objective.differentiable_loss(model, guide, x)


def z_score(values: Tensor) -> float:
    return float(values.mean() / values.std() * len(values) ** 0.5)


# Laws of both


@pairs
def test_holds_no_parameter_of_the_model(name: str) -> None:
    model, guide = PAIRS[name]()
    own = {id(p) for p in guide.parameters()}

    assert own and not own & {id(p) for p in model.parameters()}
    assert not any("model" in key for key in guide.state_dict())


OTHERS = [pytest.param(o, marks=pytest.mark.slow) for o in (MeanFieldELBO, partial(IWAE, 3))]


@pairs
@pytest.mark.parametrize("objective", [ELBO, *OTHERS])
def test_is_captured(name: str, objective: Callable[[], Objective]) -> None:
    r"""To the bit what runs eagerly, while the parameters of the model move."""
    losses = {}

    for compile in ("off", "fx"):
        torch.manual_seed(0)
        model, guide = PAIRS[name]()
        x = bits(9)
        adam = partial(torch.optim.Adam, lr=1e-2)
        svi = SVI(model, guide, adam, objective(), compile=compile)
        svi.plan(1000, None, x)
        torch.manual_seed(1)
        losses[compile] = [float(svi.step(x)) for _ in range(6)]
        assert svi.backend == compile and svi.reason is None

    assert losses["off"] == losses["fx"] and len({*losses["fx"]}) == 6


@pairs
def test_capture_follows_the_model(name: str) -> None:
    r"""Parameters that are changed in place, and another model that is attached."""
    model, guide = PAIRS[name]()
    x = bits(9)
    svi = SVI(model, guide, partial(torch.optim.SGD, lr=0.0), compile="fx")
    svi.plan(1000, None, x)

    def step() -> float:
        torch.manual_seed(1)
        return float(svi.step(x))

    first = [step() for _ in range(4)]
    other = copy.deepcopy(model)
    with torch.no_grad():
        for p in [*model.parameters()]:
            p.mul_(1.5)
    changed = step()
    guide.attach(other)  # as it was before
    attached = step()

    assert svi.reason is None and len({*first}) == 1
    for got, held in ((changed, model), (attached, other)):
        guide.attach(held)
        expected = float(loss_at(ELBO(), model, guide, x).detach()) / len(x)
        assert got == pytest.approx(expected, rel=1e-6)
    assert len({first[0], changed, attached}) == 3


@pairs
def test_copies(name: str) -> None:
    r"""A copy made together with its model holds the copy of that."""
    model, guide = PAIRS[name]()
    x = bits(9)
    expected = float(loss_at(ELBO(), model, guide, x).detach())
    twin, mate = copy.deepcopy((model, guide))
    assert float(loss_at(ELBO(), twin, mate, x).detach()) == expected

    with torch.no_grad():
        for p in twin.parameters():
            p.mul_(1.5)
    assert float(loss_at(ELBO(), model, guide, x).detach()) == expected

    new, fresh = PAIRS[name]()
    new.load_state_dict(twin.state_dict())
    fresh.load_state_dict(mate.state_dict())
    changed = float(loss_at(ELBO(), twin, mate, x).detach())
    assert changed != expected
    assert float(loss_at(ELBO(), new, fresh, x).detach()) == changed


@pairs
def test_evidence(float64: None, name: str) -> None:
    r"""Nothing changes, and the estimate is that of draws from the prior.

    Of 20 data the largest difference is within 4.5 standard errors but once in 7000 seeds: wide
    posteriors keep the tails of the weights light, so that the errors hold.
    """
    model, guide = PAIRS[name]()
    with torch.no_grad():
        for q in [q for q in guide.modules() if isinstance(q, Conditional)]:
            q.net[-2].bias[q.family.event_shape[0] :][: q.family.event_shape[0]] += 2.0
    x = bits(20)
    before = [p.clone() for m in (model, guide) for p in m.parameters()]
    e = log_evidence(model, guide, x, particles=2000)

    with torch.no_grad():
        drawn = simulate(model, 50_000)
        p = model.likelihood(drawn["z" if "z" in drawn else "z1"][:, None]).log_prob(x).exp()
    error = (e.standard_error**2 + p.var(0) / p.mean(0) ** 2 / len(p)).sqrt()

    assert e.khat.max() < 0.5
    assert ((e.log_evidence - p.mean(0).log()).abs() / error).max() < 4.5
    after = [p for m in (model, guide) for p in m.parameters()]
    assert all(torch.equal(p, q) and p.grad is None for p, q in zip(after, before, strict=True))


# The semi-amortized guide


def pca(n: int = 8, **options: Any) -> tuple[Linear, SemiAmortized, Tensor]:
    r"""Probabilistic PCA, and a guide that starts far from the posterior."""
    model = Linear(D, d, scale=0.7)
    q = posterior(FullRankNormal)
    with torch.no_grad():
        q.net[-2].bias += 1.0
    return model, SemiAmortized(q, **options).attach(model), model(n=n).detach()


def test_reaches_the_exact_posterior(float64: None) -> None:
    r"""There each weight is the evidence. The gradient has no noise left, so it is exact."""
    model, guide, x = pca(steps=300, rate=0.1)
    exact = model.log_evidence(x).detach()

    with torch.no_grad():
        start = log_weights(model, Amortized(guide.posterior), x, 100).log_weight.mean(0)
        end = log_weights(model, guide, x, 3).log_weight

    assert (exact - start).min() > 0.1
    torch.testing.assert_close(end, exact.expand(3, -1), rtol=0, atol=1e-8)


@pytest.mark.parametrize("family", [Normal, FullRankNormal, Laplace])
def test_steps_raise_the_bound(family: Callable[[tuple[int]], Family]) -> None:
    r"""With the default options, on average over 8000 data: by more than 6 standard errors."""
    model, guide = semi(family)
    x = bits(8000)

    with torch.no_grad():
        guide.posterior.net[-2].bias += 2.0
        before = log_weights(model, Amortized(guide.posterior), x, 20).log_weight.mean(0)
        after = log_weights(model, guide, x, 20).log_weight.mean(0)

    assert z_score(after - before) > 6


def test_no_steps_is_amortized() -> None:
    model, guide = semi(steps=0)
    x = bits(9)

    expected = loss_at(ELBO(), model, Amortized(guide.posterior), x)
    assert torch.equal(loss_at(ELBO(), model, guide, x), expected)
    assert SemiAmortized(posterior(), steps=0)(x).shape == (9, d)  # without a model


def test_data_are_independent(float64: None, monkeypatch: pytest.MonkeyPatch) -> None:
    r"""Refined alone, a datum gets what it gets in a batch under the same noise."""
    _, guide = semi(steps=3, rate=0.3, particles=2)
    x, n = bits(5), 5
    noise = torch.randn(6, n, d)
    rows, drawn = slice(None), iter(())

    def standard(shape: Any, **_: Any) -> Tensor:
        return next(drawn)[rows].expand(shape)

    monkeypatch.setattr("torch.distributions.normal._standard_normal", standard)
    drawn = iter(noise)
    together = guide.refined(x).detach()

    for i in range(n):
        rows, drawn = slice(i, i + 1), iter(noise)
        alone = guide.refined(x[i : i + 1]).detach()
        torch.testing.assert_close(alone[0], together[i], rtol=1e-10, atol=1e-10)

    assert (together - guide.posterior.h(x)).abs().amin(0).max() > 0.01


@pytest.mark.parametrize("clip", [0.05, 100.0])
@pytest.mark.parametrize("family", [Normal, FullRankNormal, Laplace])
def test_second_order_gradient(float64: None, family: Any, clip: float) -> None:
    r"""The gradient through the steps is that of central differences, for both programs."""
    model, guide = semi(family, steps=3, rate=0.3, clip=clip)
    x = bits(5)

    for program in (model, guide):
        check_gradient(partial(loss_at, ELBO(), model, guide, x), program)


@pytest.mark.parametrize("family", [Normal, FullRankNormal, Laplace])
def test_first_order_gradient(float64: None, family: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    r"""The gradient is that of a guide to which the steps are constants."""
    model, guide = semi(family, steps=3, rate=0.3, through=False)
    x = bits(5)
    loss = partial(loss_at, ELBO(), model, guide, x)
    params = list(guide.parameters())
    first = torch.autograd.grad(loss(), params)
    guide.through = True
    second = torch.autograd.grad(loss(), params)
    guide.through = False
    assert max((a - b).abs().max() for a, b in zip(first, second, strict=True)) > 1e-3

    torch.manual_seed(1)
    refined = guide.refined
    moved = (refined(x) - guide.posterior.h(x)).detach()

    def constant(x: Tensor) -> Tensor:
        refined(x)  # draws what it draws
        return guide.posterior.h(x) + moved

    def frozen() -> Tensor:
        with monkeypatch.context() as patch:
            patch.setattr(guide, "refined", constant)
            return loss()

    for program in (model, guide):
        check_gradient(frozen, program, of=loss)


def check_gradient(
    function: Callable[[], Tensor], program: nn.Module, of: Callable[[], Tensor] | None = None
) -> None:
    r"""Compares the gradient of a function, or of another, with differences along a direction."""
    params = list(program.parameters())
    direction = [torch.randn_like(p) for p in params]
    grads = torch.autograd.grad((of or function)(), params)
    slope = sum((g * v).sum() for g, v in zip(grads, direction, strict=True))
    values = []

    for eps in (1e-5, -1e-5):
        with torch.no_grad():
            for p, v in zip(params, direction, strict=True):
                p += eps * v
        values.append(function().detach())
        with torch.no_grad():
            for p, v in zip(params, direction, strict=True):
                p -= eps * v

    torch.testing.assert_close(slope, (values[0] - values[1]) / 2e-5, rtol=1e-6, atol=1e-7)
    assert slope.abs() > 1e-3


def test_particles_share_one_refinement() -> None:
    model, guide = semi(steps=2, rate=0.3)
    q = log_weights(model, guide, bits(5), 7).sites["z"].q

    assert q.batch_shape == (7, 5)
    assert torch.equal(q.mean, q.mean[:1].expand(7, -1, -1))


@torch.no_grad()
def test_clip_bounds_each_datum(float64: None) -> None:
    x = bits(50)
    _, guide = semi(steps=1, rate=1.0, clip=0.1)
    norm = (guide.refined(x) - guide.posterior.h(x)).flatten(1).norm(dim=1)

    assert norm.max() == pytest.approx(0.1) and norm.min() > 0
    guide.clip = math.inf
    assert (guide.refined(x) - guide.posterior.h(x)).flatten(1).norm(dim=1).max() > 0.2


@pytest.mark.parametrize("h", [-1e6, 1e6])
def test_extremes(h: float) -> None:
    _, guide = semi()
    with torch.no_grad():
        guide.posterior.net[-2].bias.fill_(h)

    refined = guide.refined(bits(5))
    refined.sum().backward()

    assert refined.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in guide.parameters())


@torch.no_grad()
def test_dtype_and_other_arguments(float64: None) -> None:
    r"""Integers are data too; what else the batch holds reaches the model, the index apart."""
    seen = []

    def model(x: Tensor, y: Tensor) -> None:
        seen.append(y)
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(d), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z @ W + y[:, None], 1.0).to_event(1), obs=x)

    W = torch.randn(d, D)
    guide = SemiAmortized(posterior(), steps=2).attach(model)
    x, y = torch.randint(0, 2, (5, D)), torch.arange(5.0)
    w = log_weights(model, guide, {"x": x, "y": y, "index": torch.arange(5)}, 3)

    assert w.log_weight.dtype == torch.float64 and w.log_weight.isfinite().all()
    assert len(seen) >= 3 and all(t is y for t in seen)


def test_masks_and_scales(float64: None) -> None:
    r"""A masked datum has a flat likelihood; the scale of a minibatch leaves steps as they are."""

    def model(x: Tensor, total: int = 5, mask: bool = True) -> None:
        with pyro.plate("data", total, subsample=torch.arange(len(x)), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(d), 1.0).to_event(1))
            with pyro.poutine.mask(mask=torch.tensor(mask)):
                pyro.sample("x", dist.Normal(z.sum(-1, True), 1.0).to_event(1), obs=x)

    x = bits(5)
    guide = SemiAmortized(posterior(), steps=2, rate=0.1, clip=math.inf)
    moved = {}

    for key, options in {"": {}, "scaled": {"total": 500}, "masked": {"mask": False}}.items():
        guide.attach(partial(model, **options))
        torch.manual_seed(1)
        moved[key] = guide.refined(x).detach() - guide.posterior.h(x).detach()

    torch.testing.assert_close(moved["scaled"], moved[""], rtol=1e-12, atol=1e-12)
    assert (moved["masked"] - moved[""]).abs().max() > 0.01


def test_sums_out_what_the_model_enumerates(float64: None) -> None:
    r"""A step is that under the model that has the mixture for its likelihood."""
    centres = torch.randn(3, D)

    def model(x: Tensor, enumerated: bool) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(d), 1.0).to_event(1))
            weights = dist.Categorical(logits=torch.arange(3.0))
            if enumerated:
                y = pyro.sample("y", weights, infer={"enumerate": "parallel"})
                law = dist.Normal(centres[y] + z.sum(-1, True), 1.0).to_event(1)
            else:
                parts = dist.Normal(centres + z.sum(-1)[:, None, None], 1.0).to_event(1)
                law = dist.MixtureSameFamily(weights, parts)
            pyro.sample("x", law, obs=x)

    x = bits(5)
    guide = SemiAmortized(posterior(), steps=1, rate=0.1)
    refined = []

    for enumerated in (True, False):
        guide.attach(partial(model, enumerated=enumerated))
        torch.manual_seed(1)
        refined.append(guide.refined(x).detach())

    torch.testing.assert_close(*refined, rtol=1e-10, atol=1e-10)
    assert (refined[0] - guide.posterior.h(x)).abs().max() > 0.01


@pytest.mark.parametrize(
    "options",
    [
        "digits --guide SemiAmortized --guide.steps 2",
        "layers",
        "layers --guide Ladder --objective MeanFieldELBO",
        "layers --latents [3,2,2] --guide BottomUp",
    ],
)
def test_stored_run(tmp_path: Path, options: str) -> None:
    r"""A run that is loaded has a guide that holds the model that was loaded."""
    small = "--encoder.hidden [8] --decoder.hidden [8] --epochs 1 --batch_size 512"
    experiment, *given = f"{options} {small}".split()
    run = train(experiment, tmp_path / "run", given, progress=False)
    x = run.batch("test", 20)["x"]
    loaded = load(tmp_path / "run")
    a, b = (r.log_evidence(x, particles=10).log_evidence for r in (run, loaded))

    assert torch.equal(a, b)
    if "BottomUp" not in options:
        assert any(held is loaded.model for held in loaded.guide._model)


# The ladder


@pytest.mark.parametrize("shape", [(3,), (2, 3), ()])
def test_merge_is_the_product_of_densities(float64: None, shape: tuple[int, ...]) -> None:
    family = Normal(shape)
    a, b = (family(torch.randn(*lead, 2, *shape)) for lead in ((7, 1), (5,)))
    q = merged(a, b)
    y = torch.randn(11, 7, 5, *shape)
    constant = a.log_prob(y) + b.log_prob(y) - q.log_prob(y)

    assert q.batch_shape == (7, 5) and q.event_shape == shape
    torch.testing.assert_close(constant, constant[:1].expand(11, -1, -1), rtol=1e-10, atol=1e-10)


def test_merge_at_extremes() -> None:
    family = Normal((1,))
    h = torch.tensor([[-1e6], [1e6]]).requires_grad_()  # loc and rho, far out

    for sign in (1, -1):
        q = merged(family(h), family(sign * h))
        (grad,) = torch.autograd.grad(q.mean.sum() + q.stddev.log().sum(), h)
        assert q.mean.isfinite().all() and (q.stddev > 0).all() and grad.isfinite().all()


def test_draws_from_the_merge(float64: None) -> None:
    r"""Each site below the top has the density of the product, by precisions."""
    model, guide = ladder(5, 3, 2)
    x = bits(7)
    sites = log_weights(model, guide, x).sites
    z3, z2 = (sites[name].value[0] for name in ("z3", "z2"))
    q1, q2, q3 = guide.layers
    up1 = q1(x)
    up2 = q2(up1.mean)
    up3 = q3(up2.mean)

    assert list(sites) == ["z3", "z2", "z1"]
    torch.testing.assert_close(sites["z3"].q.mean, up3.mean)
    torch.testing.assert_close(sites["z3"].q.stddev, up3.stddev)

    for name, up, down in (
        ("z2", up2, model.layers[0](z3)),
        ("z1", up1, model.layers[1](z2)),
    ):
        a, b = 1 / up.variance, 1 / down.variance
        torch.testing.assert_close(sites[name].q.variance, 1 / (a + b))
        mean = (a * up.mean + b * down.mean) / (a + b)
        torch.testing.assert_close(sites[name].q.mean, mean)


def test_one_layer_is_amortized() -> None:
    q = Conditional((D,), Normal((2,)), NET)
    model = Hierarchical(LearnedNormal((2,)), [], Conditional((2,), Bernoulli((D,)), NET))
    x = bits(7)
    drawn = []

    for guide in (Ladder([q]).attach(model), BottomUp([q])):
        torch.manual_seed(1)
        drawn.append(log_weights(model, guide, x, 3))

    for name in ("likelihood", "prior", "guide"):
        assert torch.equal(getattr(drawn[0], name), getattr(drawn[1], name))

    torch.manual_seed(1)
    other = log_weights(VAE(model.prior, model.likelihood), Amortized(q), x, 3)
    assert torch.equal(drawn[0].log_weight, other.log_weight)


def affine(rows: list[list[float]]) -> Callable[..., nn.Module]:
    r"""A builder of the map from ``(n, 1)`` to ``(n, features, 1)`` with given slope and offset."""

    def build(in_shape: Any, out_shape: Any) -> nn.Module:
        linear = nn.Linear(1, len(rows))
        with torch.no_grad():
            linear.weight.copy_(torch.tensor([[slope] for slope, _ in rows]))
            linear.bias.copy_(torch.tensor([offset for _, offset in rows]))
        return nn.Sequential(linear, nn.Unflatten(-1, torch.Size(out_shape)))

    return build


def test_is_exact_where_all_is_linear(float64: None) -> None:
    r"""Of a chain of three normal numbers the ladder is the posterior: weights are the evidence."""
    a, s1, s = 0.8, 0.6, 0.4
    model = Hierarchical(
        StandardNormal((1,)),
        [Conditional((1,), Normal((1,), scale=s1), affine([[a, 0.0]]))],
        Conditional((1,), Normal((1,), scale=s), affine([[1.0, 0.0]])),
    )
    v = s1**2 + s**2
    gain, spread = a / (a**2 + v), (v / (a**2 + v)) ** 0.5
    rho1, rho2 = (float(unbounded(torch.tensor(t), 1e-4, 1e3)) for t in (s, spread))
    guide = Ladder(
        [
            Conditional((1,), Normal((1,)), affine([[1.0, 0.0], [0.0, rho1]])),
            Conditional((1,), Normal((1,)), affine([[gain, 0.0], [0.0, rho2]])),
        ]
    ).attach(model)
    x = torch.randn(6, 1)
    exact = dist.Normal(0.0, (a**2 + v) ** 0.5).log_prob(x[:, 0])
    w = log_weights(model, guide, x, 5).log_weight

    torch.testing.assert_close(w, exact.expand(5, -1), rtol=0, atol=1e-10)


def test_divergences_are_those_of_the_estimate(float64: None) -> None:
    r"""MeanFieldELBO has the mean of ELBO: a z-score of 4.5 fails once in 150000 seeds."""
    model, guide = ladder(5, 3, 2)
    x = bits(3000)

    with torch.no_grad():
        torch.manual_seed(1)
        weights = log_weights(model, guide, x, 2)
        analytic = weights.likelihood - sum(site.kl() for site in weights.sites.values())
        difference = (analytic - weights.log_weight).mean(0)
        torch.manual_seed(1)
        loss = MeanFieldELBO(particles=2).loss(model, guide, x)

    torch.testing.assert_close(loss, -analytic.sum() / 2)
    assert abs(z_score(difference)) < 4.5 and difference.std() > 0


def test_shares_the_conditionals_of_the_model() -> None:
    model, guide = ladder(3, 2)
    log_weights(model, guide, bits(5)).guide.sum().backward()

    assert all(p.grad is not None for p in model.layers.parameters())
    assert all(p.grad is None for p in model.likelihood.parameters())


def test_pass_up_of_its_own(float64: None) -> None:
    model, _ = ladder(3, 2)
    up = [nn.Sequential(nn.Linear(a, 6), nn.Tanh()) for a in (D, 6)]
    layers = [Conditional((6,), Normal((size,)), mlp([])) for size in (3, 2)]
    guide = Ladder(layers, up).attach(model)
    x = bits(7)
    sites = log_weights(model, guide, x).sites
    d1 = up[0](x)
    top = layers[1](up[1](d1))
    low = merged(layers[0](d1), model.layers[0](sites["z2"].value[0]))

    torch.testing.assert_close(sites["z2"].q.mean, top.mean)
    torch.testing.assert_close(sites["z1"].q.mean, low.mean)
    assert all(p is not None for p in guide.up.parameters()) and len(list(guide.parameters())) == 8


# Refusals


def other_site(x: Tensor) -> None:
    with pyro.plate("data", len(x), dim=-1):
        pyro.sample("w", dist.Normal(torch.zeros(d), 1.0).to_event(1))
        pyro.sample("x", dist.Normal(torch.zeros(D), 1.0).to_event(1), obs=x)


REFUSALS: dict[str, tuple[Callable[[], Any], str]] = {
    "function": (lambda: SemiAmortized(lambda x: x), "one Conditional of the data, got function"),
    "list": (lambda: SemiAmortized([posterior()]), "Conditional of the data, got list"),
    "steps": (lambda: SemiAmortized(posterior(), steps=-1), "steps=-1"),
    "particles": (lambda: SemiAmortized(posterior(), particles=0), "particles=0"),
    "rate": (lambda: SemiAmortized(posterior(), rate=math.inf), "positive rate.*rate=inf"),
    "clip": (lambda: SemiAmortized(posterior(), clip=0.0), "clip=0.0"),
    "discrete": (
        lambda: SemiAmortized(Conditional((D,), Categorical((d,), 3), NET)),
        "those of Categorical do not pass",
    ),
    "no model": (lambda: SemiAmortized(posterior())(bits(3)), "no model yet; call guide.attach"),
    "two sites": (
        lambda: SemiAmortized(posterior()).attach(ladder(3, 2)[0])(bits(3)),
        "one latent site, 'z'; this one draws 'z1', 'z2'",
    ),
    "another site": (
        lambda: SemiAmortized(posterior()).attach(other_site)(bits(3)),
        r"one latent site, 'z'; this one draws 'w'\.$",
    ),
    "gamma": (
        lambda: SemiAmortized(Conditional((D,), Gamma((d,)), NET)),
        "draws of Gamma have no second derivative; give through=False",
    ),
    "no layers": (lambda: Ladder([]), "Ladder needs one layer or more"),
    "one conditional": (lambda: Ladder(posterior()), "Ladder needs a list.*take Amortized"),
    "one for BottomUp": (lambda: BottomUp(posterior()), "BottomUp needs a list.*take Amortized"),
    "several for Amortized": (lambda: Amortized(chain(D, 3, 2)), "got list; for several layers"),
    "broken chain": (
        lambda: Ladder([*chain(D, 3), *chain(2, 1)]),
        r"z1 is drawn with shape \(3,\), but the layer above takes \(2,\)",
    ),
    "laplace": (
        lambda: Ladder([Conditional((D,), Laplace((d,)), NET)]),
        "Layer 1 of Ladder is of the family Laplace",
    ),
    "ups": (lambda: Ladder(chain(D, 3, 2), [nn.Identity()]), "got 1 for 2"),
    "ladder without model": (lambda: Ladder(chain(D, 3))(bits(3)), "Ladder has no model yet"),
    "ladder of a VAE": (lambda: Ladder(chain(D, 3)).attach(vae()), "VAE has none"),
    "other depth": (
        lambda: Ladder(chain(D, 3)).attach(ladder(3, 2)[0]),
        "of 1 layers needs a model whose layers are 0 conditionals.*Hierarchical has 1",
    ),
    "other shape": (
        lambda: Ladder(chain(D, 4, 2)).attach(ladder(3, 2)[0]),
        r"z1 with shape \(3,\), but Ladder estimates \(4,\)",
    ),
    "other family": (
        lambda: Ladder(chain(D, 3, 2)).attach(
            Hierarchical(
                StandardNormal((2,)),
                [Conditional((2,), Laplace((3,)), NET)],
                Conditional((3,), Bernoulli((D,)), NET),
            )
        ),
        "conditional of z1 is of the family Laplace",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name: str) -> None:
    make, sentence = REFUSALS[name]
    with pytest.raises(ValueError, match=sentence):
        make()


def test_attach_is_for_everyone() -> None:
    guide = Amortized(posterior())
    assert guide.attach(vae()) is guide is guide.attach()
