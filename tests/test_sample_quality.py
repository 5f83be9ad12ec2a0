r"""Laws of the comparison of samples with data: a true model passes, a wrong one does not."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from program_cases import hierarchical
from scipy.stats import binom
from torch import Tensor, nn

from ppl_vae.drawing.canvas import png
from ppl_vae.drawing.sample_quality import sample_quality as draw
from ppl_vae.evaluation.samples import SampleQuality, sample_quality
from ppl_vae.evaluation.samples.sides import sides
from ppl_vae.evaluation.samples.verdict import verdict
from ppl_vae.models import Linear

QUICK: dict[str, Any] = {"permutations": 99, "replicates": 5}


def true_model(n: int, seed: int = 0) -> tuple[Linear, Tensor]:
    torch.manual_seed(seed)
    model = Linear(4, 2, scale=0.5)
    return model, model(n=n).detach()


class Counts(nn.Module):
    r"""Counts with exposures, which the model is given; parameters are those of this module."""

    def __init__(self, rate: float = 3.0) -> None:
        super().__init__()
        self.rate = nn.Parameter(torch.tensor(rate))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor | None = None, exposure: Any = None, *, n: int = 1) -> Tensor:
        pyro.module("Counts", self)
        self.calls += 1
        assert not self.training
        n = n if x is None else len(x)
        assert exposure is not None and len(exposure) == n
        with pyro.plate("data", n, dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(()), 0.1))
            rate = (self.rate * exposure * z.exp())[:, None].expand(-1, 3)
            return pyro.sample("x", dist.Poisson(rate).to_event(1), obs=x)


def counts(n: int) -> dict[str, Tensor]:
    exposure = torch.linspace(1, 200, n)[torch.randperm(n)]
    return {
        "x": torch.poisson(3 * exposure[:, None].expand(-1, 3)),
        "exposure": exposure,
        "index": torch.arange(n),
    }


# A true model and a wrong one


@pytest.fixture(scope="module")
def right() -> SampleQuality:
    return sample_quality(*true_model(600), **QUICK)


@pytest.fixture(scope="module")
def wrong() -> SampleQuality:
    r"""A model of far less variance, and shifted."""
    model, x = true_model(600)
    narrow = Linear(4, 2, scale=0.1)
    with torch.no_grad():
        narrow.weight.copy_(model.weight * 0.3)
        narrow.bias += 1
    return sample_quality(narrow, x, **QUICK)


def test_true_model(right: SampleQuality) -> None:
    r"""Nothing is found at the 1 % level (seed 0), and samples do as well as real data."""
    told = right.summary()
    assert right.samples.p_value > 0.01 and right.real.p_value > 0.01
    assert told["level"] == "good" and "No test tells 200 samples" in told["verdict"]
    for name in ("precision", "recall", "density", "coverage"):
        pair = [told[side][name] for side in ("samples", "real")]
        error = sum(part["standard_error"] ** 2 for part in pair) ** 0.5
        assert abs(pair[0]["value"] - pair[1]["value"]) < 4 * error


def test_wrong_model(wrong: SampleQuality) -> None:
    told = wrong.summary()
    assert wrong.samples.p_value < 1e-6 or wrong.samples.mmd.p_value == 0.01
    assert wrong.samples.accuracy > 0.75 > wrong.real.accuracy
    assert wrong.samples.frechet > 3 * wrong.real.frechet
    assert told["frechet_excess"] > 0 and told["level"] == "poor"
    assert wrong.samples.neighbours.recall < 0.3 < wrong.real.neighbours.recall
    for words in ("Samples are told from held-out data", "The recall is", "chance is 50%"):
        assert words in told["verdict"]


@pytest.mark.slow
def test_errs_no_more_often_than_it_says() -> None:
    r"""Of 60 true models at most 10 % are told from their data at p <= 0.1.

    The number is binomial at most: beyond its quantile of 1e-4 once in 10000.
    """
    runs = [
        sample_quality(*true_model(120, seed), permutations=99, replicates=2, seed=seed)
        for seed in range(60)
    ]
    assert sum(run.samples.p_value <= 0.1 for run in runs) <= binom.isf(1e-4, 60, 0.1)
    assert sum(run.real.p_value <= 0.1 for run in runs) <= binom.isf(1e-4, 60, 0.1)


def test_reference_from_elsewhere() -> None:
    r"""Real data that differ from those held out are told so; features are of the reference."""
    model, x = true_model(300)
    found = sample_quality(model, x[:100], reference=x[100:] + 3, **QUICK)
    assert found.draws == 100
    assert "differ themselves" in found.summary()["verdict"]


def test_verdict_of_a_small_gap(right: SampleQuality, wrong: SampleQuality) -> None:
    assert verdict(right.samples, right.samples, 200)[0] == "good"
    assert verdict(right.real, right.samples, 200)[0] == "good"
    assert verdict(wrong.samples, wrong.samples, 200)[0] == "poor"


def test_verdict_of_samples_that_crowd(right: SampleQuality) -> None:
    neighbours = right.samples.neighbours
    crowd = replace(right.samples, neighbours=replace(neighbours, density=5.0))
    assert "crowd about typical data" in verdict(crowd, right.real, 200)[1]
    assert "crowd" not in verdict(right.samples, right.real, 200)[1]


# What is compared


def test_exposures_go_along() -> None:
    r"""Each draw is given the exposure of a real row, and is told from none by its counts."""
    found = sample_quality(Counts().eval(), counts(240), **QUICK)
    assert found.sites == ("x",) and found.samples.p_value > 0.01

    # Without the exposures of the rows at hand the counts would differ.
    data = counts(240)
    twice = {**data, "exposure": 2 * data["exposure"]}
    assert sample_quality(Counts().eval(), twice, **QUICK).samples.accuracy > 0.6

    # Exposures that the reference has not are those of the held-out data.
    other = {"x": counts(240)["x"]}
    assert sample_quality(Counts().eval(), counts(90), reference=other, **QUICK).draws == 90


def test_labels() -> None:
    r"""Are those of the reference, or of the batch; features tell them apart."""
    model, x = true_model(120)
    y = (x[:, 0] > 0).long()
    for batch, options in ((x, {}), (x[:60], {"reference": x, "draws": 40})):
        found = sample_quality(model, batch, labels=y, **options, **QUICK)
        assert "net that tells 2 classes apart" in found.features
        assert "ppl_vae features" in found.features and "FID" not in found.features


def test_rows_are_held_apart() -> None:
    r"""No row is on two sides, and the labels are those of the rows for the features."""
    model, x = true_model(100)
    options: dict[str, Any] = {"draws": None, "limit": 1000, "seed": 3}
    found = sides(model, x, None, x[:, 0], **options)
    every = torch.cat([found.held, found.other, found.apart])
    assert [len(t) for t in (found.held, found.other, found.apart)] == [33, 33, 34]
    assert len(every.unique(dim=0)) == 100
    assert torch.equal(found.held, x[found.rows].double())
    assert found.labels is not None and torch.equal(found.labels.double(), found.apart[:, 0])

    found = sides(model, x[:40], x[40:], x[40:, 0], **options)
    assert found.labels is not None and torch.equal(found.labels.double(), found.apart[:, 0])
    known = {tuple(row) for row in x[40:].double().tolist()}
    assert {tuple(row) for row in torch.cat([found.other, found.apart]).tolist()} == known


def test_hierarchical_and_images() -> None:
    r"""Binary images, of a model of two layers."""
    model, _, _ = hierarchical()
    x = model.eval()(n=90).detach()
    found = sample_quality(model, {"x": x}, **QUICK)
    assert found.sites == ("x",) and found.samples.p_value > 0.01


def test_several_sites() -> None:
    r"""All that the model observes and takes is compared, side by side."""

    def model(x: Tensor | None = None, y: Tensor | None = None, *, n: int = 1) -> None:
        with pyro.plate("data", n if x is None else len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 0.1), obs=x)
            pyro.sample("y", dist.Normal(-z, 0.1), obs=y)

    z = torch.randn(120)
    data = {"x": z + 0.1 * torch.randn(120), "y": 0.1 * torch.randn(120) - z}
    assert sample_quality(model, data, **QUICK).samples.p_value > 0.01
    # Each site alone would pass.
    found = sample_quality(model, {**data, "y": -data["y"]}, **QUICK)
    assert found.sites == ("x", "y") and found.samples.p_value < 0.01


# Manners


def test_changes_nothing() -> None:
    model = Counts().train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    sample_quality(model, counts(90), **QUICK)
    assert model.training and torch.equal(model.calls, before["calls"])
    # The data were drawn here; nothing else was.
    torch.set_rng_state(state)
    counts(90)
    expected = torch.get_rng_state()
    torch.set_rng_state(state)
    sample_quality(model, counts(90), **QUICK)
    assert torch.equal(torch.get_rng_state(), expected)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


def test_seeds() -> None:
    model, x = true_model(90)
    steps: list[int] = []
    found = [
        sample_quality(model, x, seed=seed, progress=steps.append, **QUICK).summary()
        for seed in (0, 0, 1)
    ]
    assert found[0] == found[1] != found[2]
    assert steps == [1] * 9


def test_summary_and_arrays(right: SampleQuality) -> None:
    told, arrays = json.loads(json.dumps(right.summary())), right.arrays()
    assert told["neighbours"] == 5 and told["draws"] == 200
    assert told["features"] == "ppl_vae features: 4 principal components"
    assert arrays["scores"].shape == arrays["drawn"].shape == (200,)
    assert arrays["measures"].shape == arrays["errors"].shape == (2, 4)
    assert arrays["measures"][0, 1] == told["samples"]["recall"]["value"]
    assert arrays["rows"].shape == arrays["recalled"].shape == (200,)
    assert arrays["recalled"].mean() == pytest.approx(told["samples"]["recall"]["value"])


def test_figure(right: SampleQuality) -> None:
    arrays = right.arrays()
    names = ("scores", "drawn", "measures", "errors")
    figure = draw(*(arrays[name] for name in names))
    left, bars = figure.axes
    assert "of 200 rows (chance: 50%)" in left.get_title()
    assert next(text.get_text() for text in bars.get_xticklabels()) == "precision"
    assert png(figure)[1:4] == b"PNG"
    with pytest.raises(ValueError, match="one of them is missing"):
        draw(arrays["scores"], arrays["drawn"] > 2, arrays["measures"], arrays["errors"])


def no_n(x: Tensor) -> None:
    with pyro.plate("data", len(x)):
        pyro.sample("x", dist.Normal(0.0, 1.0).expand([2]).to_event(1), obs=x)


def other_name(data: Tensor | None = None, *, n: int = 1) -> None:
    with pyro.plate("data", n):
        pyro.sample("obs", dist.Normal(0.0, 1.0), obs=data)


x = torch.randn(90, 2)
linear = Linear(2, 1)
REFUSED: dict[str, tuple[Callable[..., Any], Any, dict[str, Any], str]] = {
    "few": (linear, x[:30], {}, "with 20 data or more"),
    "few in the reference": (
        linear,
        x,
        {"reference": x[:30]},
        "got 15, from 90 held-out rows and 30 others",
    ),
    "draws": (
        linear,
        x,
        {"draws": 31},
        "For 31 draws .*31 held-out rows and 62 others are needed, or 93 in all; got 90",
    ),
    "missing": (linear, x.masked_fill(x > 1, torch.nan), {}, "nothing is missing|support"),
    "labels": (linear, x, {"labels": torch.zeros(4)}, r"shape \(90,\)"),
    "no n": (no_n, x, {}, "takes no n"),
    "name": (other_name, torch.randn(1), {}, r"observes \['obs'\] and was given \['data'\]"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses(name: str) -> None:
    model, batch, options, words = REFUSED[name]
    with pytest.raises(ValueError, match=words):
        sample_quality(model, batch, **options)
