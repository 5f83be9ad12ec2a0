r"""Laws of posterior draws: they are what they say, and their densities those of the weights."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from program_cases import PROGRAMS
from torch import Tensor, nn

from ppl_vae.evaluation import log_evidence
from ppl_vae.guides import Amortized
from ppl_vae.models import Linear
from ppl_vae.posterior import METHODS, posterior_draws
from ppl_vae.posterior import draws as module
from ppl_vae.weights import rescore

GROUPS = {
    *("posterior", "posterior_predictive", "log_likelihood", "prior", "prior_predictive"),
    *("sample_stats", "observed_data", "constant_data"),
}


def run_of(model: Any, guide: Any, x: Tensor, **given: Tensor) -> Any:
    r"""What is asked of a run: its programs and a batch."""
    batch = {"x": x, **given, "index": torch.arange(len(x)) + 100}
    return SimpleNamespace(model=model, guide=guide, batch=lambda split, limit, seed: batch)


def linear(rows: int, widen: float = 1.0, shift: float = 0.0) -> Any:
    r"""Probabilistic PCA and a guide that is its posterior, or wide and shifted."""
    model = Linear(4, 2, scale=0.8)

    def posterior(x: Tensor) -> Any:
        exact = model.posterior(x)
        scale = widen * exact.scale_tril
        return dist.MultivariateNormal(exact.mean + shift, scale_tril=scale)

    return run_of(model, Amortized(posterior), model(n=rows).detach())


def standard(found: np.ndarray, exact: Tensor, variance: Tensor, ess: np.ndarray) -> Tensor:
    r"""Errors of means over draws, in units of their standard error."""
    error = torch.as_tensor(found) - exact
    return error / (variance / torch.as_tensor(ess)[:, None]).sqrt()


@torch.no_grad()
def test_resampled_draws_are_of_the_posterior(float64: None) -> None:
    r"""From a wrong guide: means over draws are those of the exact posterior, in standard errors.

    A draw of K weighted and S resampled ones has a variance of about (1 / ess + 1 / S). The mean
    of 80 squared z-scores is 1, as is that of variances over the exact ones, each within 4 standard
    errors (once in 8000 for both).
    """
    run = linear(40, widen=1.3, shift=0.2)
    found = posterior_draws(run, draws=1000, particles=2000)
    exact = run.model.posterior(run.batch("", None, 0)["x"])
    ess = 1 / (1 / found["constant_data"]["ess"] + 1 / 1000)
    mean = found["posterior"]["z"][0].mean(0)
    z = standard(mean, exact.mean, exact.variance, ess)
    assert abs(z.square().mean() - 1) < 4 * (2 / 80) ** 0.5
    spread = torch.as_tensor(found["posterior"]["z"][0].var(0)) / exact.variance
    assert abs(spread.mean() - 1) < 4 * (2 / 80 / ess.mean()) ** 0.5


@torch.no_grad()
def test_guide_draws_are_of_the_guide(float64: None) -> None:
    r"""As they are: mean and variance are the guide's, 80 z-scores below 4.5 (once in 1800)."""
    run = linear(40, widen=1.3, shift=0.2)
    found = posterior_draws(run, draws=1000, method="guide")
    exact = run.model.posterior(run.batch("", None, 0)["x"])
    variance = 1.3**2 * exact.variance
    mean = found["posterior"]["z"][0].mean(0)
    assert standard(mean, exact.mean + 0.2, variance, np.full(40, 1000)).abs().max() < 4.5
    weights = torch.as_tensor(found["sample_stats"]["log_weight"][0])
    log_p = weights.logsumexp(0) - np.log(1000)
    np.testing.assert_allclose(found["constant_data"]["log_evidence"], log_p)


@torch.no_grad()
def test_predictions(float64: None) -> None:
    r"""Posterior predictive means W m + b, prior ones b: 160 z-scores below 4.7 (once in 2400)."""
    run = linear(40)
    found = posterior_draws(run, draws=500)
    model, x = run.model, run.batch("", None, 0)["x"]
    W, noise = model.weight, (2 * model.log_scale).exp()
    exact = model.posterior(x)
    mean = exact.mean @ W.mT + model.bias
    variance = (W @ exact.covariance_matrix @ W.mT).diagonal(dim1=-2, dim2=-1) + noise
    drawn = found["posterior_predictive"]["x"][0].mean(0)
    # Resampling adds: of 1000 equal weights, 500 with repetitions.
    ess = np.full(40, 1 / (1 / 500 + 1 / 1000))
    noisy = standard(drawn, mean, variance, ess)
    assert noisy.abs().max() < 4.7
    drawn = found["prior_predictive"]["x"][0].mean(0)
    prior = model.covariance.diagonal().expand(40, -1)
    assert standard(drawn, model.bias, prior, np.full(40, 500)).abs().max() < 4.7
    assert abs(found["prior"]["z"].var() - 1) < 4 * (2 / found["prior"]["z"].size) ** 0.5


CASES = [
    name for name in PROGRAMS if name in {"linear", "hierarchical", "ladder", "categorical latent"}
]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", CASES)
def test_densities_are_those_of_the_weights(float64: None, name: str, method: str) -> None:
    r"""Of the same draws, for one latent site or several."""
    model, guide, x = PROGRAMS[name]()
    run = run_of(model, guide, x)
    found = posterior_draws(run, draws=7, particles=9, method=method)
    assert set(found) == GROUPS

    values = {k: torch.as_tensor(v[0]) for k, v in found["posterior"].items()}
    with torch.no_grad():
        w = rescore(model, guide, {"x": x}, values)
    for got, expected in (
        (found["log_likelihood"]["x"], w.likelihood),
        (found["sample_stats"]["log_prior"], w.prior),
        (found["sample_stats"]["log_guide"], w.guide),
        (found["sample_stats"]["log_weight"], w.log_weight),
    ):
        np.testing.assert_allclose(got[0], expected, rtol=0, atol=1e-10)

    assert found["prior"].keys() == found["posterior"].keys() == w.sites.keys()
    np.testing.assert_array_equal(found["observed_data"]["x"], x)
    assert found["posterior_predictive"]["x"].shape == (1, 7, *x.shape)
    assert found["prior_predictive"]["x"].shape == (1, 7, *x.shape)


def test_estimates_are_those_of_the_evidence(float64: None) -> None:
    r"""As of other draws: 30 data within 4.5 standard errors of the difference (once in 5000)."""
    run = linear(30, widen=1.5)
    data = posterior_draws(run, draws=10, particles=2000)["constant_data"]
    e = log_evidence(run.model, run.guide, run.batch("", None, 0)["x"], particles=2000)
    error = (2 * e.standard_error.square()).sqrt()
    assert ((torch.as_tensor(data["log_evidence"]) - e.log_evidence).abs() < 4.5 * error).all()
    assert np.abs(data["ess"] / e.ess.numpy() - 1).max() < 0.2
    assert (data["khat"] < 0.5).all() and (data["index"] == np.arange(30) + 100).all()


def test_equal_weights_are_equal_in_single_precision() -> None:
    data = posterior_draws(linear(5), draws=10)["constant_data"]
    assert np.isneginf(data["khat"]).all() and np.abs(data["ess"] / 1000 - 1).max() < 1e-6


class Exposed(nn.Module):
    r"""Counts whose exposures the model is given."""

    def forward(self, x: Tensor | None = None, exposure: Any = None, *, n: int = 1) -> Tensor:
        with pyro.plate("data", n if x is None else len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(()), 0.01))
            return pyro.sample("x", dist.Poisson(exposure * z.exp()), obs=x)


def exposed_guide(x: Tensor, exposure: Tensor) -> None:
    with pyro.plate("data", len(x), dim=-1):
        pyro.sample("z", dist.Normal(torch.zeros(len(x)), 0.01))


def test_what_is_given_goes_along() -> None:
    r"""Counts of 60 data follow their own exposures; events and plates without dimensions too."""
    exposure = torch.linspace(1, 1000, 60)
    run = run_of(Exposed(), exposed_guide, torch.poisson(exposure), exposure=exposure)
    found = posterior_draws(run, draws=200, particles=200)
    assert found["posterior"]["z"].shape == (1, 200, 60)
    np.testing.assert_array_equal(found["constant_data"]["exposure"], exposure)
    for group in ("posterior_predictive", "prior_predictive"):
        means = found[group]["x"][0].mean(0)
        # The mean of 200 Poisson counts, with 1 % of spread beside: 60 below 4.5.
        error = ((exposure + (0.011 * exposure) ** 2) / 200).sqrt()
        assert (
            np.abs(means - exposure.numpy()) < 4.5 * error.numpy() + 1e-3 * exposure.numpy()
        ).all()


# Manners


def test_draws_do_not_depend_on_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    r"""Those of the guide: the model scores and predicts a few at a time."""
    run = linear(70)
    found = [posterior_draws(run, draws=20, particles=30)]
    monkeypatch.setattr(module, "BUDGET", 1)
    found.append(posterior_draws(run, draws=20, particles=30))
    np.testing.assert_array_equal(found[0]["posterior"]["z"], found[1]["posterior"]["z"])
    shapes = [{k: v.shape for k, v in f["prior_predictive"].items()} for f in found]
    assert shapes[0] == shapes[1] == {"x": (1, 20, 70, 4)}


def test_changes_nothing_and_has_a_seed() -> None:
    run = linear(5)
    run.model.train()
    before = {k: v.clone() for k, v in run.model.state_dict().items()}
    state = torch.get_rng_state()
    found = [posterior_draws(run, draws=4, particles=8, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(state, torch.get_rng_state()) and run.model.training
    assert all(torch.equal(v, before[k]) for k, v in run.model.state_dict().items())
    for group in ("posterior", "prior"):
        same, again, other = (f[group]["z"] for f in found)
        assert (same == again).all() and (same != other).any()


def test_one_by_one() -> None:
    r"""Programs that reshape their draws are looped over."""
    found = posterior_draws(linear(5), draws=4, particles=6, vectorized=False)
    assert found["posterior"]["z"].shape == (1, 4, 5, 2)


def unnamed(data: Tensor | None = None, *, n: int = 1) -> None:
    with pyro.plate("data", n if data is None else len(data)):
        z = pyro.sample("z", dist.Normal(0.0, 1.0))
        pyro.sample("obs", dist.Normal(z, 1.0), obs=data)


def prior_guide(data: Tensor) -> None:
    with pyro.plate("data", len(data)):
        pyro.sample("z", dist.Normal(0.0, 1.0))


def test_refuses() -> None:
    run = linear(5)
    for options in ({"method": "mcmc"}, {"draws": 0}, {"particles": 0}):
        with pytest.raises(ValueError, match=r"one of \('resampled', 'guide'\)"):
            posterior_draws(run, **options)
    with pytest.raises(ValueError, match="give a limit of data, or fewer draws"):
        posterior_draws(run, memory=1000)

    batch = {"data": torch.zeros(3), "index": torch.arange(3)}
    other = SimpleNamespace(model=unnamed, guide=prior_guide, batch=lambda *_: batch)
    with pytest.raises(ValueError, match=r"observes \['obs'\] and takes \['data'\]"):
        posterior_draws(other)

    model, guide, x = PROGRAMS["other plate"]()
    with pytest.raises(ValueError, match="takes it by the same name"):
        posterior_draws(run_of(model, guide, x))
