r"""Laws of the misfit of a guide: known places and widths, whatever the weights are worth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from ppl_vae.evaluation import guide_misfit, log_evidence
from ppl_vae.evaluation.judgement import judge
from ppl_vae.evaluation.misfit import Misfit
from ppl_vae.evaluation.reweight import reweighted
from ppl_vae.models import Linear

Guide = Callable[[Tensor], None]


def off(model: Linear, scale: float = 1.0, shift: float = 0.0) -> Guide:
    r"""The exact posterior, its width times a factor, moved by deviations of the posterior."""

    def guide(x: Tensor) -> None:
        exact = model.posterior(x)
        L = exact.scale_tril
        moved = exact.mean + shift * L.diagonal(dim1=-2, dim2=-1)
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.MultivariateNormal(moved, scale_tril=scale * L))

    return guide


def told(latent: int, seed: int = 0, **wrong: float) -> dict[str, Any]:
    torch.manual_seed(seed)
    model = Linear(features=50, latent=latent)
    found = guide_misfit(model, off(model, **wrong), model(n=40).detach(), 400, seed=seed)
    assert found is not None and len(found) == 40
    return found.summary()


@pytest.mark.parametrize("latent", [1, 30])
@pytest.mark.parametrize(
    ("wrong", "faults"),
    [
        ({}, []),
        ({"scale": 1.1}, []),
        ({"scale": 0.5}, ["too narrow"]),
        ({"scale": 0.25}, ["too narrow"]),
        ({"scale": 2.0}, ["too wide"]),
        ({"shift": 1.0}, ["shifted"]),
        ({"shift": -0.5}, ["shifted"]),
        ({"scale": 0.5, "shift": 1.0}, ["too narrow", "shifted"]),
        ({"scale": 2.0, "shift": 2.0}, ["too wide", "shifted"]),
        ({"shift": 20.0}, ["shifted"]),
    ],
)
def test_what_is_wrong_is_named(latent: int, wrong: dict[str, float], faults: list[str]) -> None:
    r"""Of thirty elements too, where one draw of all carries the weight."""
    assert told(latent, **wrong)["faults"] == faults


def test_how_much_is_told() -> None:
    r"""The law is exact for normal laws; where draws lack the tails, it falls short by little."""
    wide, narrow, moved = told(5, scale=2.0), told(5, scale=0.7), told(5, shift=0.5)
    assert wide["width"] == pytest.approx(1 / 2.0, rel=0.05)
    assert narrow["width"] == pytest.approx(1 / 0.7, rel=0.1)
    assert moved["shift"] == pytest.approx(0.5, rel=0.1)
    assert 0 < moved["shift_error"] < 0.02 and moved["width"] == pytest.approx(1, abs=0.05)


def test_an_exact_guide_is_named_nothing() -> None:
    r"""Weights are equal, so that nothing but rounding is off."""
    found = told(3)
    assert found["faults"] == [] and found["width"] == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(("K", "d", "shift"), [(1000, 500, 0.5), (400, 500, 1.0), (400, 140, 0.5)])
def test_shifts_do_not_vanish_in_many_dimensions(K: int, d: int, shift: float) -> None:
    torch.manual_seed(0)
    z = torch.randn(K, 20, d, dtype=torch.float64)
    log_w = (shift * z - shift**2 / 2).sum(-1)
    found = Misfit(*reweighted(z, log_w)).summary()
    assert found["faults"] == ["shifted"] and shift / 1.7 < found["shift"] < 1.7 * shift


def test_equal_weights_are_no_misfit() -> None:
    r"""Exactly: the draws tell the unit as well."""
    z = torch.randn(200, 20, 5, dtype=torch.float64)
    found = Misfit(*reweighted(z, torch.zeros(200, 20, dtype=torch.float64)))
    torch.testing.assert_close(found.widths, torch.ones(5, dtype=torch.float64), rtol=0, atol=1e-6)
    assert found.summary()["shift"] < 1e-6


def test_elements_are_told_apart() -> None:
    r"""What cancels on average is not called fitting; an element that is held says nothing."""
    torch.manual_seed(0)
    z = torch.randn(1000, 40, 30, dtype=torch.float64)
    sd = torch.tensor([0.7] * 15 + [1.6] * 15, dtype=torch.float64)
    log_w = (-0.5 * (z / sd).square() + 0.5 * z.square()).sum(-1)
    found = Misfit(*reweighted(z, log_w))
    assert (found.widths[:15] < 0.85).all() and (found.widths[15:] > 1.2).all()
    assert found.summary()["verdict"] == "" or found.summary()["faults"]

    held = torch.cat([z, torch.ones(1000, 40, 1, dtype=torch.float64)], -1)
    assert Misfit(*reweighted(held, torch.zeros(1000, 40).double())).widths[-1] == pytest.approx(1)


def test_the_power_keeps_a_quarter_of_the_draws() -> None:
    torch.manual_seed(0)
    log_w = torch.randn(1000, 3, dtype=torch.float64) * torch.tensor([0.1, 3.0, 30.0])
    tau = reweighted(torch.randn(1000, 3, 2, dtype=torch.float64), log_w)[2]
    ess = 1 / (tau * log_w).softmax(0).square().sum(0)
    assert tau[0] == pytest.approx(1) and ess[0] > 900
    torch.testing.assert_close(ess[1:], torch.full_like(ess[1:], 250.0), rtol=1e-6, atol=0)


def test_draws_without_weight(float64: None) -> None:
    r"""Zero is no more than a very small density; where all are zero, a datum is left out."""

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.factor("bound", torch.where((z > -1) & (x < 9), 0.0, -torch.inf))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(x.clamp(max=2) / 2, 0.25))

    x = torch.cat([torch.zeros(20), torch.full((3,), 10.0)])
    found = guide_misfit(model, guide, x)
    assert found is not None and len(found) == 20 and found.lost == 3
    assert found.summary()["faults"] == ["too narrow"]
    assert guide_misfit(model, guide, torch.full((20,), 10.0)) is None


def test_particles_at_once_or_one_by_one() -> None:
    r"""Programs that reshape their draws need a loop; seeds differ, what is told does not."""
    torch.manual_seed(0)
    model = Linear(features=20, latent=2)
    x = model(n=10).detach()
    found = guide_misfit(model, off(model, scale=0.5), x, 200, vectorized=False)
    assert found is not None and found.summary()["faults"] == ["too narrow"]


def test_memory_changes_nothing() -> None:
    r"""Draws that the model scores one by one are the same draws."""
    torch.manual_seed(0)
    model = Linear(features=20, latent=2)
    x, guide = model(n=10).detach(), off(model, scale=0.5)
    found, few = (guide_misfit(model, guide, x, 200, memory=m) for m in (2**29, 1))
    assert found is not None and few is not None
    assert torch.allclose(found.precision, few.precision, rtol=1e-3)


def test_sites_that_are_not_real() -> None:
    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            k = pyro.sample("k", dist.Bernoulli(0.5))
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z + k, 0.5), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            pyro.sample("k", dist.Bernoulli(0.5))
            pyro.sample("z", dist.Normal(0.0, 1.0))

    found = guide_misfit(model, guide, torch.zeros(20))
    assert found is not None and found.left_out == ("k",)
    right = replace(found, precision=torch.ones(20, 1), natural=torch.zeros(20, 1))
    assert right.summary()["verdict"] == ""


def test_no_site_is_real() -> None:
    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            k = pyro.sample("k", dist.Bernoulli(0.5))
            pyro.sample("x", dist.Normal(k, 0.5), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            pyro.sample("k", dist.Bernoulli(0.5))

    assert guide_misfit(model, guide, torch.zeros(20)) is None


@pytest.mark.parametrize(("n", "particles"), [(9, 1000), (20, 199)])
def test_too_few(n: int, particles: int) -> None:
    model = Linear(features=5, latent=2)
    assert guide_misfit(model, off(model), model(n=n).detach(), particles) is None


def test_nothing_changes() -> None:
    model = Linear(features=5, latent=2)
    x = model(n=10).detach()
    before = torch.get_rng_state(), {k: v.clone() for k, v in model.state_dict().items()}
    first, again = (guide_misfit(model, off(model), x, seed=3) for _ in range(2))
    assert first is not None and again is not None
    assert torch.equal(first.precision, again.precision)
    assert torch.equal(before[0], torch.get_rng_state())
    assert all(torch.equal(v, model.state_dict()[k]) for k, v in before[1].items())


def test_verdicts_name_it() -> None:
    torch.manual_seed(0)
    model = Linear(features=50, latent=10)
    x = model(n=60).detach()

    def sentences(**wrong: float) -> str:
        guide = off(model, **wrong)
        summary = log_evidence(model, guide, x, 200).summary()
        misfit = guide_misfit(model, guide, x)
        assert misfit is not None
        return judge({**summary, "split": "test", "misfit": misfit.summary()})[1]

    assert "The guide is too narrow" in sentences(scale=0.5)
    assert "The guide is too wide" in sentences(scale=2.0)
    assert "The guide is shifted" in sentences(shift=2.0)
    assert "guide" not in sentences()
