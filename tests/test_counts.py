r"""Counts with an exposure, from the density to a run; and all families of counts and of positive
numbers in programs that are captured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.fx.experimental.proxy_tensor import make_fx

from ppl_vae import SVI, Run, load, train
from ppl_vae.conditional import Conditional
from ppl_vae.data import Data, array, stored
from ppl_vae.distributions import Multinomial as MultinomialDistribution
from ppl_vae.evaluation import log_evidence
from ppl_vae.families import (
    Beta,
    ContinuousBernoulli,
    Family,
    Gamma,
    Huber,
    LogNormal,
    Multinomial,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
)
from ppl_vae.families.scale import unbounded
from ppl_vae.guides import Amortized, BottomUp
from ppl_vae.models import VAE
from ppl_vae.networks import mlp
from ppl_vae.objectives import IWAE
from ppl_vae.priors import FamilyPrior, StandardNormal

Constructor = Callable[[Sequence[int]], Family]

# The families that take an exposure: one more is one more line.
EXPOSED: dict[str, Constructor] = {
    "Multinomial": Multinomial,
    "NegativeBinomial": NegativeBinomial,
    "NegativeBinomial element": lambda shape: NegativeBinomial(shape, concentration="element"),
    "NegativeBinomial fixed": lambda shape: NegativeBinomial(shape, concentration=3.0),
    "Poisson": Poisson,
}

# Likelihoods that take none, and data for them.
LIKELIHOODS: dict[str, tuple[Constructor, Callable[[], Tensor]]] = {
    "Beta": (Beta, lambda: torch.rand(20, 4)),
    "ContinuousBernoulli": (ContinuousBernoulli, lambda: torch.rand(20, 4).round(decimals=1)),
    "Gamma": (Gamma, lambda: torch.rand(20, 4) + 0.1),
    "Huber": (Huber, lambda: torch.randn(20, 4)),
    "LogNormal": (LogNormal, lambda: torch.randn(20, 4).exp()),
    "NegativeBinomial": (NegativeBinomial, lambda: torch.poisson(torch.full((20, 4), 3.0))),
    "Poisson": (Poisson, lambda: torch.poisson(torch.full((20, 4), 3.0))),
    "StudentT": (StudentT, lambda: torch.randn(20, 4)),
}

POSTERIORS: dict[str, Constructor] = {
    "Beta": Beta,
    "Gamma": Gamma,
    "LogNormal": LogNormal,
    "StudentT": lambda shape: StudentT(shape, df="element"),
}

exposed = pytest.mark.parametrize("name", EXPOSED)


def programs(
    likelihood: Constructor, posterior: Constructor = Normal, **options: Any
) -> tuple[VAE, Amortized]:
    prior = StandardNormal((2,)) if posterior is Normal else FamilyPrior((2,), posterior)
    model = VAE(prior, Conditional((2,), likelihood((4,)), mlp([8])), **options)
    return model, Amortized(Conditional((4,), posterior((2,)), mlp([8])))


def counts(n: int) -> dict[str, Tensor]:
    x = torch.poisson(torch.rand(n, 1) * torch.tensor([1.0, 5.0, 10.0, 30.0]) + 1)
    return {"x": x, "exposure": x.sum(-1)}


# Densities and draws


def test_poisson_density() -> None:
    h = torch.randn(5, 1, 3, dtype=torch.float64)
    y = torch.tensor([0.0, 4.0, 90.0], dtype=torch.float64)
    e = torch.rand(5, dtype=torch.float64) * 30
    rate = Poisson((3,))(h).mean * e[:, None]
    found = Poisson((3,))(h, exposure=e).log_prob(y)

    exact = torch.as_tensor(stats.poisson.logpmf(y, rate)).sum(-1)
    torch.testing.assert_close(found, exact, rtol=1e-9, atol=0)


def test_negative_binomial_density() -> None:
    family = NegativeBinomial((3,)).double()
    torch.nn.init.normal_(family.concentration.rho)
    h = torch.randn(5, 1, 3, dtype=torch.float64)
    y = torch.tensor([0.0, 4.0, 90.0], dtype=torch.float64)
    e = torch.rand(5, dtype=torch.float64) * 30

    with torch.no_grad():
        mean = family(h).mean * e[:, None]
        theta = family.concentration((), h)
        found = family(h, exposure=e).log_prob(y)

    exact = torch.as_tensor(stats.nbinom.logpmf(y, theta, theta / (theta + mean))).sum(-1)
    torch.testing.assert_close(found, exact, rtol=1e-9, atol=0)


def test_multinomial_density_and_moments() -> None:
    h = torch.randn(5, 4, dtype=torch.float64)
    total = torch.tensor([0.0, 1.0, 7.0, 40.0, 1000.0], dtype=torch.float64)
    p = Multinomial((4,))(h, exposure=total)
    y = p.sample((6,))
    exact = np.array(
        [
            [
                stats.multinomial.logpmf(row, int(t), q)
                for row, t, q in zip(rows, total, probs, strict=True)
            ]
            for rows, probs in ((rows, h.softmax(-1).numpy()) for rows in y.numpy())
        ]
    )

    torch.testing.assert_close(p.log_prob(y), torch.as_tensor(exact), rtol=1e-9, atol=1e-9)
    assert (y.sum(-1) == total).all() and p.support.check(y).all()
    assert not p.support.check(y + torch.eye(4, dtype=torch.float64)[0]).any()
    assert not p.support.check(y + torch.tensor([-1e4, 1e4, 0, 0], dtype=torch.float64)).any()
    assert not p.support.check(y + torch.tensor([0.5, -0.5, 0, 0], dtype=torch.float64)).any()


def test_multinomial_draws_have_its_moments() -> None:
    n = 20000
    p = MultinomialDistribution(torch.tensor([3.0, 500.0]), torch.tensor([0.0, 1.0, -2.0, 0.5]))
    y = p.sample((n,)).double()
    mean, spread = p.mean.double(), p.variance.double()
    z = (y.mean(0) - mean) / (spread / n).sqrt()
    squares = (y - mean) ** 2
    z_spread = (squares.mean(0) - spread) / (squares.std(0) / n**0.5)
    product = (y[..., 0] - mean[..., 0]) * (y[..., 1] - mean[..., 1])
    covariance = -mean[..., 0] * p.probs[..., 1].double()
    z_product = (product.mean(0) - covariance) / (product.std(0) / n**0.5)

    # A random seed fails at one of the 18 scores once in 900 times.
    assert max(t.abs().max() for t in (z, z_spread, z_product)) < 4


def test_multinomial_of_all_kinds_at_once() -> None:
    r"""One total for all data, totals for logits that they share, and both."""
    logits = torch.randn(3, 4)
    one, row = torch.tensor(5.0), torch.tensor([5.0, 6.0, 7.0])

    assert MultinomialDistribution(one, logits).batch_shape == (3,)
    assert MultinomialDistribution(row, logits[0]).sample().sum(-1).equal(row)
    assert MultinomialDistribution(one, logits[0]).expand((2, 3)).sample((7,)).shape == (7, 2, 3, 4)
    with pytest.raises(ValueError, match="total_count"):
        MultinomialDistribution(torch.tensor(1.5), logits, validate_args=True)
    with pytest.raises(ValueError, match="support"):
        p = MultinomialDistribution(one, logits, validate_args=True)
        p.log_prob(torch.tensor([1.0, 1.0, 1.0, 1.0]))


def test_totals_of_many_millions_are_compared_as_far_as_they_are_stored() -> None:
    total = torch.tensor(3e7)
    p = MultinomialDistribution(total, torch.zeros(1000))

    assert p.support.check(p.sample((5,))).all()
    assert not p.support.check(p.sample() + 1).any()


# Exposures


@exposed
def test_exposure_and_rate_scale_alike(name: str) -> None:
    r"""Twice the exposure is as good as twice the rate."""
    family = EXPOSED[name]((4,))
    h, e = torch.randn(3, 5, *family.param_shape), torch.tensor([1.0, 2.0, 5.0, 9.0, 40.0])
    p = family(h, exposure=e)

    torch.testing.assert_close(family(h, exposure=3 * e).mean, 3 * p.mean)
    torch.testing.assert_close(
        p.mean, torch.stack([family(h[:, i], exposure=e[i]).mean for i in range(5)], 1)
    )
    if name != "Multinomial":
        at_one = family(h).mean
        torch.testing.assert_close(p.mean, at_one * e[:, None])
        torch.testing.assert_close(family(h, exposure=torch.ones(())).mean, at_one)
        doubled = torch.cat([unbounded(2 * at_one, 1e-8, 1e6).unsqueeze(-2), h[..., 1:, :]], -2)
        y = p.sample()
        torch.testing.assert_close(
            family(doubled, exposure=e).log_prob(y),
            family(h, exposure=2 * e).log_prob(y),
            rtol=1e-4,
            atol=1e-4,
        )


@exposed
def test_no_exposure_no_counts(name: str) -> None:
    family = EXPOSED[name]((4,))
    h = torch.randn(5, *family.param_shape, requires_grad=True)
    p = family(h, exposure=torch.zeros(5))
    log_prob = p.log_prob(torch.zeros(5, 4))
    log_prob.sum().backward()

    assert (p.sample() == 0).all() and (log_prob.abs() < 1e-30).all()
    assert h.grad is not None and h.grad.isfinite().all()


def test_multinomial_at_mean_takes_shares() -> None:
    family, mean = Multinomial((3,)), torch.tensor([1.0, 2.0, 5.0], dtype=torch.float64)
    torch.testing.assert_close(
        family(family.at_mean(mean), exposure=torch.tensor(16.0)).mean, 2 * mean
    )


REFUSALS: dict[str, tuple[Callable[[], Any], str]] = {
    "family": (
        lambda: programs(Normal)[0](torch.randn(3, 4), torch.ones(3)),
        "The family Normal takes no exposure; leave it out, or take",
    ),
    "free": (
        lambda: Conditional((2,), Normal((4,)), mlp([8])).replace(torch.zeros(3, 2, 4))(
            torch.zeros(3, 2), exposure=torch.ones(3)
        ),
        "The family Normal takes no exposure",
    ),
    "default": (lambda: programs(Normal, exposure=2.0)[0](n=3), "Normal takes no exposure"),
    "negative": (lambda: programs(Poisson, exposure=-1.0), "must be positive and finite, got -1"),
    "infinite": (lambda: programs(Poisson, exposure=float("inf")), "must be positive and finite"),
    "total": (lambda: programs(Multinomial)[0](n=3), "Multinomial knows no total to draw; give it"),
    "no total": (lambda: Multinomial((3,), total=0), "needs a positive total, got 0"),
    "bound": (lambda: LogNormal((3,), bound=0), "bound of LogNormal must be positive and finite"),
    "beta": (lambda: Huber((3,), beta=0), "beta of Huber must be positive and at most 100"),
    "scale": (lambda: Huber((3,), scale=-1.0), "scale of Huber must be positive and finite"),
    "df": (lambda: StudentT((3,), df="five"), "df of StudentT is 'element', 'shared' or a number"),
    "fixed concentration": (
        lambda: NegativeBinomial((3,), concentration=0.0),
        "concentration of NegativeBinomial must be positive and finite, got 0",
    ),
    "concentration": (
        lambda: Gamma((3,), concentration_floor=2.0),
        "0 < floor < 1 < ceiling",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals(name: str) -> None:
    make, sentence = REFUSALS[name]
    with pytest.raises(ValueError, match=sentence):
        make()


# Programs


def assert_trains(model: VAE, guide: Any, objective: Any = None, **batch: Tensor) -> None:
    svi = SVI(model, guide, partial(torch.optim.Adam, lr=1e-3), objective, compile="fx")
    svi.plan(1000, None, **batch)
    before = {name: p.clone() for name, p in svi.parameters.items()}
    losses = [svi.step(**batch) for _ in range(3)]

    assert svi.backend == "fx" and svi.reason is None
    assert all(loss.isfinite() for loss in losses)
    assert all((p != before[name]).any() for name, p in svi.parameters.items())


@exposed
@pytest.mark.parametrize("objective", [None, IWAE(particles=3)])
def test_trains_draws_and_evaluates(name: str, objective: Any) -> None:
    model, guide = programs(EXPOSED[name], exposure=30.0)
    batch = counts(20)
    assert_trains(model, guide, objective, **batch)
    evidence = log_evidence(model, guide, batch, particles=20)

    assert evidence.log_evidence.shape == (20,) and evidence.log_evidence.isfinite().all()
    assert model(n=5).shape == (5, 4)
    assert model(exposure=torch.ones(6)).shape == (6, 4)


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihoods_are_captured(name: str) -> None:
    family, data = LIKELIHOODS[name]
    assert_trains(*programs(family), x=data())


@pytest.mark.parametrize("name", POSTERIORS)
@pytest.mark.parametrize("objective", [None, IWAE(particles=3)])
def test_posteriors_are_captured(name: str, objective: Any) -> None:
    model, guide = programs(Poisson, POSTERIORS[name])
    assert_trains(model, guide, objective, x=counts(20)["x"])


@exposed
def test_draws_are_captured(name: str) -> None:
    family = EXPOSED[name]((4,))
    h, e = torch.randn(5, *family.param_shape), torch.full((5,), 9.0)

    def draw(h: Tensor, e: Tensor) -> tuple[Tensor, ...]:
        p = family(h, exposure=e)
        return p.sample((2,)), p.mean, p.variance

    with torch.no_grad(), pyro.validation_enabled(False):
        graph = make_fx(draw)(h, e)
        torch.manual_seed(1)
        replayed = graph(2 * h, 3 * e)
        torch.manual_seed(1)
        assert all(a.equal(b) for a, b in zip(replayed, draw(2 * h, 3 * e), strict=True))


@exposed
def test_evidence_is_that_of_the_exposures(name: str) -> None:
    r"""Given, by default, or, of Multinomial, told by the data."""
    model, guide = programs(EXPOSED[name], exposure=30.0)
    batch = counts(20)
    x = batch["x"]
    alone = log_evidence(model, guide, {"x": x}, particles=20).log_evidence
    own = log_evidence(model, guide, batch, particles=20).log_evidence
    default = {"x": x, "exposure": torch.full((20,), 30.0)}

    if name == "Multinomial":
        torch.testing.assert_close(alone, own)
    else:
        same = log_evidence(model, guide, default, particles=20).log_evidence
        torch.testing.assert_close(alone, same)
        # One row has the default exposure by chance.
        assert ((alone != own) == (batch["exposure"] != 30)).all()


def test_guides_ignore_exposures() -> None:
    x, e = torch.randn(3, 4), torch.ones(3)
    up = [Conditional((4,), Normal((2,)), mlp([8])), Conditional((2,), Normal((1,)), mlp([8]))]

    for guide in (programs(Poisson)[1], BottomUp(up)):
        torch.manual_seed(0)
        alone = guide(x)
        torch.manual_seed(0)
        assert guide(x, exposure=e).equal(alone)


# Data


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    size = rng.integers(5, 60, (60, 1))
    x = rng.poisson(size * np.array([0.5, 0.3, 0.15, 0.05]))
    np.save(tmp_path / "counts.npy", x)
    np.savetxt(
        tmp_path / "counts.csv",
        np.concatenate([x[:, :2], size, x[:, 2:], np.arange(60)[:, None] % 3], 1),
        fmt="%d",
        delimiter=",",
        header="a,b,time,c,d,kind",
        comments="",
    )
    return tmp_path / "counts.npy"


@pytest.mark.parametrize("shape", [None, (2, 2)])
def test_totals(table: Path, shape: tuple[int, ...] | None) -> None:
    data, plain = (array(table, event_shape=shape, exposure=e) for e in ("total", None))
    batch = data.batch("train", torch.tensor([3, 0]))

    assert list(batch) == ["x", "exposure", "index"]
    assert batch["x"].equal(plain.batch("train", torch.tensor([3, 0]))["x"])
    assert batch["exposure"].equal(batch["x"].flatten(1).sum(1))
    assert batch["exposure"].dtype == torch.float32
    assert data.exposure == data["train"].sites["exposure"].median().item()
    assert data.exposure_of(batch["x"]).equal(batch["exposure"])  # type: ignore[union-attr]
    assert data.event_shape == (shape or (4,))
    assert plain.exposure is None and plain.exposure_of(batch["x"]) is None
    assert "exposure" not in plain.summary() and data.hash != plain.hash


@pytest.mark.parametrize("column", ["time", 2])
def test_column(table: Path, column: str | int) -> None:
    data = array(table.with_suffix(".csv"), labels="kind", exposure=column)
    totals = array(table, exposure="total")
    raw = np.loadtxt(table.with_suffix(".csv"), delimiter=",", skiprows=1)

    for split in data:
        assert data[split].sites["x"].equal(totals[split].sites["x"])
    joint = torch.cat([data[split].sites["exposure"] for split in data])
    assert joint.sort().values.tolist() == sorted(raw[:, 2])
    assert data[split].labels is not None and data.event_shape == (4,)
    assert data.exposure_of(torch.ones(2, 4)) is None


def test_stored_knows_the_exposure(table: Path) -> None:
    data = array(table, exposure="total")

    with stored(data.summary()):
        copy = array("counts.npy", exposure="total")

    assert copy.exposure == data.exposure and copy.summary() == data.summary()
    assert copy.exposure_of(torch.ones(2, 4)).equal(torch.tensor([4.0, 4.0]))  # type: ignore[union-attr]


def test_missing_counts_are_left_out_of_totals() -> None:
    x = torch.tensor([[1.0, torch.nan], [2.0, 3.0]])
    data = Data.of(train=x, totals=True, allow_nan=True)

    assert data["train"].sites["exposure"].tolist() == [1, 5]


def test_data_refusals(table: Path) -> None:
    def text(content: str) -> Path:
        (table.parent / "bad.csv").write_text(content)
        return table.parent / "bad.csv"

    with pytest.raises(ValueError, match=r"choose scaling 'none' and binarization 'none', not 'un"):
        array(table, exposure="total", scaling="unit")
    with pytest.raises(ValueError, match="choose scaling 'none' and binarization"):
        array(table, exposure="total", binarization="threshold")
    with pytest.raises(ValueError, match="has no column 'size': it has no header"):
        array(table, exposure="size").counts  # noqa: B018
    with pytest.raises(
        ValueError, match=r"row 1 of split 'train' .* has exposure 0: it must be po"
    ):
        array(train_file=text("a,b,e\n1,2,3\n1,2,0\n"), exposure="e").counts  # noqa: B018
    with pytest.raises(ValueError, match="has exposure -1: it must be positive"):
        array(train_file=text("a,b\n1,-2\n1,2\n"), exposure="total").counts  # noqa: B018

    with pytest.raises(ValueError, match="neither scale nor binarize"):
        Data.of(train=torch.ones(3, 2), totals=True, binarization="threshold")

    np.save(table, np.ones((20, 2, 2)))
    with pytest.raises(ValueError, match=r"rows of shape \(2, 2\): an exposure by column needs"):
        array(table, exposure=0).counts  # noqa: B018
    assert array(table, exposure="total").exposure == 4


# Runs


def run_of(table: Path, out: Path, *options: str) -> Run:
    small = [
        *("--file", str(table), "--scaling", "none", "--latent", "2", "--epochs", "2"),
        *("--batch_size", "16", "--encoder", "mlp", "--encoder.hidden", "[16]"),
        *("--decoder", "mlp", "--decoder.hidden", "[16]"),
    ]
    return train("array", out, [*small, *options], progress=False)


@pytest.mark.parametrize(
    "options",
    [
        ("--likelihood", "Poisson"),
        ("--likelihood", "NegativeBinomial", "--likelihood.concentration", "element"),
        ("--likelihood", "NegativeBinomial", "--likelihood.concentration", "2.5"),
        ("--likelihood", "Multinomial"),
    ],
)
def test_run_with_totals(table: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    run = run_of(table, tmp_path / "run", "--exposure", "total", *options)
    record = run.evaluate("test", particles=10)
    x = run.batch("test")["x"]
    # Elsewhere, without the data.
    table.unlink()
    run = load(tmp_path / "run")

    given = "total" if "Multinomial" in options else "exposure"
    assert np.isfinite(record["log_evidence"])
    assert record["base_measure"] == f"counting given the {given}"
    assert run.encode(x)["z"]["mean"].shape == (len(x), 2)
    assert run.log_evidence(x, particles=10).log_evidence.shape == (len(x),)
    assert run.sample(3)[0].shape == (3, 4)
    assert run.data.exposure == run.model.exposure

    if options[1] == "Multinomial":
        # The mean has the total of the row, and draws that of the median row.
        torch.testing.assert_close(run.reconstruct(x).sum(-1), x.sum(-1))
        assert (run.sample(3)[0].sum(-1) == run.data.exposure).all()

    once = run.reconstruct(x)
    torch.testing.assert_close(run.reconstruct(x, exposure=2 * x.sum(-1)), 2 * once)


def test_evaluation_of_a_split_is_that_of_its_rows(table: Path, tmp_path: Path) -> None:
    run = run_of(table, tmp_path / "run", "--exposure", "total", "--likelihood", "Poisson")
    record = run.evaluate("test", particles=10)
    raw = run.log_evidence(run.batch("test")["x"], particles=10)

    assert raw.summary()["log_evidence"] == pytest.approx(record["log_evidence"])


def test_run_with_a_column(table: Path, tmp_path: Path) -> None:
    run = run_of(
        table.with_suffix(".csv"),
        *(tmp_path / "run", "--exposure", "time", "--labels", "kind", "--likelihood", "Poisson"),
    )
    batch = run.batch("test")
    x, e = batch["x"], batch["exposure"]
    codes = run.codes_of(table.with_suffix(".csv"), labels="kind", exposure="time")
    default = torch.full_like(e, run.data.exposure)  # type: ignore[arg-type]

    assert codes["z"].shape == (60, 2)
    torch.testing.assert_close(run.reconstruct(x), run.reconstruct(x, exposure=default))
    assert (run.reconstruct(x) != run.reconstruct(x, exposure=e + 1)).all()
    assert (
        run.log_evidence(x, exposure=e, particles=10).log_evidence
        == run.log_evidence(particles=10).log_evidence
    ).all()


def test_run_of_multinomial_needs_no_exposure_until_it_draws(table: Path, tmp_path: Path) -> None:
    run = run_of(table, tmp_path / "run", "--likelihood", "Multinomial")
    x = run.batch("test")["x"]

    assert np.isfinite(run.evaluate("test", particles=10)["log_evidence"])
    torch.testing.assert_close(run.reconstruct(x).sum(-1), x.sum(-1))
    with pytest.raises(ValueError, match="Multinomial knows no total to draw"):
        run.sample(3)


def test_run_refuses_exposures_that_nothing_takes(table: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="The family Normal takes no exposure"):
        run_of(table, tmp_path / "run", "--exposure", "total")
    with pytest.raises(ValueError, match="choose scaling 'none'"):
        run_of(table, tmp_path / "run", "--exposure", "total", "--scaling", "standardize")
