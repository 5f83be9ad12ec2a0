r"""Laws of importance weights."""

from __future__ import annotations

from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from program_cases import PROGRAMS, D, close, d, grey, linear, n, particles, programs, q
from pyro import poutine
from torch import Tensor, nn

from ppl_vae.weights import draw_guide, log_joint, log_weights, plate_depth, rescore, simulate


def alone(program: Any, x: Tensor, values: dict[str, Tensor]) -> dict[str, Tensor]:
    r"""The log density of each site for one datum, by Pyro's own arithmetic without particles."""
    trace = poutine.trace(poutine.condition(program, values)).get_trace(x)
    trace.compute_log_prob()
    return {k: v["log_prob_sum"] for k, v in trace.nodes.items() if "log_prob_sum" in v}


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
