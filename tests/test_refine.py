r"""Laws of refinement: it reaches what the family allows, for each datum, and changes nothing."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from typing import Any

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from ppl_vae.conditional import Conditional
from ppl_vae.evaluation import log_evidence, refine
from ppl_vae.families import Bernoulli, Categorical, Family, Flow, FullRankNormal, Laplace, Normal
from ppl_vae.guides import Amortized, BottomUp, SemiAmortized
from ppl_vae.models import VAE, Linear
from ppl_vae.networks import mlp
from ppl_vae.objectives import ELBO
from ppl_vae.priors import LearnedNormal, Prior, Vamp
from ppl_vae.weights import log_weights

D, d, n = 4, 2, 12
NET = mlp([8])

FAMILIES: dict[str, Callable[[], Family]] = {
    "normal": lambda: Normal((d,)),
    "shared scale": lambda: Normal((d,), scale="shared"),
    "full rank": lambda: FullRankNormal((d,)),
    "laplace": lambda: Laplace((d,)),
    "flow": lambda: Flow((d,), hidden=(8,), context=3),
}

families = pytest.mark.parametrize("name", FAMILIES)


def pca(family: Family | None = None) -> tuple[Linear, Amortized, Tensor]:
    model = Linear(D, d, scale=0.7)
    q = Conditional((D,), family or FullRankNormal((d,)), NET)
    return model, Amortized(q), model(n=n).detach()


def vae(family: Family) -> tuple[VAE, Amortized, Tensor]:
    model = VAE(LearnedNormal((d,)), Conditional((d,), Bernoulli((D,)), NET))
    x = torch.randint(0, 2, (n, D)).to(torch.get_default_dtype())
    return model, Amortized(Conditional((D,), family, NET)), x


def numbered(x: Tensor) -> dict[str, Tensor]:
    return {"x": x, "index": torch.arange(len(x))}


# Truth


@pytest.mark.parametrize("rows", [500, pytest.param(5, marks=pytest.mark.slow)])
def test_reaches_the_evidence(float64: None, monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    r"""Where the family holds the exact posterior, each weight is the evidence, block by block."""
    monkeypatch.setattr(sys.modules[refine.__module__], "ROWS", rows)
    model, guide, x = pca()
    exact = model.log_evidence(x).detach()
    refined = refine(model, guide, x, steps=400)
    done = log_evidence(model, refined, numbered(x), particles=30)

    assert (exact - log_evidence(model, guide, x, particles=30).elbo).max() > 0.1
    torch.testing.assert_close(done.elbo, exact, rtol=0, atol=1e-4)
    torch.testing.assert_close(done.log_evidence, exact, rtol=0, atol=1e-4)


def test_reaches_the_best_of_a_family(float64: None) -> None:
    r"""The best normal of independent elements has the exact mean, and the inverse of the
    diagonal of the exact precision as its variances."""
    model, guide, x = pca(Normal((d,)))
    refined = refine(model, guide, x, steps=600, particles=64)
    q, exact = refined.guide.posterior(x), model.posterior(x)
    variance = 1 / exact.precision_matrix.diagonal(dim1=-2, dim2=-1)

    # Its gradient has noise, for it is not the posterior: mean over data, within 0.02.
    assert (q.mean - exact.mean).abs().mean() < 0.02
    assert (q.variance / variance).log().abs().mean() < 0.02


@families
def test_raises_the_bound(name: str) -> None:
    r"""On average over data: by more than 6 standard errors."""
    model, guide, x = vae(FAMILIES[name]())
    x = torch.randint(0, 2, (500, D)).float()

    with torch.no_grad():
        guide.posterior.net[-2].bias += 0.7
    refined = refine(model, guide, x, steps=30)
    with torch.no_grad():
        before = log_weights(model, guide, x, 50).log_weight.mean(0)
        after = log_weights(model, refined, x, 50).log_weight.mean(0)

    gain = after - before
    assert gain.mean() > 6 * gain.std() / len(x) ** 0.5


def test_bounds_stay_bounds(float64: None) -> None:
    r"""With one particle the ELBO of a family that lacks the posterior is below the evidence."""
    model = Linear(D, d, scale=0.7)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 0.15]] * D))  # a posterior of correlation -0.37
    x = model(n=n).detach()
    guide = Amortized(Conditional((D,), Normal((d,)), NET))
    refined = refine(model, guide, x, steps=300)
    exact = model.log_evidence(x).detach()
    many = log_weights(model, refined, x, 20_000).log_weight.detach()
    error = many.std(0) / len(many) ** 0.5

    assert ((exact - many.mean(0)) > 6 * error).all()
    e = log_evidence(model, refined, numbered(x), particles=4000)
    assert ((e.log_evidence - exact).abs() / e.standard_error).max() < 4.5  # once in 10000


# Which datum is which


def test_index_tells_the_rows(float64: None) -> None:
    model, guide, x = pca()
    refined = refine(model, guide, x, steps=5)
    whole = refined.guide.posterior(x)
    index = torch.tensor([7, 2, 2])
    part = log_weights(model, refined, {"x": x[index], "index": index}, 3).sites["z"].q

    assert torch.equal(part.mean[0], whole.mean[index])
    assert refined.table.index is None
    with pytest.raises(ValueError, match=r"for 12 data, but the batch holds 3.*index="):
        refined(x[index])


def test_named_data_and_index_of_its_own(float64: None) -> None:
    r"""Rows are numbered as they are given, whatever their index in the data set."""
    model, guide, x = pca()
    a = refine(model, guide, x, steps=5)
    b = refine(model, guide, {"x": x, "index": torch.arange(100, 100 + n)}, steps=5)

    assert torch.equal(a.table.rows, b.table.rows)


@pytest.mark.parametrize("name", ["normal", "full rank"])
def test_evidence_is_captured(float64: None, name: str) -> None:
    r"""The index is an input of the graph: blocks of other rows are looked up anew."""
    model, guide, _ = pca(FAMILIES[name]())
    x = model(n=120).detach()
    refined = refine(model, guide, x, steps=5)
    a, b = (
        log_evidence(model, refined, numbered(x), particles=250, compile=compile).log_evidence
        for compile in ("off", "fx")
    )
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


# What stays


@families
def test_changes_nothing(name: str) -> None:
    model, guide, x = vae(FAMILIES[name]())
    guide.train()
    model.eval()
    states = [copy.deepcopy(m.state_dict()) for m in (model, guide)]
    random = torch.get_rng_state()
    done: list[int] = []
    refined = refine(model, guide, x, steps=3, progress=done.append)

    assert torch.equal(random, torch.get_rng_state()) and done == [n]
    assert guide.training and not model.training and guide.posterior.family.training
    for module, state in zip((model, guide), states, strict=True):
        assert all(torch.equal(v, state[k]) for k, v in module.state_dict().items())
        assert all(p.grad is None and p.requires_grad for p in module.parameters())

    # No network is copied: the rows, and what the family shares among all data.
    own = {id(p) for p in refined.parameters()} - {id(p) for p in guide.parameters()}
    assert own == {id(refined.table.rows)}


def test_no_steps_is_the_guide(float64: None) -> None:
    model, guide, x = pca()
    refined = refine(model, guide, x, steps=0)

    assert torch.equal(refined.table.rows, guide.posterior.h(x))
    a, b = (log_evidence(model, g, numbered(x), particles=10) for g in (guide, refined))
    assert torch.equal(a.log_evidence, b.log_evidence)


def test_one_seed_one_result() -> None:
    model, guide, x = pca()
    a, b, c = (refine(model, guide, x, steps=3, seed=seed).table.rows for seed in (0, 0, 1))

    assert torch.equal(a, b) and not torch.equal(a, c)


def test_prior_that_holds_the_posterior() -> None:
    r"""A VampPrior keeps the network that the guide no longer asks."""
    x = torch.rand(n, D)
    q = Conditional((D,), Normal((d,)), NET)
    prior = Vamp((d,), 3).attach(q, x)
    model = VAE(prior, Conditional((d,), Normal((D,), scale=1.0), NET))
    refined = refine(model, Amortized(q), x, steps=3)

    assert model.prior.posterior is q
    assert ELBO().loss(model, refined, x).isfinite()


# Refusals


def semi() -> tuple[Any, Any, Tensor]:
    model, guide, x = pca()
    return model, SemiAmortized(guide.posterior, rate=0.1).attach(model), x


class Uniform(Prior):
    def forward(self) -> Any:
        return dist.Categorical(torch.ones(*self.event_shape, 3)).to_event(1)


def discrete() -> tuple[Any, Any, Tensor]:
    model = VAE(Uniform((d,)), Conditional((d,), Normal((D,)), NET))
    return model, Amortized(Conditional((D,), Categorical((d,), 3), NET)), torch.randn(n, D)


REFUSALS: dict[str, tuple[Callable[[], Any], str]] = {
    "several layers": (
        lambda: refine(pca()[0], BottomUp([Conditional((D,), Normal((d,)), NET)]), pca()[2]),
        "one Conditional of the data.*BottomUp has none",
    ),
    "a function": (
        lambda: refine(pca()[0], Amortized(lambda x: dist.Normal(x, 1.0)), pca()[2]),
        "Amortized has none",
    ),
    "no data": (lambda: refine(*pca()[:2], torch.zeros(0, D)), "no data to refine"),
    "steps": (lambda: refine(*pca(), steps=-1), "zero or more, got -1"),
    "rate": (lambda: refine(*pca(), rate=0.0), "rate=0.0"),
    "particles": (lambda: refine(*pca(), particles=0), "particles=0"),
    "noise of its own": (lambda: refine(*semi()), r"refine\s+Amortized\(guide.posterior\)"),
    "discrete": (lambda: refine(*discrete()), "site 'z' do not pass"),
    "NaN": (
        lambda: refine(*pca()[:2], torch.full((3, D), float("nan"))),
        "NaN or infinite values",
    ),
    "support": (
        lambda: refine(*vae(Normal((d,)))[:2], torch.full((3, D), 0.5)),
        "outside of the support of Bernoulli",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name: str) -> None:
    make, sentence = REFUSALS[name]
    with pytest.raises(ValueError, match=sentence):
        make()
