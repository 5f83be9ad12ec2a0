r"""Our programs are Pyro's: its tools for prediction, conditioning, drawing and MCMC take them."""

from __future__ import annotations

import importlib.util
from typing import Any

import pyro
import pyro.infer
import pytest
import torch
from program_cases import PROGRAMS, n
from pyro import poutine
from pyro.infer.inspect import get_model_relations
from pyro.ops.stats import effective_sample_size
from torch import Tensor

from ppl_vae.models import Linear
from ppl_vae.weights import log_weights

# Those whose model takes n, the number of data to draw.
OURS = [name for name in PROGRAMS if name not in ("other plate", "nested")]
programs = pytest.mark.parametrize("name", OURS)


@pytest.mark.parametrize("parallel", [False, True], ids=["looped", "parallel"])
@programs
def test_prior_predictive(name: str, parallel: bool) -> None:
    model, _, x = PROGRAMS[name]()
    drawn = pyro.infer.Predictive(model, num_samples=6, parallel=parallel)(n=3)

    assert drawn["x"].shape == (6, 3, *x.shape[1:])
    assert {*drawn} == {*poutine.trace(model).get_trace(n=3).stochastic_nodes} - {"data"} | {"x"}
    assert all(value.shape[:2] == (6, 3) for value in drawn.values())
    assert len(drawn["x"].unique(dim=0)) > 1


@pytest.mark.parametrize("parallel", [False, True], ids=["looped", "parallel"])
@programs
def test_posterior_predictive(name: str, parallel: bool) -> None:
    r"""Draws of x' given x: the guide draws the latent variables, the model a new datum."""
    model, guide, x = PROGRAMS[name]()

    def replicate(x: Tensor) -> Any:
        return model(n=len(x))

    predictive = pyro.infer.Predictive(replicate, guide=guide, num_samples=5, parallel=parallel)
    drawn = predictive(x)

    assert drawn["x"].shape == (5, *x.shape)
    assert all(value.shape[:2] == (5, n) for value in drawn.values())


def test_posterior_predictive_mean(float64: None) -> None:
    r"""On probabilistic PCA its mean is known: z-scores of 20 means below 4.5, once in 7000."""
    model, guide, x = PROGRAMS["linear"]()
    predictive = pyro.infer.Predictive(
        lambda x: model(n=len(x)), guide=guide, num_samples=4000, parallel=True
    )
    drawn = predictive(x)["x"].detach()
    exact = (model.posterior(x).mean @ model.weight.mT + model.bias).detach()
    z = (drawn.mean(0) - exact) / (drawn.std(0) / 4000**0.5)

    assert z.abs().max() < 4.5


@programs
@torch.no_grad()
def test_condition(name: str) -> None:
    r"""Observed by pyro.condition is observed: the same weights, bit by bit."""
    model, guide, x = PROGRAMS[name]()

    def conditioned(x: Tensor) -> Any:
        return pyro.condition(model, data={"x": x})(n=len(x))

    weights = []
    for m in (model, conditioned):
        torch.manual_seed(1)
        weights.append(log_weights(m, guide, x, 3).log_weight)

    assert weights[0].equal(weights[1])


@pytest.mark.parametrize("name", PROGRAMS)
def test_relations(name: str) -> None:
    r"""What pyro.render_model draws: the sites, their parents and their plates."""
    model, _, x = PROGRAMS[name]()
    relations = get_model_relations(model, (x,))
    observed = {"other plate": "obs"}.get(name, "x")
    parents = {
        "hierarchical": {"z2": [], "z1": ["z2"], "x": ["z1"]},
        "ladder": {"z2": [], "z1": ["z2"], "x": ["z1"]},
        "top down": {"z2": [], "z1": ["z2"], "x": ["z1"]},
        "nested": {"z": [], "bias": ["z"], "x": ["bias"]},
    }.get(name, {"z": [], observed: ["z"]})
    plate = "rows" if name == "other plate" else "data"

    assert relations["observed"] == [observed]
    assert relations["sample_sample"] == parents
    assert {
        site for k, v in relations["plate_sample"].items() if k.startswith(plate) for site in v
    } == {*parents}


@pytest.mark.skipif(
    importlib.util.find_spec("graphviz") is None, reason="the package graphviz is not installed"
)
def test_render() -> None:
    model, _, x = PROGRAMS["hierarchical"]()
    graph = pyro.render_model(model, model_args=(x,), render_params=False)
    assert all(site in graph.source for site in ("z2", "z1", "x", "data"))


def test_nuts(float64: None) -> None:
    r"""The posterior mean of probabilistic PCA, by Hamiltonian Monte Carlo.

    The z-scores of 6 means, by effective sample size, stay below 5: fails once in 300000 were the
    draws normal, at seed 0.
    """
    model = Linear(4, 2, scale=0.8).requires_grad_(False)
    x = model(n=3)
    mcmc = pyro.infer.MCMC(
        pyro.infer.NUTS(model, max_tree_depth=4), 300, warmup_steps=100, disable_progbar=True
    )
    mcmc.run(x)
    z = mcmc.get_samples()["z"]
    exact = model.posterior(x)

    assert z.shape == (300, 3, 2)
    error = (z.var(0) / effective_sample_size(z[None])).sqrt()
    assert ((z.mean(0) - exact.mean) / error).abs().max() < 5
    assert (z.std(0) / exact.stddev).log().abs().max() < 0.5
