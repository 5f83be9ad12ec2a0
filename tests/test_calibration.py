r"""Laws of calibration: an exact guide passes at the stated rate, a wrong one is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from program_cases import PROGRAMS
from scipy.stats import binomtest
from test_evidence import Norms
from torch import Tensor

from ppl_vae.distributions.masked_elements import MaskedElements
from ppl_vae.distributions.von_mises_fisher import VonMisesFisher
from ppl_vae.evaluation.calibration import (
    Calibration,
    Quantity,
    calibration,
    distances,
    nearest,
    ranks,
    simulated,
    summaries,
    uniform_p_values,
)
from ppl_vae.guides import Amortized
from ppl_vae.models import Linear

RARE = 1e-5
r"""The failure rate of each test below, at the most, but for the fixed seeds."""


def linear(scale: float = 1.0, shift: float = 0.0, dims: int = 2) -> tuple[Linear, Any, Tensor]:
    r"""Probabilistic PCA, and its posterior made wider or shifted, in standard deviations."""
    model = Linear(5, dims, scale=0.7)

    def posterior(x: Tensor) -> Any:
        q = model.posterior(x)
        return dist.MultivariateNormal(q.mean + shift * q.stddev, scale_tril=scale * q.scale_tril)

    return model, Amortized(posterior), model(n=10).detach()


def prior(x: Tensor) -> Any:
    return dist.Normal(torch.zeros(len(x), 2), 1.0).to_event(1)


# The rate


@pytest.mark.parametrize("seeds", [40, pytest.param(400, marks=pytest.mark.slow)])
def test_exact_guide_passes_at_the_stated_rate(seeds: int) -> None:
    r"""Over seeds each test rejects 5 % (two-sided), any of them no more (one-sided)."""
    model, guide, x = linear()
    runs = [calibration(model, guide, x, 100, 7, seed=seed) for seed in range(seeds)]

    for i in range(len(runs[0].quantities)):
        count = sum(bool(run.p_values[i] <= 0.05) for run in runs)
        assert binomtest(count, seeds, 0.05).pvalue > RARE
    any_of = sum(bool(run.rejected.any()) for run in runs)
    assert binomtest(any_of, seeds, 0.05, alternative="greater").pvalue > RARE

    # And all simulations together do not tell the guide from the posterior.
    pooled = torch.cat([run.ranks for run in runs])
    assert uniform_p_values(pooled, 7).min() > RARE


# Faults


@pytest.mark.parametrize(
    ("scale", "shift", "name", "density"),
    [
        (0.6, 0.0, "too narrow", "fits too well"),
        (1.7, 0.0, "too wide", "fits too badly"),
        (1.0, 0.6, "too high", "fits too badly"),
        (1.0, -0.6, "too low", "fits too badly"),
    ],
)
def test_faults_are_named(scale: float, shift: float, name: str, density: str) -> None:
    model, guide, x = linear(scale, shift)
    found = calibration(model, guide, x, 300, 15)
    summary = found.summary()

    assert {found.faults[z].name for z in ("z[0]", "z[1]")} == {name}
    assert found.faults["log p(x | z)"].name == density
    assert summary["level"] == "poor" and f"{found.faults['z[0]'].meaning}" in summary["verdict"]
    nominal, held = found.nominal, found.held[0]
    assert (held < nominal - 0.05) if scale < 1 else (held > nominal if scale > 1 else True)


def test_one_element_alone_is_blamed() -> None:
    model = Linear(6, 3, scale=0.7)

    def posterior(x: Tensor) -> Any:
        # Elements that are independent given x, by a weight of orthogonal columns.
        q = model.posterior(x)
        factors = torch.tensor([1.0, 0.5, 1.0])
        return dist.Normal(q.mean, q.stddev * factors).to_event(1)

    with torch.no_grad():
        model.weight.copy_(1.3 * torch.linalg.qr(model.weight).Q)
    found = calibration(model, Amortized(posterior), model(n=3).detach(), 300, 15)
    assert {k for k in found.faults if k.startswith("z")} == {"z[1]"}
    assert found.faults["z[1]"].name == "too narrow"
    assert "Site 'z', elements z[1]: the guide is too narrow" in found.summary()["verdict"]


def test_prior_is_rejected_by_what_depends_on_data() -> None:
    r"""The elements of the code alone do not see that the guide ignores the data."""
    model, _, x = linear()
    found = calibration(model, Amortized(prior), x, 300, 15)

    assert uniform_p_values(found.ranks[:, :2], 15).min() > RARE
    assert found.faults["log p(x | z)"].name == "fits too badly"
    assert found.faults["distance from a reference"].name == "ignores data or too wide"
    assert found.summary()["level"] == "poor"


def test_references_that_know_no_data_are_blind() -> None:
    model, _, x = linear()
    rows = {"x": x[:1].expand(2000, 5)}
    made = simulated(model, Amortized(prior), rows, 2000, 7)
    others, near = made.others(rows)
    z = made.coordinates()

    def p_value(references: Tensor) -> float:
        return float(uniform_p_values(ranks(distances(z, references, near))[:, None], 7))

    assert p_value(near) > RARE
    assert p_value(near[nearest(made.data(), others)]) < 1e-10


def test_data_are_no_predictions_of_themselves() -> None:
    r"""The guide has seen them: they lie in the middle, though it is exact; new data do not."""
    model, guide, x = linear()
    made = simulated(model, guide, {"x": x[:1].expand(2000, 5)}, 2000, 7)
    chosen = torch.zeros(2000, dtype=torch.long)
    found = torch.stack([summaries(y["x"], chosen) for y in made.predictions()])
    new = ranks(found)
    own = ranks(torch.cat([summaries(made.batch["x"], chosen)[None], found[1:]]))

    assert uniform_p_values(new, 7).min() > RARE
    assert uniform_p_values(own[:, 2:], 7) < 1e-9
    assert ((own[:, 2] == 0) | (own[:, 2] == 7)).double().mean() < 0.2  # a hump: less than 1/4


# Exact posteriors of many kinds

Pair = tuple[Callable[..., Any], Callable[..., Any], Any]


def categorical() -> Pair:
    means, probs = torch.tensor([-1.0, 0.0, 0.5, 0.5]), torch.tensor([0.1, 0.4, 0.2, 0.3])

    def model(x: Tensor | None = None, *, n: int = 1) -> None:
        with pyro.plate("data", n if x is None else len(x), dim=-1):
            z = pyro.sample("z", dist.Categorical(probs))
            pyro.sample("x", dist.Normal(means[z], 1.0), obs=x)

    def guide(x: Tensor) -> None:
        log_p = dist.Normal(means, 1.0).log_prob(x[:, None]) + probs.log()
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Categorical(logits=log_p))

    return model, guide, torch.randn(3)


def hierarchical() -> Pair:
    outer, inner = Linear(4, 3, scale=0.8), Linear(3, 1, scale=0.5)
    gain = inner.covariance @ outer.weight.mT
    covariance = outer.weight @ gain + 0.64 * torch.eye(4)
    gain = (gain @ covariance.inverse()).detach()
    left = (inner.covariance - gain @ outer.weight @ inner.covariance).detach()
    left = (left + left.mT) / 2

    def model(x: Tensor | None = None, *, n: int = 1) -> None:
        with pyro.plate("data", n if x is None else len(x), dim=-1):
            z2 = pyro.sample("z2", dist.Normal(torch.zeros(1), 1.0).to_event(1))
            z1 = pyro.sample("z1", dist.Normal(z2 @ inner.weight.mT, 0.5).to_event(1))
            pyro.sample("x", dist.Normal(z1 @ outer.weight.mT, 0.8).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z1 = pyro.sample("z1", dist.MultivariateNormal(x @ gain.mT, left))
            flat = z1.reshape(-1, 3)
            loc = inner.posterior(flat).mean.reshape(*z1.shape[:-1], 1)
            scale = inner.posterior(flat[:1]).stddev[0]
            pyro.sample("z2", dist.Normal(loc, scale).to_event(1))

    return model, guide, torch.randn(3, 4)


def simplex() -> Pair:
    prior = torch.tensor([0.5, 1.0, 2.0])

    def model(x: Tensor | None = None, *, n: int = 1) -> None:
        with pyro.plate("data", n if x is None else len(x), dim=-1):
            z = pyro.sample("z", dist.Dirichlet(prior))
            pyro.sample("x", dist.Multinomial(5, z), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Dirichlet(prior + x))

    return model, guide, torch.tensor([[1.0, 2.0, 2.0]])


def direction() -> Pair:
    kappa = torch.tensor(3.0)

    def model(x: Tensor | None = None, *, n: int = 1) -> None:
        with pyro.plate("data", n if x is None else len(x), dim=-1):
            z = pyro.sample("z", VonMisesFisher(torch.tensor([0.0, 0.0, 1.0]), torch.tensor(1e-3)))
            pyro.sample("x", VonMisesFisher(z, kappa), obs=x)

    def guide(x: Tensor) -> None:
        h = kappa * x + torch.tensor([0.0, 0.0, 1e-3])
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", VonMisesFisher(h / h.norm(dim=-1, keepdim=True), h.norm(dim=-1)))

    return model, guide, torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def exposures() -> Pair:
    r"""Counts over a time that the model is given, of which real data know the lengths."""

    def model(x: Tensor | None = None, time: Tensor | None = None, *, n: int = 1) -> None:
        with pyro.plate("data", n if x is None else len(x), dim=-1):
            z = pyro.sample("z", dist.Gamma(2.0, 1.0))
            pyro.sample("x", dist.Poisson(z * time), obs=x)

    def guide(x: Tensor, time: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Gamma(2.0 + x, 1.0 + time))

    return model, guide, {"x": torch.zeros(3), "time": torch.tensor([0.1, 1.0, 20.0])}


def missing() -> Pair:
    r"""Real data lack entries: so do those that are drawn in their place."""

    def model(x: Tensor | None = None, *, n: int = 1) -> None:
        with pyro.plate("data", n if x is None else len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            law = dist.Normal(z[..., None].expand(*z.shape, 3), 1.0)
            pyro.sample("x", MaskedElements(law).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        precision = 1.0 + x.isnan().logical_not().sum(-1)
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(x.nansum(-1) / precision, precision**-0.5))

    nan = torch.nan
    return model, guide, torch.tensor([[0.0, 1.0, nan], [nan, nan, 2.0], [nan, nan, nan]])


def enumerated() -> Pair:
    r"""A class that the model sums out, and a label that it observes beside the data."""

    def model(x: Tensor | None = None, y: Tensor | None = None, *, n: int = 1) -> None:
        with pyro.plate("rows", n if x is None else len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("y", dist.Bernoulli(logits=torch.tensor(0.5)), obs=y)
            c = pyro.sample("c", dist.Bernoulli(0.3), infer={"enumerate": "parallel"})
            pyro.sample("x", dist.Normal(z + 4.0 * c, 0.5), obs=x)

    def guide(x: Tensor, y: Tensor) -> None:
        c = torch.tensor([0.0, 4.0])
        logits = dist.Normal(c, 1.25**0.5).log_prob(x[:, None]) + torch.tensor([0.7, 0.3]).log()
        parts = dist.Normal((x[:, None] - c) / 1.25, 0.2**0.5)
        with pyro.plate("rows", len(x), dim=-1):
            pyro.sample("z", dist.MixtureSameFamily(dist.Categorical(logits=logits), parts))

    return model, guide, {"x": torch.zeros(2), "y": torch.ones(2)}


def nested() -> Pair:
    r"""An inner plate of two sensors, each with a latent variable; rows of data come first."""

    def model(x: Tensor | None = None, *, n: int = 1) -> None:
        with pyro.plate("data", n if x is None else len(x), dim=-1):
            with pyro.plate("sensors", 2, dim=-2):
                z = pyro.sample("z", dist.Normal(0.0, 1.0))
            both = torch.stack([z[..., 0, :], z[..., 1, :]], -1)
            both = both[..., None, :, :] if z.ndim > 2 else both
            pyro.sample("x", dist.Normal(both, 1.0).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1), pyro.plate("sensors", 2, dim=-2):
            pyro.sample("z", dist.Normal(x.mT / 2, 0.5**0.5))

    return model, guide, torch.zeros(3, 2)


EXACT: dict[str, Callable[[], Pair]] = {
    "categorical": categorical,
    "hierarchical": hierarchical,
    "simplex": simplex,
    "direction": direction,
    "exposures": exposures,
    "missing": missing,
    "enumerated": enumerated,
    "nested": nested,
}
SITES = {"hierarchical": ("z2", "z1[0]", "z1[1]", "z1[2]"), "nested": ("z[0]", "z[1]")}


@pytest.mark.parametrize("name", EXACT)
def test_exact_posteriors(name: str) -> None:
    r"""Each test of 800 simulations passes: one wrong in ten thousand, for all tests together."""
    model, guide, x = EXACT[name]()
    found = calibration(model, guide, x, 800, 7)
    assert found.adjusted.min() > 1e-4, found.summary()
    latent = tuple(q.name for q in found.quantities if q.kind == "latent")
    assert latent == SITES.get(name, latent)
    assert not found.ranks.double().std(0).lt(1).any()  # none is degenerate


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_program(name: str) -> None:
    r"""Networks with random weights are no posteriors, but are judged; or refused by a sentence."""
    model, guide, x = PROGRAMS[name]()

    if name in ("other plate", "nested"):
        with pytest.raises(ValueError, match="takes no n, the number of data"):
            calibration(model, guide, x)
        return

    found = calibration(model, guide, x, 20, 7)
    assert found.ranks.shape == (20, len(found.quantities)) and len(found) == 20
    assert found.ranks.min() >= 0 and found.ranks.max() <= 7
    assert found.summary()["level"] in ("fair", "poor")


def test_discrete_fault() -> None:
    r"""A guide that is sure of the last class, whatever the data are."""
    model, _, x = categorical()

    def sure(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Categorical(torch.tensor([0.01, 0.01, 0.01, 0.97])))

    found = calibration(model, sure, x, 300, 15)
    assert found.faults["z"].name == "too high"


# Seeds, blocks, and what stays as it was


def test_seeds_and_blocks() -> None:
    r"""One seed, one result; blocks beyond do not disturb it, nor whether draws are looped."""
    model, guide, x = linear(0.8)
    one = calibration(model, guide, x, 250, 7)
    seen: list[int] = []
    again = calibration(model, guide, {"x": x}, 250, 7, progress=seen.append)

    assert one.ranks.equal(again.ranks) and seen == [100, 100, 50]
    assert calibration(model, guide, x, 130, 7).ranks.equal(one.ranks[:130])
    assert calibration(model, guide, x[:4], 130, 7).ranks.equal(one.ranks[:130])
    assert not calibration(model, guide, x, 250, 7, seed=1).ranks.equal(one.ranks)


def test_looped() -> None:
    r"""Programs that reshape their draws pass as others do."""
    model, guide, x = linear()
    found = calibration(model, guide, x, 300, 7, vectorized=False)
    assert uniform_p_values(found.ranks, 7).min() > RARE


class Drawn(Norms):
    def model(self, x: Tensor | None = None, *, n: int = 1) -> None:
        pyro.module("Norms", self)
        with pyro.plate("data", n if x is None else len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            loc = self.net(z.reshape(-1, 2)).reshape(*z.shape[:-1], 5)
            pyro.sample("x", dist.Normal(loc, 1.0).to_event(1), obs=x)


def test_changes_nothing() -> None:
    r"""Bit by bit: parameters, gradients, buffers, flags, random states."""
    program, x = Drawn(), torch.randn(7, 5)
    program.model(x)
    program.net[0].weight.grad = torch.ones(5, 2)
    state = {k: v.clone() for k, v in program.state_dict().items()}
    flags = [m.training for m in program.modules()]
    random = torch.get_rng_state()

    one = calibration(program.model, program.guide, x, 20, 7)

    assert all(v.equal(state[k]) for k, v in program.state_dict().items())
    assert [m.training for m in program.modules()] == flags
    assert torch.get_rng_state().equal(random) and torch.is_grad_enabled()
    assert program.net[0].weight.grad.equal(torch.ones(5, 2))
    assert not one.ranks.requires_grad

    torch.manual_seed(7)
    program.eval()
    assert calibration(program.model, program.guide, x, 20, 7).ranks.equal(one.ranks)


# Refusals and the summary


def test_refused() -> None:
    model, guide, x = linear()

    with pytest.raises(ValueError, match="no data to simulate in the place of"):
        calibration(model, guide, x[:0])
    for S, L in ((19, 31), (20, 6)):
        with pytest.raises(ValueError, match=f"simulations={S} and draws={L}"):
            calibration(model, guide, x, S, L)
    program = Norms()
    with pytest.raises(ValueError, match="takes no n, the number of data"):
        calibration(program.model, program.guide, x)

    def implicit(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", prior(x), infer={"implicit": True})

    with pytest.raises(ValueError, match="has no density"):
        calibration(model, implicit, x)

    def lost(x: Tensor) -> Any:
        return dist.Normal(torch.full((len(x), 2), torch.inf), 1.0).to_event(1)

    with pytest.raises(ValueError, match=r"NaN or infinite"):
        calibration(model, Amortized(lost), x)


def test_refused_sites() -> None:
    def other(image: Tensor | None = None, *, n: int = 1) -> None:
        with pyro.plate("data", n if image is None else len(image), dim=-1):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=image)

    def guide(image: Tensor) -> None:
        with pyro.plate("data", len(image), dim=-1):
            pyro.sample("z", dist.Normal(image, 1.0))

    with pytest.raises(ValueError, match="observes site 'x', but takes no argument of that name"):
        calibration(other, guide, torch.zeros(3))

    def shared(x: Tensor | None = None, *, n: int = 1) -> None:
        mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
        with pyro.plate("data", n if x is None else len(x), dim=-1):
            pyro.sample("x", dist.Normal(mu, 1.0), obs=x)

    def guess(x: Tensor) -> None:
        pyro.sample("mu", dist.Normal(0.0, 1.0))

    with pytest.raises(ValueError, match="Site 'mu' lies outside of the plate of the data"):
        calibration(shared, guess, torch.zeros(3))


def found_of(ranks: Tensor, draws: int = 7) -> Calibration:
    columns = tuple(Quantity(f"z[{i}]", "latent", "z") for i in range(ranks.shape[1]))
    return Calibration(ranks, columns, draws)


def test_levels() -> None:
    r"""Few simulations are no proof; a small fault that is certain is fair."""
    even = torch.arange(8).repeat(5)[:, None]
    few = found_of(even).summary()
    assert few["level"] == "fair" and "too few simulations" in few["verdict"]
    many = found_of(even.repeat(100, 1)).summary()
    assert many["level"] == "good" and many["rejected"] == 0 and many["distance"] == 0

    small = found_of(torch.cat([even.repeat(100, 1), torch.zeros(200, 1, dtype=torch.long)]))
    assert small.summary()["level"] == "fair" and small.faults["z[0]"].name == "too high"
    large = found_of(torch.zeros(100, 1, dtype=torch.long)).summary()
    assert large["level"] == "poor" and large["distance"] == pytest.approx(7 / 8)
    assert large["quantities"][0]["fault"] == "too high"


def test_summary_is_plain_and_arrays_agree() -> None:
    model, guide, x = linear(0.6)
    found = calibration(model, guide, x, 200, 15)
    summary, arrays = json.loads(json.dumps(found.summary())), found.arrays()

    assert summary["tests"] == len(summary["quantities"]) == 8
    assert summary["nominal"] == pytest.approx(1 - 2 / 16)
    assert arrays["ranks"].shape == (200, 8) and arrays["bars"].sum(1).tolist() == [200] * 8
    assert arrays["differences"].shape == (8, 15) and arrays["low"].shape == (15,)
    assert [q["name"] for q in summary["quantities"]] == arrays["names"].tolist()

    # What leaves the band is rejected.
    inside = (arrays["differences"] >= arrays["low"]) & (arrays["differences"] <= arrays["high"])
    assert found.rejected.numpy()[~inside.all(1)].all() and not inside.all()
    held = ((found.ranks >= 1) & (found.ranks <= 14)).double().mean(0)
    assert found.held.equal(held)
