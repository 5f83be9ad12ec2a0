r"""Laws of importance weights, and one sentence for each program that has none."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine
from torch import Tensor, nn

from ppl_vae import families, priors
from ppl_vae.conditional import Conditional
from ppl_vae.guides import Amortized, BottomUp, Ladder
from ppl_vae.models import VAE, Hierarchical, Linear
from ppl_vae.networks import mlp
from ppl_vae.weights import (
    draw_guide,
    log_joint,
    log_weights,
    plate_depth,
    rescore,
    simulate,
)

Triple = tuple[Any, Any, Tensor]

D, d, n = 5, 2, 4
NET = mlp([8])


class _Unit(families.Family):
    r"""Elements in the unit interval."""

    def forward(self, h: Tensor) -> Any:
        (h,) = self.unbind(h)
        return dist.Beta(h.exp(), h.exp()).to_event(len(self.event_shape))


def data(likelihood: families.Family) -> Tensor:
    h = torch.randn(n, *likelihood.param_shape)
    return likelihood(h).sample().to(torch.get_default_dtype())


def vae(prior: priors.Prior, posterior: families.Family, likelihood: families.Family) -> Triple:
    r"""A VAE with random weights, its amortized guide, and data in the likelihood's support."""
    x = data(likelihood)
    q = Conditional(x.shape[1:], posterior, NET)
    prior.attach(q, x)
    return VAE(prior, Conditional(prior.event_shape, likelihood, NET)), Amortized(q), x


def linear(features: int = D, latent: int = d) -> Triple:
    model = Linear(features, latent, scale=0.7)
    return model, Amortized(model.posterior), model(n=n).detach()


def hierarchical() -> Triple:
    likelihood = families.Bernoulli((1, 2, 3))
    layers = [Conditional((2,), families.Normal((3,)), NET)]
    model = Hierarchical(priors.StandardNormal((2,)), layers, Conditional((3,), likelihood, NET))
    q1 = Conditional((1, 2, 3), families.Normal((3,)), NET)
    return (
        model,
        BottomUp([q1, Conditional((3,), families.FullRankNormal((2,)), NET)]),
        data(likelihood),
    )


def ladder() -> Triple:
    model, _, x = hierarchical()
    q1 = Conditional((1, 2, 3), families.Normal((3,)), NET)
    return model, Ladder([q1, Conditional((3,), families.Normal((2,)), NET)]).attach(model), x


class TopDown(nn.Module):
    r"""A guide of two layers that draws in the model's order, as a user may write it."""

    def __init__(self) -> None:
        super().__init__()
        self.top = Conditional((6,), families.Normal((2,)), NET)
        self.low = Conditional((8,), families.Normal((3,)), NET)

    def forward(self, x: Tensor) -> None:
        pyro.module("TopDown", self)
        x = x.flatten(1)

        with pyro.plate("data", len(x), dim=-1):
            z2 = pyro.sample("z2", self.top(x))
            pyro.sample("z1", self.low(torch.cat([x.expand(*z2.shape[:-1], 6), z2], -1)))


def top_down() -> Triple:
    model, _, x = hierarchical()
    return model, TopDown(), x


def other_plate() -> Triple:
    r"""Plain functions in Pyro's habits: another name of the plate, parameters in the store."""

    def model(x: Tensor) -> None:
        loc = pyro.param("loc", torch.tensor(0.5))
        with pyro.plate("rows", len(x)):
            z = pyro.sample("z", dist.Normal(loc, 1.0))
            pyro.sample("obs", dist.Normal(z, 0.5), obs=x)

    def guide(x: Tensor) -> None:
        slope = pyro.param("slope", torch.tensor(0.3))
        with pyro.plate("rows", len(x)):
            pyro.sample("z", dist.Normal(slope * x, 0.8))

    return model, guide, torch.randn(n)


def nested() -> Triple:
    r"""An inner plate of three sensors within each datum, with latent variables of their own."""

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            with pyro.plate("sensors", 3, dim=-2):
                bias = pyro.sample("bias", dist.Normal(z, pyro.param("s", torch.tensor(0.5))))
                pyro.sample("x", dist.Normal(bias, 0.3), obs=x.mT)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(x.mean(1), 0.7))
            with pyro.plate("sensors", 3, dim=-2):
                pyro.sample("bias", dist.Normal(0.5 * (x.mT + z), 0.4))

    return model, guide, torch.randn(n, 3)


normal = families.Normal
PROGRAMS: dict[str, Callable[[], Triple]] = {
    "linear": linear,
    "normal, bernoulli": lambda: vae(
        priors.StandardNormal((d,)), normal((d,)), families.Bernoulli((1, 2, 3))
    ),
    "learned, full rank, binomial": lambda: vae(
        priors.LearnedNormal((d,)), families.FullRankNormal((d,)), families.Binomial((D,), 4)
    ),
    "mixture, laplace": lambda: vae(
        priors.GaussianMixture((d,), 3), families.Laplace((d,)), normal((D,), scale="shared")
    ),
    "flow prior": lambda: vae(priors.Flow((d,), hidden=(8,)), normal((d,)), families.Laplace((D,))),
    "flow posterior": lambda: vae(
        priors.StandardNormal((d,)),
        families.Flow((d,), hidden=(8,), context=3),
        families.Categorical((D,), 3),
    ),
    "vamp": lambda: vae(priors.Vamp((d,), 3), normal((d,)), families.Bernoulli((D,))),
    "categorical latent": lambda: vae(
        priors.Categorical((d,), 3),
        families.Categorical((d,), 3),
        normal((D,)),
    ),
    "bernoulli latent": lambda: vae(
        priors.Bernoulli((d,), learned=True),
        families.Bernoulli((d,)),
        normal((D,), scale=0.5),
    ),
    "hierarchical": hierarchical,
    "ladder": ladder,
    "top down": top_down,
    "other plate": other_plate,
    "nested": nested,
}

programs = pytest.mark.parametrize("name", PROGRAMS)
particles = pytest.mark.parametrize(
    ("K", "vectorized"), [(1, True), (3, True), (3, False)], ids=["1", "3", "3 looped"]
)


def alone(program: Any, x: Tensor, values: dict[str, Tensor]) -> dict[str, Tensor]:
    r"""The log density of each site for one datum, by Pyro's own arithmetic without particles."""
    trace = poutine.trace(poutine.condition(program, values)).get_trace(x)
    trace.compute_log_prob()
    return {k: v["log_prob_sum"] for k, v in trace.nodes.items() if "log_prob_sum" in v}


def close(a: Tensor, b: Tensor, tol: float = 1e-10) -> None:
    torch.testing.assert_close(a, b, rtol=tol, atol=tol)


# Laws of every pair of programs


@particles
@programs
@torch.no_grad()
def test_each_datum_stands_alone(float64: None, name: str, K: int, vectorized: bool) -> None:
    model, guide, x = PROGRAMS[name]()
    w = log_weights(model, guide, x, K, vectorized=vectorized)

    assert w.likelihood.shape == w.prior.shape == w.guide.shape == (K, n)
    assert w.scale == 1.0 and w.global_term is None and w.global_sites == ()
    assert {*w.guide_order} == {*w.sites}
    assert (w.log_weight == w.likelihood + w.prior - w.guide).all()

    for k in range(K):
        for i in range(n):
            values = {
                key: site.value[k].narrow(-1 - len(site.q.event_shape), i, 1)
                for key, site in w.sites.items()
            }
            p, q = alone(model, x[i : i + 1], values), alone(guide, x[i : i + 1], values)
            prior = sum(p.pop(key) for key in values)

            close(w.likelihood[k, i], sum(p.values(), torch.zeros(())), 1e-8)
            close(w.prior[k, i], prior, 1e-8)
            close(w.guide[k, i], sum(q.values(), torch.zeros(())), 1e-8)


@particles
@programs
@torch.no_grad()
def test_draws_differ(name: str, K: int, vectorized: bool) -> None:
    model, guide, x = PROGRAMS[name]()
    values = [
        s.value for s in log_weights(model, guide, x, K, vectorized=vectorized).sites.values()
    ]
    rows = torch.cat([v.flatten(1) for v in values], 1)

    assert len(rows.unique(dim=0)) == K  # discrete ones fall together with probability < 1e-3


@particles
@programs
@torch.no_grad()
def test_rescore(float64: None, name: str, K: int, vectorized: bool) -> None:
    model, guide, x = PROGRAMS[name]()
    w = log_weights(model, guide, x, K, vectorized=vectorized)
    values = {key: site.value for key, site in w.sites.items()}
    again = rescore(model, guide, x, values)

    close(again.likelihood, w.likelihood)
    close(again.prior, w.prior)
    close(again.guide, w.guide, 1e-8)  # a flow inverts its map, up to the error of a bisection

    likelihood, prior = log_joint(model, x, values)
    close(likelihood, w.likelihood)
    close(prior, w.prior)


@programs
@torch.no_grad()
def test_draw_guide(float64: None, name: str) -> None:
    model, guide, x = PROGRAMS[name]()
    depth = plate_depth(model, guide, x)

    for K in (1, 3):
        torch.manual_seed(1)
        w = log_weights(model, guide, x, K, depth=depth)
        torch.manual_seed(1)
        values, log_q = draw_guide(guide, x, K, depth=depth)

        assert (log_q == w.guide).all()
        assert all((values[key] == site.value).all() for key, site in w.sites.items())


@programs
def test_gradients(float64: None, name: str) -> None:
    model, guide, x = PROGRAMS[name]()
    log_weights(model, guide, x, 2).log_weight.sum().backward()
    modules = [p for p in (model, guide) if isinstance(p, nn.Module)]
    parameters = {k: p for m in modules for k, p in m.named_parameters()}
    parameters |= dict(pyro.get_param_store().named_parameters())

    silent = [k for k, p in parameters.items() if p.grad is None or not p.grad.isfinite().all()]
    assert parameters and not silent


@programs
def test_dry_run(name: str) -> None:
    model, guide, x = PROGRAMS[name]()
    before = torch.get_rng_state()

    assert plate_depth(model, guide, x) == (2 if name == "nested" else 1)
    assert (torch.get_rng_state() == before).all()


@pytest.mark.parametrize("name", [k for k in PROGRAMS if k not in ("other plate", "nested")])
def test_simulate(name: str) -> None:
    model, _, x = PROGRAMS[name]()

    for m in (1, 3):
        drawn = simulate(model, m)
        assert drawn.pop("x").shape == (m, *x.shape[1:])
        assert drawn and all(len(z) == m and not z.requires_grad for z in drawn.values())


# The oracle


@pytest.mark.parametrize("latent", [1, 2, 5])
@particles
@torch.no_grad()
def test_exact_posterior(float64: None, latent: int, K: int, vectorized: bool) -> None:
    model, guide, x = linear(latent=latent)
    w = log_weights(model, guide, x, K, vectorized=vectorized)

    torch.testing.assert_close(w.log_weight, model.log_evidence(x).expand(K, n), rtol=0, atol=1e-12)


@pytest.mark.parametrize("K", [1, 5])
def test_batches(float64: None, K: int) -> None:
    r"""A batch is a tensor, a tuple, or a mapping."""
    model, guide, x = linear()
    drawn = []

    for batch in (x, (x,), {"x": x}, {"x": x, "index": torch.arange(n)}):
        torch.manual_seed(1)
        drawn.append(log_weights(model, guide, batch, K).log_weight)

    assert all((w == drawn[0]).all() for w in drawn)


def test_index() -> None:
    model, _, x = linear()
    seen = []

    def guide(x: Tensor, index: Tensor) -> None:
        seen.append(index)
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", model.posterior(x))

    rows = torch.tensor([3, 1, 0, 2])
    log_weights(model, guide, {"x": x, "index": rows}, 3)

    assert seen and all(index is rows for index in seen)


# Plates, scales, masks


@particles
@torch.no_grad()
def test_minibatch(float64: None, K: int, vectorized: bool) -> None:
    r"""The scale of a minibatch stands apart, and leaves the densities as they are."""

    def model(x: Tensor) -> None:
        with pyro.plate("data", 100, subsample=x):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 0.5), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", 100, subsample=x):
            pyro.sample("z", dist.Normal(0.3 * x, 0.8))

    x = torch.randn(n)
    w = log_weights(model, guide, x, K, vectorized=vectorized)
    z = w.sites["z"].value

    assert w.scale == 100 / n
    close(w.likelihood, dist.Normal(z, 0.5).log_prob(x))
    close(w.prior, dist.Normal(0.0, 1.0).log_prob(z))
    close(w.guide, dist.Normal(0.3 * x, 0.8).log_prob(z))

    again = rescore(model, guide, x, {"z": z})
    assert again.scale == w.scale
    close(again.log_weight, w.log_weight)


@torch.no_grad()
def test_subsample_of_the_program(float64: None) -> None:
    r"""Where the program draws its minibatch itself, both programs are scored at the same rows."""

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), subsample_size=3) as rows:
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 0.5), obs=x[rows])

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), subsample_size=3) as rows:
            pyro.sample("z", dist.Normal(x[rows], 1e-9))

    x = torch.randn(5)
    w = log_weights(model, guide, x)
    values = {"z": w.sites["z"].value}
    fit = dist.Normal(0.0, 0.5).log_prob(torch.zeros(()))

    assert w.scale == 5 / 3
    close(w.likelihood, fit.expand(1, 3), 1e-6)  # z = x at every row

    for _ in range(10):  # other rows, the same in both programs: z is x in both or in none
        again = rescore(model, guide, x, values)
        assert ((again.guide > 0) == ((again.likelihood - fit).abs() < 1e-6)).all()


@particles
@torch.no_grad()
def test_masks(float64: None, K: int, vectorized: bool) -> None:
    r"""Masked terms are zero in each program."""

    def model(x: Tensor, seen: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            with poutine.mask(mask=seen):
                pyro.sample("x", dist.Normal(z, 0.5), obs=x)

    def guide(x: Tensor, seen: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1), poutine.mask(mask=~seen):
            pyro.sample("z", dist.Normal(0.0, 2.0))

    x, seen = torch.randn(n), torch.tensor([True, False] * 2)
    w = log_weights(model, guide, {"x": x, "seen": seen}, K, vectorized=vectorized)
    z = w.sites["z"].value

    close(w.likelihood[:, seen], dist.Normal(z, 0.5).log_prob(x)[:, seen])
    close(w.guide[:, ~seen], dist.Normal(0.0, 2.0).log_prob(z)[:, ~seen])
    assert (w.likelihood[:, ~seen] == 0).all() and (w.guide[:, seen] == 0).all()
    close(w.sites["z"].kl()[:, seen], torch.zeros(K, 2))  # the mask is that of the guide

    # Gradients of masked NaN are NaN, so they are refused all the same.
    with pytest.raises(ValueError, match=r"'x' hold NaN.*fill missing entries"):
        log_weights(model, guide, {"x": x.where(seen, math.nan), "seen": seen}, K)


@particles
@torch.no_grad()
def test_global(float64: None, K: int, vectorized: bool) -> None:
    r"""What lies outside of the data's plate stands apart, and no datum has a weight."""

    def model(x: Tensor) -> None:
        mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
        with pyro.plate("data", 100, subsample=x):
            z = pyro.sample("z", dist.Normal(mu, 1.0))
            pyro.sample("x", dist.Normal(z, 0.5), obs=x)
        pyro.sample("sum", dist.Normal(mu, 1.0), obs=torch.tensor(2.0))

    def guide(x: Tensor) -> None:
        mu = pyro.sample("mu", dist.Normal(0.2, 0.5))
        with pyro.plate("data", 100, subsample=x):
            pyro.sample("z", dist.Normal(0.5 * (mu + x), 0.8))

    x = torch.randn(n)
    w = log_weights(model, guide, x, K, vectorized=vectorized)
    mu = w.sites["mu"].value.reshape(K, 1)
    term = dist.Normal(0.0, 1.0).log_prob(mu) - dist.Normal(0.2, 0.5).log_prob(mu)

    close(w.global_term, term + dist.Normal(mu, 1.0).log_prob(torch.tensor(2.0)))
    close(w.prior, dist.Normal(mu, 1.0).log_prob(w.sites["z"].value))
    assert w.global_sites == ("mu", "sum") and not w.sites["mu"].local and w.sites["z"].local

    with pytest.raises(ValueError, match=r"Site 'mu' lies outside of the plate of the data"):
        _ = w.log_weight


def test_divergences(float64: None) -> None:
    r"""The divergence of a site, in closed form or estimated, is the mean of log q - log p."""
    K, model, guide, x = (
        20_000,
        *vae(priors.LearnedNormal((d,)), normal((d,)), families.Bernoulli((D,))),
    )
    with torch.no_grad():
        model.prior.loc.normal_()
        site = log_weights(model, guide, x, K).sites["z"]
    estimate = site.log_q - site.log_p
    z = (estimate.mean(0) - site.kl()[0]) / (estimate.std(0) / K**0.5)

    assert site.kl().shape == (K, n) and (site.kl() == site.kl()[0]).all()
    assert z.abs().max() < 4.5  # seed 0, four data: fails once in 40000


# Enumeration


@pytest.mark.parametrize("K", [1, 5])
@pytest.mark.parametrize("dim", [-1, -2], ids=["rightmost", "second"])
@torch.no_grad()
def test_enumeration(float64: None, K: int, dim: int) -> None:
    r"""Sites that the model marks are summed out: the explicit mixture."""
    pi, rho = torch.tensor([0.2, 0.3, 0.5]), torch.tensor([[0.4, 0.6], [0.9, 0.1], [0.5, 0.5]])
    mu, nu = torch.tensor([-1.0, 0.5, 2.0]), torch.tensor([0.0, 0.7])
    parallel = {"enumerate": "parallel"}

    def model(x: Tensor, y: Tensor) -> None:
        with pyro.plate("data", n, dim=dim):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            a = pyro.sample("a", dist.Categorical(pi), infer=parallel)
            b = pyro.sample("b", dist.Categorical(rho[a]), infer=parallel)
            pyro.sample("x", dist.Normal(z + mu[a] + nu[b], 0.5), obs=x)
            pyro.sample("y", dist.Normal(z, 1.0), obs=y)

    def guide(x: Tensor, y: Tensor) -> None:
        with pyro.plate("data", n, dim=dim):
            pyro.sample("z", dist.Normal(0.3 * x, 0.8))

    x, y = torch.randn(2, n)
    column = (n,) if dim == -1 else (n, 1)
    w = log_weights(model, guide, {"x": x.reshape(column), "y": y.reshape(column)}, K)
    z = w.sites["z"].value.reshape(K, n)

    joint = pi.log()[:, None] + rho.log()
    joint = joint + dist.Normal(z[..., None, None] + mu[:, None] + nu, 0.5).log_prob(
        x[:, None, None]
    )
    close(w.likelihood, joint.flatten(-2).logsumexp(-1) + dist.Normal(z, 1.0).log_prob(y))
    close(w.prior, dist.Normal(0.0, 1.0).log_prob(z))
    assert list(w.sites) == ["z"]

    likelihood, _ = log_joint(
        model, {"x": x.reshape(column), "y": y.reshape(column)}, {"z": w.sites["z"].value}
    )
    close(likelihood, w.likelihood)


@pytest.mark.parametrize("K", [1, 5])
@torch.no_grad()
def test_enumeration_of_all_latents(float64: None, K: int) -> None:
    pi, mu = torch.tensor([0.2, 0.3, 0.5]), torch.tensor([-1.0, 0.5, 2.0])

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            c = pyro.sample("c", dist.Categorical(pi), infer={"enumerate": "parallel"})
            pyro.sample("x", dist.Normal(mu[c], 0.5), obs=x)

    def guide(x: Tensor) -> None:
        pass

    x = torch.randn(n)
    mixture = dist.MixtureSameFamily(dist.Categorical(pi), dist.Normal(mu, 0.5))
    close(log_weights(model, guide, x, K).log_weight, mixture.log_prob(x).expand(K, n))


# Programs and data that are refused, with site and shapes


def program(
    *,
    latent: str | None = "z",
    extra: bool = False,
    plate: bool = True,
    scale: float = 1.0,
    event: bool = True,
    family: Any = dist.Normal,
) -> Callable[[Tensor], None]:
    r"""A model with one fault."""

    def model(x: Tensor) -> None:
        rows = pyro.plate("data", len(x), dim=-1) if plate else poutine.block(hide_all=False)
        with rows:
            shape = () if plate else (len(x),)
            z = pyro.sample("z", dist.Normal(torch.zeros(*shape, d), 1.0).to_event(1))
            if extra:
                pyro.sample("w", dist.Normal(0.0, 1.0))
            loc = z.sum(-1, keepdim=True).expand(*z.shape[:-1], D)
            with poutine.scale(scale=scale):
                p = family(loc)
                pyro.sample("x", p.to_event(1) if event else p, obs=x)

    return model


def q(*names: str, width: int = d) -> Callable[[Tensor], None]:
    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            for name in names:
                pyro.sample(name, dist.Normal(torch.zeros(width), 1.0).to_event(1))

    return guide


def gauss(loc: Tensor) -> Any:
    return dist.Normal(loc, 1.0)


def coin(loc: Tensor) -> Any:
    return dist.Bernoulli(logits=loc)


def count(loc: Tensor) -> Any:
    return dist.Binomial(16, logits=loc)


def loose_guide(x: Tensor) -> None:
    pyro.sample("z", dist.Normal(torch.zeros(len(x), d), 1.0).to_event(1))


def two_rows(x: Tensor) -> None:
    for name in ("rows", "sites"):
        with pyro.plate(name, len(x), dim=-1):
            pyro.sample(f"z_{name}", dist.Normal(0.0, 1.0))


grey = torch.rand(n, D)
REFUSED: dict[str, tuple[Any, Any, Tensor, str]] = {
    "guide forgets": (program(family=gauss), q(), grey, r"not draw latent site 'z'.*nothing"),
    "guide forgets one": (
        program(family=gauss, extra=True),
        q("z"),
        grey,
        r"not draw latent site 'w' of the model; it draws \['z'\]",
    ),
    "guide invents": (
        program(family=gauss),
        q("z", "u"),
        grey,
        r"guide draws site 'u', which is no latent site of the model; those are \['z'\]",
    ),
    "no plate": (
        program(family=gauss, plate=False),
        loose_guide,
        grey,
        r"none, and the batch has 4",
    ),
    "loose guide": (
        program(family=gauss),
        loose_guide,
        grey,
        r"Site 'z' has log density of shape \((3, 4|4,)\).*dimension -1 lies in no plate",
    ),
    "no event": (
        program(family=gauss, event=False),
        q("z"),
        torch.rand(n, n),
        r"(Shape mismatch|Site 'x')",
    ),
    "scale": (program(family=gauss, scale=0.5), q("z"), grey, r"'x' is scaled by 0.5.*kl_weight"),
    "grey pixels": (
        program(family=coin),
        q("z"),
        grey,
        r"'x' lie outside of the support of Bernoulli: they range from .* binarize",
    ),
    "too many": (
        program(family=count),
        q("z"),
        torch.full((n, D), 17.0),
        r"'x' lie outside of the support of Binomial.*from 17 to 17.*larger total",
    ),
    "negative": (program(family=count), q("z"), -torch.ones(n, D), r"range from -1 to -1"),
    "nan": (program(family=gauss), q("z"), grey * math.nan, r"'x' hold NaN or infinite values"),
    "infinite": (program(family=coin), q("z"), grey / 0, r"'x' hold NaN or infinite values"),
    "wide": (
        program(family=gauss),
        q("z"),
        torch.zeros(n, D + 1),
        r"'x' have shape \(4, 6\), but the likelihood draws \((3, )?4, 5\)",
    ),
    "flat": (program(family=gauss), q("z"), torch.zeros(n), r"'x' have shape \(4,\)"),
    "two plates": (two_rows, two_rows, torch.zeros(n), r"\['rows', 'sites'\], and the batch has 4"),
}


@pytest.mark.parametrize("K", [1, 3])
@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, K: int) -> None:
    model, guide, x, sentence = REFUSED[name]

    with pytest.raises(ValueError, match=sentence):
        log_weights(model, guide, x, K)


@pytest.mark.parametrize("K", [1, 3])
def test_inner_dimension_without_plate(K: int) -> None:
    r"""A batch dimension that no plate explains, left of the data's."""

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            with pyro.plate("inner", 2, dim=-2):
                pyro.sample("x", dist.Normal(z, 1.0), obs=x.mT)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(torch.zeros(2, n), 1.0))

    with pytest.raises(ValueError, match=r"(Site 'z'|[Ss]hape)"):
        log_weights(model, guide, torch.randn(n, 2), K)


@pytest.mark.parametrize("K", [1, 5])
def test_enumeration_refused(K: int) -> None:
    r"""The sum over a site that all data share is no sum for each datum."""
    parallel = {"enumerate": "parallel"}

    def outside(x: Tensor) -> None:
        c = pyro.sample("c", dist.Bernoulli(0.3), infer=parallel)
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("x", dist.Normal(c, 1.0), obs=x)

    def inside(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            c = pyro.sample("c", dist.Bernoulli(0.3), infer=parallel)
            with pyro.plate("inner", 2, dim=-2):
                pyro.sample("x", dist.Normal(c, 1.0), obs=x.mT)

    def guide(x: Tensor) -> None:
        pass

    with pytest.raises(ValueError, match=r"Site 'c' is enumerated.* outside"):
        log_weights(outside, guide, torch.randn(n), K)
    with pytest.raises(ValueError, match=r"Site 'x' depends on an enumerated site and lies in a"):
        log_weights(inside, guide, torch.randn(n, 2), K)


def test_values_refused() -> None:
    model, guide, x = hierarchical()
    w = log_weights(model, guide, x, 3)
    values = {name: site.value for name, site in w.sites.items()}

    with pytest.raises(ValueError, match=r"'z2'"):
        rescore(model, guide, x, {"z1": values["z1"]})
    with pytest.raises(ValueError, match=r"'z2'"):
        log_joint(model, x, {"z1": values["z1"]})
    with pytest.raises(ValueError, match=r"one number of particles.*'z1': 3.*'z2': 2"):
        rescore(model, guide, x, {"z1": values["z1"], "z2": values["z2"][:2]})


@pytest.mark.parametrize("K", [0, -1])
def test_sizes_refused(K: int) -> None:
    model, guide, x = linear()

    with pytest.raises(ValueError, match=rf"particles must be positive, got {K}"):
        log_weights(model, guide, x, K)
    with pytest.raises(ValueError, match=rf"must be positive, got {K}"):
        simulate(model, K)
    with pytest.raises(ValueError, match=r"takes no n.*Predictive"):
        simulate(other_plate()[0], 3)


@pytest.mark.parametrize("K", [1, 3])
def test_guides_fail_with_a_sentence(K: int) -> None:
    r"""A guide that reads NaN fails before the likelihood is known, and says why all the same."""
    model, guide, x = linear()

    for bad, batch in (("x", {"x": x / 0}), ("of the batch", x * math.nan)):
        with pytest.raises(ValueError, match=rf"The data {bad} hold NaN or infinite values"):
            log_weights(model, guide, batch, K)


def test_lenient() -> None:
    r"""Grey pixels pass with a warning where the program says so, and the caller too."""

    def unchecked(loc: Tensor) -> Any:
        return dist.Bernoulli(logits=loc, validate_args=False)

    for K in (1, 3):
        with pytest.warns(UserWarning, match=r"support of Bernoulli.*bounds mean nothing"):
            log_weights(program(family=unchecked), q("z"), grey, K, lenient=True)
        with pytest.raises(ValueError, match=r"support of Bernoulli"):
            log_weights(program(family=unchecked), q("z"), grey, K)
        with pytest.raises(ValueError, match=r"support"):
            log_weights(program(family=coin), q("z"), grey, K, lenient=True)


def test_validation_off() -> None:
    r"""Pyro's own switch turns the checks of values off, for speed."""
    with pyro.validation_enabled(False):
        w = log_weights(program(family=gauss), q("z"), grey * math.nan)

    assert w.likelihood.isnan().all()


@pytest.mark.parametrize(
    "prior, posterior, words",
    [
        (priors.StandardNormal((2,)), families.Bernoulli((2,)), "is continuous in the model"),
        (priors.Bernoulli((2,)), families.Normal((2,)), "is discrete in"),
        (priors.FamilyPrior((2,), _Unit), families.Normal((2,)), "outside of the support"),
    ],
    ids=["discrete draws", "continuous draws", "draws outside"],
)
def test_draws_that_the_model_has_no_density_for(
    prior: priors.Prior, posterior: families.Family, words: str
) -> None:
    model, guide, x = vae(prior, posterior, families.Normal((D,)))

    with pytest.raises(ValueError, match=rf"'z' .*{words}|{words}"):
        log_weights(model, guide, x, 3)


# What a dry run leaves behind


class Norms(nn.Module):
    r"""A model with batch normalization and dropout, which a stray run would show in."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(d, D), nn.BatchNorm1d(D), nn.Dropout(0.3))

    def forward(self, x: Tensor) -> None:
        pyro.module("Norms", self)
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(d), 1.0).to_event(1))
            loc = self.net(z.reshape(-1, d)).reshape(*z.shape[:-1], D)
            pyro.sample("x", dist.Normal(loc, 1.0).to_event(1), obs=x)


def test_dry_run_leaves_no_trace() -> None:
    model = Norms()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    random = torch.get_rng_state()
    plate_depth(model, q("z"), grey)

    assert (torch.get_rng_state() == random).all()
    assert all((v == before[k]).all() for k, v in model.state_dict().items())

    log_weights(model, q("z"), grey, 3)  # with its own dry run: one pass leaves its mark, not two
    assert model.net[1].num_batches_tracked == 1
