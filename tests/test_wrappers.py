r"""Laws of families that are made of others, and of data with missing entries."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pyro.distributions as dist
import pytest
import torch
from scipy import stats
from scipy.integrate import quad
from torch import Tensor
from torch.distributions import constraints, kl_divergence

from ppl_vae import load, priors, train
from ppl_vae.conditional import Conditional
from ppl_vae.data import Data, stored
from ppl_vae.distributions import Clamped as ClampedLaw
from ppl_vae.distributions import Huber as HuberLaw
from ppl_vae.distributions import MaskedElements
from ppl_vae.distributions import Truncated as TruncatedLaw
from ppl_vae.distributions import ZeroInflated as ZeroInflatedLaw
from ppl_vae.distributions.absent import inside
from ppl_vae.distributions.intervals.bounds import between
from ppl_vae.distributions.numerics.mills import log_mills, residual
from ppl_vae.evaluation import log_evidence
from ppl_vae.families import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    Clamped,
    ContinuousBernoulli,
    Dequantized,
    Family,
    Flow,
    FullRankNormal,
    Gamma,
    Huber,
    Laplace,
    LogNormal,
    Masked,
    Mixture,
    Multinomial,
    NegativeBinomial,
    Normal,
    Poisson,
    Product,
    StudentT,
    Truncated,
    ZeroInflated,
)
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE
from ppl_vae.networks import conv, mlp
from ppl_vae.objectives import IWAE
from ppl_vae.priors import FamilyPrior, Prior, StandardNormal, Uniform
from ppl_vae.svi import SVI
from ppl_vae.weights import base_measure, log_weights

NAN = float("nan")
Constructor = Callable[[Sequence[int]], Family]


def counts() -> Tensor:
    return torch.poisson(torch.full((20, 4), 2.0))


def holes(x: Tensor) -> Tensor:
    return torch.where(torch.rand(x.shape) < 0.3, NAN, x)


def table() -> Tensor:
    return torch.stack(
        [torch.randn(20), counts()[:, 0], torch.rand(20).round(), torch.randn(20)], 1
    )


COLUMNS: list[Constructor] = [Normal, Poisson, Bernoulli, partial(Normal, scale="shared")]
COLUMNS_MASKED: list[Constructor] = [partial(Masked, family=f) for f in COLUMNS[:2]] + COLUMNS[2:]

# Likelihoods over four elements, data for them, and the measure that they are densities of.
LIKELIHOODS: dict[str, tuple[Constructor, Callable[[], Tensor], str]] = {
    "Clamped": (
        lambda s: Clamped(s, low=-1, high=0.5),
        lambda: torch.randn(20, 4).clamp(-1, 0.5),
        "lebesgue + points -1 and 0.5",
    ),
    "Clamped below": (Clamped, lambda: torch.randn(20, 4).clamp(min=0), "lebesgue + point 0"),
    "Dequantized": (Dequantized, counts, "counting"),
    "Dequantized LogNormal": (lambda s: Dequantized(s, LogNormal), counts, "counting"),
    "Dequantized flow": (
        lambda s: Dequantized(s, partial(Flow, hidden=(8,), context=2)),
        counts,
        "counting",
    ),
    "Masked": (Masked, lambda: holes(torch.randn(20, 4)), "lebesgue"),
    "Masked Clamped": (
        lambda s: Masked(s, Clamped),
        lambda: holes(torch.randn(20, 4).clamp(min=0)),
        "lebesgue + point 0",
    ),
    "Masked Poisson": (lambda s: Masked(s, Poisson), lambda: holes(counts()), "counting"),
    "Mixture": (Mixture, lambda: torch.randn(20, 4), "lebesgue"),
    "Mixture Bernoulli": (
        lambda s: Mixture(s, Bernoulli, components=3),
        lambda: torch.rand(20, 4).round(),
        "counting",
    ),
    "Product": (lambda s: Product(s, COLUMNS), table, "mixed (counting: 1, 2)"),
    "Product Masked": (
        lambda s: Product(s, COLUMNS_MASKED),
        lambda: torch.cat([holes(table()[:, :2]), table()[:, 2:]], 1),
        "mixed (counting: 1, 2)",
    ),
    "Truncated": (lambda s: Truncated(s, low=0, high=1), lambda: torch.rand(20, 4), "lebesgue"),
    "Truncated Huber": (
        lambda s: Truncated(s, Huber, low=0, high=1),
        lambda: torch.rand(20, 4),
        "lebesgue",
    ),
    "ZeroInflated": (ZeroInflated, counts, "counting"),
}

POSTERIORS: dict[str, Constructor] = {
    "Mixture": lambda s: Mixture(s, FullRankNormal, components=2),
    "Mixture flow": lambda s: Mixture(s, partial(Flow, hidden=(8,), context=2), components=2),
    "Product": lambda s: Product(s, [Normal, Laplace]),
    "Truncated": lambda s: Truncated(s, low=-1, high=2),
    "Truncated Huber": lambda s: Truncated(s, Huber, low=-1, high=2),
    "Truncated Laplace": lambda s: Truncated(s, Laplace, low=-1, high=2),
    "Truncated LogNormal": lambda s: Truncated(s, LogNormal, low=0.5, high=2),
}


def random(family: Family, *batch: int) -> Tensor:
    return torch.randn(*batch, *family.param_shape)


def programs(
    likelihood: Constructor, posterior: Constructor = Normal, missing: bool = False
) -> tuple[VAE, Amortized]:
    prior: Prior = StandardNormal((2,))
    model = VAE(prior, Conditional((2,), likelihood((4,)), mlp([8])))
    return model, Amortized(Conditional((4,), posterior((2,)), mlp([8]), missing=missing))


def steps(model: VAE, guide: Amortized, x: Tensor, objective: Any = None) -> list[float]:
    svi = SVI(model, guide, partial(torch.optim.Adam, lr=1e-3), objective, compile="fx")
    svi.plan(1000, None, x)
    losses = [float(svi.step(x)) for _ in range(3)]
    assert svi.backend == "fx" and svi.reason is None
    return losses


# In programs


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihood_from_training_to_evidence(name: str) -> None:
    likelihood, data, measure = LIKELIHOODS[name]
    x = data()
    model, guide = programs(likelihood, missing=bool(x.isnan().any()))

    assert all(math.isfinite(loss) for loss in steps(model, guide, x))
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert log_evidence(model, guide, x, particles=10).log_evidence.isfinite().all()
    assert base_measure(model, {"x": x}) == measure
    assert model(n=3).shape == (3, 4) and model(n=3).isfinite().all()


@pytest.mark.parametrize("name", POSTERIORS)
@pytest.mark.parametrize("objective", [None, IWAE(4)])
def test_posterior_from_training_to_evidence(name: str, objective: Any) -> None:
    model, guide = programs(Normal, POSTERIORS[name])
    x = torch.randn(20, 4)
    reparameterized = guide.posterior(x).has_rsample  # type: ignore[attr-defined]

    assert reparameterized == ("Mixture" not in name)
    if reparameterized or objective is None:
        assert all(math.isfinite(loss) for loss in steps(model, guide, x, objective))
    assert log_evidence(model, guide, x, particles=10).log_evidence.isfinite().all()


# Missing entries

MASKABLE: dict[str, Constructor] = {
    "Bernoulli": Bernoulli,
    "Beta": Beta,
    "Binomial": lambda s: Binomial(s, total=3),
    "Categorical": lambda s: Categorical(s, categories=3),
    "Clamped": lambda s: Clamped(s, low=-1, high=1),
    "Gamma": Gamma,
    "Laplace": Laplace,
    "LogNormal": LogNormal,
    "NegativeBinomial": NegativeBinomial,
    "Normal": Normal,
    "Normal shared": lambda s: Normal(s, scale="shared"),
    "Poisson": Poisson,
    "Truncated above": lambda s: Truncated(s, low=-math.inf, high=1),
    "Truncated below": lambda s: Truncated(s, low=2),
    "ZeroInflated": ZeroInflated,
}


@pytest.mark.parametrize("name", MASKABLE)
def test_absent_entries_are_left_out(float64: None, name: str) -> None:
    r"""The density is that of the family over the present entries alone, gradients and all."""
    family, masked = MASKABLE[name]((3, 2)), Masked((3, 2), MASKABLE[name])
    h = random(family, 7).requires_grad_()
    y = family(h).sample().to(torch.float64).detach()
    seen = torch.rand(7, 3, 2) < 0.6
    seen[0], seen[1] = True, False
    log_prob = masked(h).log_prob(torch.where(seen, y, NAN))
    each = family(h).base_dist.log_prob(y)  # type: ignore[attr-defined]
    expected = torch.where(seen, each, 0.0).sum((-1, -2))

    torch.testing.assert_close(log_prob, expected)
    assert log_prob[1] == 0
    (grad,) = torch.autograd.grad(log_prob.sum(), h, retain_graph=True)
    torch.testing.assert_close(grad, torch.autograd.grad(expected.sum(), h)[0])
    assert not grad.movedim(1, -1)[~seen].any()


@pytest.mark.parametrize("name", MASKABLE)
def test_support_of_absent_entries(name: str) -> None:
    masked = Masked((3,), MASKABLE[name])
    p = masked(random(masked, 5))
    y = p.sample()
    support: Any = p.support

    assert not y.isnan().any() and support.check(y).all()
    assert support.check(torch.where(torch.rand(5, 3) < 0.5, NAN, y)).all()
    assert support.check(torch.full((5, 3), NAN)).all()
    y = y.float()
    y[:, 0] = math.inf if "Normal" in name or "Laplace" in name else -2.5e9
    assert p.has_rsample == masked.family(random(masked)).has_rsample
    if "above" not in name and "Normal" not in name and name != "Laplace":
        assert not support.check(y).any()


def test_a_value_of_any_support() -> None:
    like = torch.zeros(3, dtype=torch.float64)
    for support in (
        constraints.real,
        constraints.positive,
        constraints.nonnegative_integer,
        constraints.positive_integer,
        constraints.integer_interval(-5, -2),
        constraints.boolean,
        constraints.unit_interval,
        constraints.less_than(-3.0),
        constraints.greater_than_eq(5.0),
        constraints.interval(2.0, math.inf),
        constraints.interval(-math.inf, -2.0),
        constraints.interval(2.0, 3.0),
        constraints.half_open_interval(2.0, 3.0),
        constraints.independent(constraints.positive, 1),
    ):
        y = inside(support, like)
        assert y.dtype == like.dtype and support.check(y).all(), support


def test_network_sees_what_is_missing() -> None:
    class Seen(torch.nn.Module):
        def __init__(self, in_shape: torch.Size, out_shape: torch.Size) -> None:
            super().__init__()
            self.in_shape, self.out_shape = in_shape, out_shape

        def forward(self, c: Tensor) -> Tensor:
            assert c.shape[1:] == self.in_shape
            self.seen = c
            return c.new_zeros(len(c), *self.out_shape)

    q = Conditional((2, 3), Normal((2,)), Seen, missing=True, in_scale=10.0)
    c = torch.arange(1.0, 13.0).view(2, 1, 2, 3)
    c[0, 0, 1, 2] = NAN
    q(c)

    assert q.in_shape == (2, 3) and q.net.in_shape == (4, 3)
    first, second = q.net.seen.view(2, 2, 2, 3)  # type: ignore[operator, union-attr]
    torch.testing.assert_close(first[0], torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.0]]))
    assert torch.equal(first[1], torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 0.0]]))
    assert torch.equal(second[1], torch.ones(2, 3))

    with pytest.raises(ValueError, match="no dimension along which to tell missing entries"):
        Conditional((), Normal((2,)), Seen, missing=True)


def test_pictures_with_missing_pixels() -> None:
    x = holes(torch.rand(6, 1, 4, 4).round())
    model = VAE(StandardNormal((2,)), Conditional((2,), Masked((1, 4, 4), Bernoulli), conv([4])))
    guide = Amortized(Conditional((1, 4, 4), Normal((2,)), conv([4]), missing=True))

    assert all(math.isfinite(loss) for loss in steps(model, guide, x))
    assert log_weights(model, guide, {"x": x}, 3).log_weight.isfinite().all()


def test_absent_rows_have_the_evidence_one() -> None:
    r"""Without data there is no likelihood: log p() = 0, whatever the draws."""
    model, guide = programs(Masked, missing=True)
    w = log_weights(model, guide, {"x": torch.full((5, 4), NAN)}, 3)

    assert not w.likelihood.any()


def test_what_is_wrong_with_missing_data() -> None:
    x = torch.randn(6, 4)
    gaps = x.clone()
    gaps[2, 1] = NAN
    cases = [
        (programs(Normal, missing=True), gaps, "'x' hold NaN.*take the likelihood Masked"),
        (programs(Masked), gaps, "The data x hold NaN.*missing=True"),
        (programs(Masked, missing=True), gaps / 0, "NaN or infinite values"),
        (programs(lambda s: Masked(s, Bernoulli), missing=True), gaps, "outside of the support"),
        (programs(lambda s: Product(s, COLUMNS_MASKED), missing=True), gaps, "outside of the supp"),
        (programs(Masked, missing=True), gaps[:, :3], r"expects conditions of shape \(\*, 4\)"),
    ]
    # A posterior with point masses has no ratio to a prior without.
    cases.append((programs(Normal, Clamped), x, "point 0 in the guide"))
    whole = table()[:6]
    whole[3, 3] = NAN  # a column that is not masked
    cases.append((programs(lambda s: Product(s, COLUMNS_MASKED), missing=True), whole, "hold NaN"))

    for (model, guide), data, sentence in cases:
        with pytest.raises(ValueError, match=sentence):
            log_weights(model, guide, {"x": data}, 2)


def test_data_with_missing_entries() -> None:
    x = torch.tensor([[1.0, 2.0], [NAN, 4.0], [3.0, NAN], [5.0, 9.0]])
    from ppl_vae.data.scaling import standardize

    data = Data.of(train=x, allow_nan=True, scale=standardize)
    y = data.batch("train")["x"]
    complete = Data.of(train=x.nan_to_num(), scale=standardize)
    assert data.scaling is not None
    log_s = data.scaling.scale.log()

    assert data.missing and not complete.missing
    assert torch.equal(y.isnan(), x.isnan())
    torch.testing.assert_close(data.mean, torch.zeros(2), rtol=0, atol=1e-6)
    # An entry's own change of volume; a missing one has none.
    expected = -torch.stack([log_s.sum(), log_s[1], log_s[0], log_s.sum()])
    torch.testing.assert_close(data.log_volumes(y), expected, rtol=1e-12, atol=0)
    assert (complete.log_volumes(y.nan_to_num()) == complete.log_volume).all()
    # Parts that start at data start at complete rows.
    assert torch.equal(data.examples()[~x.isnan()], y[~x.isnan()])
    assert torch.equal(data.examples()[1, :1], data.mean[:1])
    assert data.examples(complete=False).isnan().any()
    with stored(data.summary()):
        assert Data.of(train=x).missing
    with stored(complete.summary()):
        assert not Data.of(train=x).missing
    with pytest.raises(ValueError, match="takes no missing values"):
        Data.of(train=x, allow_nan=True, log_volume=1.0)


SMALL = [
    *("--latent", "2", "--epochs", "2", "--batch_size", "64"),
    *("--encoder.hidden", "[8]", "--decoder.hidden", "[8]"),
]


def gappy(folder: Path, scale: float = 1.0) -> Path:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 2)) @ rng.normal(size=(2, 5)) + 0.3 * rng.normal(size=(120, 5))
    x[rng.uniform(size=x.shape) < 0.2] = NAN
    np.save(folder / "gaps.npy", scale * x + 7)
    return folder / "gaps.npy"


def test_run_on_a_file_with_missing_entries(tmp_path: Path) -> None:
    file = ["--file", str(gappy(tmp_path)), *SMALL]
    masked = [*file, "--likelihood", "Masked", "--likelihood.family", "Normal"]
    run = load(train("array", tmp_path / "run", [*masked, "--prior", "Vamp"]).dir)
    record = run.evaluate("test", particles=20)
    raw = run.log_evidence(particles=20).log_evidence.double()
    x = run.batch("test")["x"]
    volumes = run.data.log_volumes(x)
    present = (~x.isnan()).sum().item() / len(x)

    assert run.data.missing and x.isnan().any()
    assert record["log_evidence"] == pytest.approx((raw + volumes).mean().item(), rel=1e-6)
    error = (raw + volumes).std().item() / len(x) ** 0.5
    assert record["standard_error"] == pytest.approx(error, rel=1e-6)
    bits = -record["log_evidence"] / present / math.log(2)
    assert record["bits_per_dim"] == pytest.approx(bits)
    assert run.reconstruct(x).isfinite().all() and run.sample(3)[0].isfinite().all()
    assert len(run.codes_of(tmp_path / "gaps.npy")["z"]) == 120
    assert "reconstructions" in run.figures()

    with pytest.raises(ValueError, match=r"missing entries.*--likelihood Masked --likelihood.fam"):
        train("array", tmp_path / "none", file)
    assert not (tmp_path / "none").exists()


def test_units_change_evidence_by_their_volume(tmp_path: Path) -> None:
    r"""Data in units a thousand times smaller have a density a thousand times smaller, for each
    entry that is there."""
    records = []
    for name, scale in (("metres", 1.0), ("millimetres", 1000.0)):
        (tmp_path / name).mkdir()
        file = gappy(tmp_path / name, scale)
        options = ["--file", str(file), *SMALL, "--likelihood", "Masked"]
        run = train("array", tmp_path / f"run-{name}", options)
        records.append(run.evaluate("test", particles=20)["log_evidence"])
        x = run.batch("test")["x"]

    present = (~x.isnan()).sum().item() / len(x)
    assert records[0] - records[1] == pytest.approx(present * math.log(1000), abs=1e-3)


# Columns of different kinds


def test_product_is_a_product(float64: None) -> None:
    columns = [Normal, Poisson, Bernoulli, partial(Categorical, categories=3)]
    family = Product((4,), columns)
    h = random(family, 6)
    p = family(h)
    y = p.sample((5,))
    alone = [f(())(part) for f, part in zip(columns, _split(h, [2, 1, 1, 3]), strict=True)]
    expected = sum(a.log_prob(y[..., i]) for i, a in enumerate(alone))

    assert y.dtype == torch.float64 and p.event_shape == (4,)
    torch.testing.assert_close(p.log_prob(y), expected)
    torch.testing.assert_close(p.variance[..., 1], alone[1].variance)
    assert not p.has_rsample and Product((2,), [Normal, Laplace])(torch.zeros(4)).has_rsample
    support: Any = p.support
    assert support.check(y).all() and not support.check(y + 0.5).any()
    assert not support.is_discrete
    discrete: Any = Product((2,), [Poisson, Bernoulli])(torch.zeros(2))
    assert discrete.support.is_discrete and discrete.measure == "counting"
    assert discrete.sample().dtype == torch.float64  # the default


def _split(h: Tensor, sizes: list[int]) -> list[Tensor]:
    parts = h.split(sizes, -1)
    return [part.unflatten(-1, (size,)) for part, size in zip(parts, sizes, strict=True)]


def test_product_knows_divergences_of_its_columns(float64: None) -> None:
    family = Product((2,), [Normal, Bernoulli])
    p, q = family(random(family, 3)), family(random(family, 3))
    parts: Any = zip(p.parts, q.parts, strict=True)  # type: ignore[attr-defined]

    torch.testing.assert_close(kl_divergence(p, q), sum(kl_divergence(a, b) for a, b in parts))
    torch.testing.assert_close(
        p.entropy(),
        sum(a.entropy() for a in p.parts),  # type: ignore[attr-defined]
    )
    other = Product((2,), [StudentT, Bernoulli])
    with pytest.raises(NotImplementedError):
        kl_divergence(p, other(random(other, 3)))


def test_product_tells_measures_apart() -> None:
    def name(*columns: Constructor) -> str:
        family = Product((len(columns),), columns)
        return str(family(torch.zeros(family.param_shape)).measure)  # type: ignore[attr-defined]

    assert name(Normal, Laplace) == "lebesgue"
    assert name(Poisson, Normal, Bernoulli) == "mixed (counting: 0, 2)"
    assert name(Clamped, Normal, Poisson) == "mixed (counting: 2; lebesgue + point 0: 0)"
    assert name(Clamped, Clamped) == "lebesgue + point 0"


def test_product_starts_at_the_mean(float64: None) -> None:
    family = Product((3,), [Normal, Poisson, Bernoulli])
    mean = torch.tensor([-2.0, 7.0, 0.3])

    torch.testing.assert_close(family(family.at_mean(mean)).mean, mean, rtol=1e-9, atol=0)


# Mixtures


def test_mixture_is_a_sum(float64: None) -> None:
    r"""Over pictures: whole draws are mixed, not pixels."""
    family = Mixture((1, 2, 2), Bernoulli, components=3)
    inner = Bernoulli((1, 2, 2))
    h = random(family, 5)
    y = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4).view(16, 1, 1, 2, 2)
    logits, rest = h.split([3, 12], -1)
    parts = torch.stack(
        [inner(rest[:, 4 * k : 4 * k + 4].view(5, 1, 1, 2, 2)).log_prob(y) for k in range(3)], -1
    )
    expected = (logits.log_softmax(-1) + parts).logsumexp(-1)

    torch.testing.assert_close(family(h).log_prob(y), expected)
    torch.testing.assert_close(expected.exp().sum(0), torch.ones(5))
    mean = torch.rand(1, 2, 2)
    torch.testing.assert_close(family(family.at_mean(mean)).mean, mean)


# Counts


@pytest.mark.parametrize("logit", [-80.0, -3.0, 0.0, 3.0, 80.0])
def test_zero_inflation_is_a_mixture(float64: None, logit: float) -> None:
    y = torch.arange(30.0)
    p = ZeroInflatedLaw(dist.Poisson(torch.tensor(2.0)), gate_logits=torch.tensor(logit))
    g, s = mpmath.mpf(1) / (1 + mpmath.exp(-logit)), mpmath.mpf(1) / (1 + mpmath.exp(logit))
    pmf = [
        float(mpmath.log(s * mpmath.mpf(m) + (k == 0) * g))
        for k, m in enumerate(
            mpmath.exp(-2) * mpmath.mpf(2) ** k / mpmath.factorial(k) for k in range(30)
        )
    ]
    found = p.log_prob(y)

    torch.testing.assert_close(found, torch.tensor(pmf), rtol=1e-12, atol=1e-15)
    _ = p.sample(), p.mean
    assert torch.equal(p.log_prob(y), found)  # a draw changes nothing
    assert isinstance(p, dist.ZeroInflatedDistribution)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ZeroInflated((3,), NegativeBinomial),
        lambda: Masked((3,), Poisson),
        lambda: Masked((3,), ZeroInflated),
        lambda: Mixture((3,), Poisson, components=2),
        lambda: Mixture((3,), Multinomial, components=2),
        lambda: Product((3,), [Poisson, NegativeBinomial, Poisson]),
    ],
)
def test_exposure_reaches_the_family(float64: None, make: Callable[[], Family]) -> None:
    family = make()
    h, exposure = random(family, 4, 2), torch.tensor([3.0, 30.0])
    one = family(h, exposure=torch.ones(2)).mean
    torch.testing.assert_close(family(h, exposure=exposure).mean, one * exposure.unsqueeze(-1))

    with pytest.raises(ValueError, match="Normal takes no exposure"):
        Masked((3,))(torch.zeros(4, 2, 2, 3), exposure=exposure)
    # Columns that take none have none.
    mixed = Product((2,), [Normal, Poisson])
    means = mixed(torch.zeros(2, 3), exposure=exposure).mean
    torch.testing.assert_close(means, torch.tensor([[0.0, 3.0], [0.0, 30.0]]), rtol=1e-3, atol=0)


# Bounds

INTERVALS = [(-1.0, 2.0), (0.0, math.inf), (-math.inf, 1.0), (0.0, 1.0)]
LAWS = {
    "Normal": dist.Normal,
    "Laplace": dist.Laplace,
    "Huber": HuberLaw,
    "Huber 0.3": partial(HuberLaw, beta=0.3),
    "Huber 30": partial(HuberLaw, beta=30.0),
}


def restricted(law: Any, loc: float, scale: float, low: float, high: float) -> tuple[Any, ...]:
    r"""Log density, probability below and mean, to 60 digits or more."""
    mp = mpmath.mp.clone()
    mp.dps = 60 + int((abs(loc) / scale) ** 2) // 4  # what tails underflow by

    beta = mp.mpf(getattr(law, "keywords", {}).get("beta", 1.0))
    root, tail = mp.sqrt(mp.pi * beta / 2), mp.exp(-beta / 2)
    total = 2 * (root * mp.erf(mp.sqrt(beta / 2)) + tail)

    def beyond(z: Any) -> Any:
        z = mp.mpf(z)
        if law is dist.Normal:
            return mp.erfc(z / mp.sqrt(2)) / 2
        if law is dist.Laplace:
            return mp.exp(-z) / 2 if z > 0 else 1 - mp.exp(z) / 2
        if z < 0:
            return 1 - beyond(-z)
        if z > beta:
            return mp.exp(beta / 2 - z) / total
        rest = mp.erf(mp.sqrt(beta / 2)) - mp.erf(z / mp.sqrt(2 * beta))
        return (root * rest + tail) / total

    def density(z: Any) -> Any:
        if law is dist.Normal:
            return mp.npdf(z)
        if law is dist.Laplace:
            return mp.exp(-abs(z)) / 2
        return mp.exp(-(z**2 / beta / 2 if abs(z) < beta else abs(z) - beta / 2)) / total

    a, b = ((mp.mpf(y) - mp.mpf(loc)) / mp.mpf(scale) for y in (low, high))
    left, right = (mp.mpf(1) if math.isinf(low) else beyond(a)), beyond(b)
    right = mp.mpf(0) if math.isinf(high) else right

    def z(y: float) -> Any:
        return (mp.mpf(y) - mp.mpf(loc)) / mp.mpf(scale)

    return (
        lambda y: float(mp.log(density(z(y)) / (left - right) / mp.mpf(scale))),
        lambda y: float((left - beyond(z(y))) / (left - right)),
    )


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("low, high", INTERVALS)
@pytest.mark.parametrize("loc, scale", [(0.0, 1.0), (0.5, 0.1), (-9.0, 0.5), (9.0, 0.3), (3.0, 50)])
def test_truncated_laws_are_exact(
    float64: None, law: Any, low: float, high: float, loc: float, scale: float
) -> None:
    base = law(torch.tensor(loc), torch.tensor(float(scale)))
    p = TruncatedLaw(base, low, high)
    u = torch.tensor([0.001, 0.1, 0.5, 0.9, 0.999])
    y = between(base, low, high).quantile(u)
    log_density, below = restricted(law, loc, scale, low, high)
    exact = torch.tensor([log_density(v) for v in y.tolist()])

    torch.testing.assert_close(p.log_prob(y), exact, rtol=1e-9, atol=1e-9)
    # The quantile is as exact as a number beside the bound can be.
    error = torch.tensor([below(v) for v in y.tolist()]) - u
    assert (error.abs() < 1e-9 + 2e-15 * exact.exp()).all()
    midpoints = (torch.arange(100000) + 0.5) / 100000
    mean = between(base, low, high).quantile(midpoints).mean()
    torch.testing.assert_close(p.mean, mean, rtol=1e-4, atol=1e-4 * min(float(scale), 1.0))


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("low, high", INTERVALS)
def test_quantiles_have_gradients(float64: None, law: Any, low: float, high: float) -> None:
    u = torch.tensor([0.01, 0.3, 0.7, 0.99])

    def quantile(loc: Tensor, scale: Tensor) -> Tensor:
        return between(law(loc, scale), low, high).quantile(u)

    # At a bound a Laplace law has two gradients, from within and from without.
    for loc in (-5.0, -0.3, 0.1 if law is dist.Laplace else 0.0, 0.5, 3.0, 30.0):
        for scale in (0.3, 1.0, 7.0):
            at = torch.tensor(loc), torch.tensor(scale)
            found = torch.autograd.functional.jacobian(quantile, at)
            e = 1e-5
            for i, gradient in enumerate(found):
                nudge = [torch.tensor(e) if i == j else torch.tensor(0.0) for j in (0, 1)]
                ahead = quantile(at[0] + nudge[0], at[1] + nudge[1])
                back = quantile(at[0] - nudge[0], at[1] - nudge[1])
                torch.testing.assert_close(gradient, (ahead - back) / (2 * e), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@pytest.mark.parametrize("loc, scale", [(1e6, 1e-4), (1e6, 1e3), (300.0, 1.0), (20.0, 2.0)])
@pytest.mark.parametrize("side", [1, -1])
def test_single_precision_keeps_far_tails(law: Any, loc: float, scale: float, side: int) -> None:
    r"""Numbers and gradients where the mass is, though there the derivative of erfcx cancels."""

    def score(dtype: torch.dtype) -> list[Tensor]:
        at = [torch.tensor(v, dtype=dtype, requires_grad=True) for v in (-side * loc, scale)]
        p = TruncatedLaw(law(*at), *((0.0, 1.0) if side > 0 else (-1.0, 0.0)))
        size = scale**2 / loc if law is dist.Normal else scale
        # None where the score vanishes, at the mean.
        y = [side * min(share * size, share / 8) for share in (0.3, 2.0, 4.0)]
        log_prob = p.log_prob(torch.tensor(y, dtype=torch.float32).to(dtype))
        return [log_prob, *(g for v in log_prob for g in torch.autograd.grad(v, at, None, True))]

    for single, double in zip(score(torch.float32), score(torch.float64), strict=True):
        assert single.isfinite().all()
        torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("dtype, rtol", [(torch.float32, 2e-5), (torch.float64, 1e-12)])
@pytest.mark.parametrize("a", [0.1, 1.0, 4.99, 5.01, 8.0, 30.0, 1e3, 1e4, 1e8])
@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_scores_of_normal_tails(dtype: torch.dtype, rtol: float, a: float, scale: float) -> None:
    r"""Against closed forms in many digits, where the mass is."""
    at = [torch.tensor(v, dtype=dtype, requires_grad=True) for v in (-a * scale, scale)]
    y = torch.tensor(2 * scale / a, dtype=dtype)
    found = torch.autograd.grad(TruncatedLaw(dist.Normal(*at), 0.0).log_prob(y), at)
    mp = mpmath.mp.clone()
    mp.dps = 60
    loc, s = (mp.mpf(v.item()) for v in at)
    z, t = -loc / s, mp.mpf(float(y)) / s
    rest = mp.exp(-(z**2) / 2) / mp.sqrt(mp.pi / 2) / mp.erfc(z / mp.sqrt(2)) - z
    exact = [(t - rest) / s, (2 * z * t + t**2 - z * rest - 1) / s]

    for gradient, expected in zip(found, exact, strict=True):
        assert float(gradient) == pytest.approx(float(expected), rel=rtol)


def test_second_derivatives_of_tails(float64: None) -> None:
    r"""A surrogate of the first ones would lose them in silence."""
    a = torch.tensor([0.1, 2.0, 4.9, 5.1, 50.0], requires_grad=True)
    assert torch.autograd.gradcheck(log_mills, a, atol=1e-7)
    assert torch.autograd.gradgradcheck(log_mills, a, atol=1e-7)
    assert torch.autograd.gradcheck(residual, a, atol=1e-7)
    torch.testing.assert_close(torch.vmap(log_mills)(a), log_mills(a))


# Elements between bounds, with their parameters by how far out they lie; whether they are exact.
CUT: dict[str, tuple[Callable[[float], Any], float, float, bool]] = {
    "Normal": (lambda x: dist.Normal(torch.tensor(x), 1.0), 0.0, 1.0, True),
    "Laplace": (lambda x: dist.Laplace(torch.tensor(x), 1.0), 0.0, 1.0, True),
    "Huber": (lambda x: HuberLaw(torch.tensor(x), 1.0), 0.0, 1.0, True),
    "Huber 30": (lambda x: HuberLaw(torch.tensor(x), 1.0, beta=30.0), 0.0, 1.0, True),
    "LogNormal": (lambda x: dist.LogNormal(torch.tensor(x), 1.0), 1.0, 2.0, True),
    "ContinuousBernoulli": (
        lambda x: ContinuousBernoulli(())(torch.tensor([x])),
        0.25,
        0.5,
        False,
    ),
    "Uniform": (lambda x: dist.Uniform(torch.tensor(x - 0.5), x + 0.5), 0.0, 1.0, False),
}


@pytest.mark.parametrize("name", CUT)
@pytest.mark.parametrize("x", [-1000.0, -100.0, -18.0, -6.0, -0.3, 0.7, 6.0, 18.0, 100.0, 1000.0])
def test_bounded_densities_integrate_to_one_in_single_precision(name: str, x: float) -> None:
    r"""Or to less, where a law only knows its cdf, which underflows or rounds: never to more."""
    make, low, high, exact = CUT[name]
    base = make(x)
    grid = low + (high - low) * torch.linspace(-15, 15, 20001, dtype=torch.float64).sigmoid()
    y = torch.cat([torch.tensor([low]), grid.float(), torch.tensor([high])]).unique()
    p = TruncatedLaw(base, low, high, validate_args=False)
    base._validate_args = False
    mass = torch.trapezoid(p.log_prob(y).double().exp(), y.double())

    assert mass < 1.001
    assert mass > 0.999 or not exact


@pytest.mark.parametrize("family", [Huber, LogNormal, Normal, Laplace])
@pytest.mark.parametrize("loc", [-24.0, -10.0, 10.0, 24.0])
def test_masses_at_bounds_in_single_precision(family: Constructor, loc: float) -> None:
    r"""The logarithm and the gradient of a small one are those of double precision."""
    low, high = (math.exp(-1), math.e) if family is LogNormal else (-1.0, 1.0)
    clamped = Clamped((), family, low=low, high=high)

    def score(dtype: torch.dtype) -> list[Tensor]:
        h = torch.zeros(clamped.param_shape, dtype=dtype)
        h[0] = loc
        h.requires_grad_()
        log_prob = clamped(h).log_prob(torch.tensor([low, high], dtype=dtype))
        return [log_prob, *(torch.autograd.grad(v, h, retain_graph=True)[0] for v in log_prob)]

    for single, double in zip(score(torch.float32), score(torch.float64), strict=True):
        torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", [name for name, case in CUT.items() if case[3]])
@pytest.mark.parametrize("x", [-200.0, -20.0, 0.5, 20.0, 200.0])
def test_weights_find_the_mass_of_corners(name: str, x: float) -> None:
    r"""E_q[p / q, y in a corner] = P_p(y in that corner), of draws in single precision that round
    to the bound. A random seed fails once in 10000 times for each of the two corners."""
    make, low, high, _ = CUT[name]
    q = TruncatedLaw(make(x), low, high)
    y = q.sample((100000,))
    p = Uniform((), low=low, high=high)()
    weights = (p.log_prob(y) - q.log_prob(y)).double().exp()

    for end, share in ((low, 0.05), (high, 0.95)):
        size = float((y.double().quantile(share) - end).abs())
        if size < 1e-4 or size > 0.2 * (high - low):
            continue
        inside = weights * ((y.double() - end).abs() <= size)
        z = (inside.mean() - size / (high - low)) / (inside.std() / 100000**0.5)
        assert abs(z) < 3.9 + 1e-3 * float(inside.mean() / inside.std()) * 100000**0.5


@pytest.mark.parametrize(
    "family, low, high",
    [
        (Huber, -0.5, 1.5),
        (partial(Huber, beta=0.3), -0.5, math.inf),
        (LogNormal, 0.2, 1.5),
        (ContinuousBernoulli, 0.2, 0.8),
    ],
)
def test_truncated_by_cdf(float64: None, family: Constructor, low: float, high: float) -> None:
    truncated = Truncated((), family, low=low, high=high)
    h = random(truncated).requires_grad_()
    p, base = truncated(h), family(())(h)
    y = p.rsample((20000,))
    (gradient,) = torch.autograd.grad(y.sum(), h)

    with torch.no_grad():
        end = min(high, 100.0)
        mass = quad(lambda t: float(p.log_prob(torch.tensor(t)).exp()), low, end, epsabs=1e-10)[0]
        ends = [base.cdf(torch.tensor(t)) for t in (low, 0.6, end)]
        share = float((ends[1] - ends[0]) / (ends[2] - ends[0]))
        found = float((y < 0.6).double().mean())

    assert mass == pytest.approx(1, abs=1e-7)
    # A random seed fails once in 10000 times.
    assert abs(found - share) < 4 * (share * (1 - share) / 20000) ** 0.5
    assert gradient.isfinite().all() and gradient.all()


@pytest.mark.parametrize("low, high", [*INTERVALS, (-0.3, 0.4)])
@pytest.mark.parametrize("family", [Normal, Laplace])
def test_clamped_law(float64: None, family: Constructor, low: float, high: float) -> None:
    r"""The masses at the bounds and the density between them sum to one, and draws fit them."""
    clamped, inner = Clamped((), family, low=low, high=high), family(())
    bounds = [b for b in (low, high) if math.isfinite(b)]
    ends = (max(low, -60.0), min(high, 60.0))

    for _ in range(3):
        h = random(clamped)
        p, base = clamped(h), inner(h)
        loc = float(base.loc)  # type: ignore[attr-defined]

        def integral(f: Callable[[float], float]) -> float:
            def integrand(y: float) -> float:
                return float(p.log_prob(torch.tensor(y)).exp()) * f(y)  # noqa: B023

            points = [loc] if ends[0] < loc < ends[1] else None  # noqa: B023
            within = quad(integrand, *ends, points=points, limit=200, epsabs=1e-10)[0]
            return within + sum(integrand(b) for b in bounds)

        assert integral(lambda y: 1.0) == pytest.approx(1, abs=1e-8)
        assert float(p.mean) == pytest.approx(integral(lambda y: y), abs=1e-7)

        y = p.sample((20000,))
        # Here and below a random seed fails once in 100000 times.
        assert p.support.check(y).all()
        assert abs(y.mean() - p.mean) < 4.5 * y.std() / 20000**0.5 + 1e-4
        for b in bounds:
            mass = float(p.log_prob(torch.tensor(b)).exp())
            exact = base.cdf(torch.tensor(b))
            exact = exact if b == low else 1 - exact
            assert mass == pytest.approx(float(exact), rel=1e-9)
            share = (y == b).double().mean()
            assert abs(share - mass) < 4.5 * (mass * (1 - mass) / 20000) ** 0.5 + 1e-9


@pytest.mark.parametrize("family", [Normal, Laplace])
@pytest.mark.parametrize("value", [1e6, -1e6, None])
def test_clamped_extremes_and_gradients(family: Constructor, value: float | None) -> None:
    clamped = Clamped((3,), family, low=-0.5, high=1.0)
    h = random(clamped, 2) if value is None else torch.full((2, 2, 3), value)
    h.requires_grad_()
    y = torch.tensor([-0.5, 0.25, 1.0])
    log_prob = clamped(h).log_prob(y)
    (grad,) = torch.autograd.grad(log_prob.sum(), h)

    assert log_prob.isfinite().all() and grad.isfinite().all()
    assert value is not None or grad.all()
    assert clamped(h).sample((5,)).isfinite().all()
    # Elements are independent.
    each = Clamped((), family, low=-0.5, high=1.0)(h.movedim(1, -1)).log_prob(y)
    torch.testing.assert_close(log_prob, each.sum(-1))


def test_clamped_in_double_precision() -> None:
    clamped = Clamped((3,))
    h = random(clamped, 4).double()
    p = clamped(h)
    y = p.sample()
    single = clamped(h.float()).log_prob(y.float())

    assert y.dtype == p.log_prob(y).dtype == torch.float64
    torch.testing.assert_close(single.double(), p.log_prob(y), rtol=1e-5, atol=1e-5)
    assert p.expand((2, 4)).sample().shape == (2, 4, 3)


@pytest.mark.parametrize("cls", [Truncated, Clamped])
@pytest.mark.parametrize("family", [Normal, Laplace, Huber])
def test_bounded_families_start_at_the_mean(
    float64: None, cls: Callable[..., Family], family: Constructor
) -> None:
    mean = torch.tensor([0.45, 0.5, 0.52, 0.55])
    if cls is Clamped or family is Normal:
        mean = torch.tensor([0.02, 0.3, 0.5, 0.97])

    for low, high, shift in ((0, 1, 0), (0, math.inf, 0.6), (-math.inf, 1, -0.6)):
        bounded = cls((4,), family, low=low, high=high)
        h = bounded.at_mean(mean + shift)
        torch.testing.assert_close(bounded(h).mean, mean + shift, rtol=1e-8, atol=0)
        # What no mean can be is brought within, and finite.
        assert bounded.at_mean(torch.full((4,), 5.0)).isfinite().all()

    # A truncated Laplace law of scale one that starts far out would never come back.
    start = Truncated((2,), Laplace, low=0, high=1).at_mean(torch.tensor([0.02, 0.97]))
    torch.testing.assert_close(start[0], torch.tensor([0.0, 1.0]))


def test_building_leaves_no_trace() -> None:
    r"""Neither gradients nor draws, and where there are no gradients all the same."""
    with torch.no_grad():
        state = torch.get_rng_state()
        family = Truncated((3,), partial(Normal, scale="shared"), low=2000.0)

    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in family.parameters())


# Dequantization


def exact_cells(p: Any, y: Tensor) -> Tensor:
    return (p.base_dist.cdf(y + 1) - p.base_dist.cdf(y)).log().sum(-1)


@pytest.mark.parametrize("family", [Normal, Laplace, Huber])
def test_dequantized_is_unbiased_and_tightens(float64: None, family: Constructor) -> None:
    r"""exp(log p) averages to the probability of the cell; a bound rises with K. z-scores: a seed
    fails once in 3000 times."""
    inner, wrapped = family((2,)), Dequantized((2,), family)
    h = random(inner) / 2
    y = torch.tensor([1.0, -1.0])
    exact = exact_cells(inner(h), y)
    log_prob = wrapped(h.expand(40000, *h.shape)).log_prob(y)
    p = (log_prob - exact).exp()

    assert log_prob.unique().numel() == 40000  # fresh noise for each
    assert abs((p.mean() - 1) / p.std() * 200) < 3.6
    means = [
        log_prob.view(-1, K).logsumexp(1).sub(math.log(K)).mean() - exact for K in (1, 10, 1000)
    ]
    assert means[0] < means[1] < means[2]
    assert abs(means[2]) < 3.6 * float(p.std()) / 200 + float(p.var()) / 1000


def test_dequantized_bound_meets_the_evidence(float64: None) -> None:
    r"""Of a model whose likelihood does not depend on z: log p(x) is that of the cells."""

    class Still(torch.nn.Module):
        def __init__(self, in_shape: torch.Size, out_shape: torch.Size) -> None:
            super().__init__()
            self.h = torch.nn.Parameter(torch.randn(out_shape))

        def forward(self, c: Tensor) -> Tensor:
            return self.h.expand(len(c), *self.h.shape)

    model = VAE(StandardNormal((2,)), Conditional((2,), Dequantized((3,)), Still))
    guide = Amortized(Conditional((3,), Normal((2,)), Still))
    torch.nn.init.zeros_(guide.posterior.net.h)  # type: ignore[attr-defined]
    x = torch.tensor([[0.0, 1.0, -1.0], [2.0, 0.0, 0.0]])
    h = model.likelihood.net.h.detach()  # type: ignore[union-attr]
    exact = exact_cells(Normal((3,))(h), x)  # type: ignore[arg-type]
    one = log_evidence(model, guide, x, particles=1000)

    # A random seed fails once in 10000 times.
    assert ((one.log_evidence - exact) / one.standard_error).abs().max() < 4
    assert (one.elbo < exact).all()


def test_dequantized_draws_and_support() -> None:
    p = Dequantized((3,))(torch.randn(5, 2, 3))
    y = p.sample((100,))
    support: Any = p.support

    assert torch.equal(y, y.floor()) and support.check(y).all() and support.is_discrete
    assert support.event_dim == 1 and not support.check(y + 0.5).any()
    positive = Dequantized((3,), LogNormal)
    support = positive(random(positive)).support
    assert support.check(torch.zeros(3)) and not support.check(torch.tensor([0.0, 1.0, -1.0]))
    assert p.expand((4, 5)).log_prob(y[0]).shape == (4, 5)
    # The mean is a half less than that of the density. z-scores: once in 3000 times.
    y = p.sample((20000,))
    wide = Dequantized((3,))(torch.tensor([[0.3, 7.0, -2.0], [2.0, 2.0, 2.0]]))
    y = wide.sample((20000,))
    assert ((y.mean(0) - wide.mean) / y.std(0) * 20000**0.5).abs().max() < 3.9


# Posteriors and priors that meet


@pytest.mark.parametrize("low, high", [(-1.0, 1.0), (0.0, 1.0), (-1.0, 0.0), (-3.0, 1e6)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_uniform_prior_has_both_bounds(low: float, high: float, dtype: torch.dtype) -> None:
    r"""Draws of a truncated posterior round to the bounds; a weight of zero there is an error."""
    prior = Uniform((3,), low=low, high=high).to(dtype)()
    for loc in (low - 5, high + 5):
        base = dist.Normal(torch.full((3,), loc, dtype=dtype), 1e-3)
        y = TruncatedLaw(base, low, high).sample((10000,))
        ends = torch.full_like(y[:1], low), torch.full_like(y[:1], high)
        y = torch.cat([y, *ends])
        expected = torch.full((10002,), -3 * math.log(high - low), dtype=dtype)
        torch.testing.assert_close(prior.log_prob(y), expected)

    support: Any = prior.support
    assert not support.check(torch.full((3,), high + 1e-6 * max(1.0, abs(high)), dtype=dtype))


@pytest.mark.parametrize(
    "posterior",
    [
        Dequantized,
        lambda s: Masked(s, Dequantized),
        lambda s: Mixture(s, Dequantized, components=2),
        lambda s: Product(s, [Dequantized] * 2),
        lambda s: Product(s, [Poisson, Dequantized]),
        lambda s: Mixture(s, lambda s: Product(s, [Poisson, Dequantized]), components=2),
        lambda s: Product(s, [Poisson, partial(Masked, family=Dequantized)]),
    ],
)
def test_no_estimated_density_in_posteriors(posterior: Constructor) -> None:
    r"""However deep it lies."""
    likelihood = Conditional((2,), Normal((4,)), mlp([8]))
    model = VAE(FamilyPrior((2,), posterior), likelihood)
    guide = Amortized(Conditional((4,), posterior((2,)), mlp([8])))

    with pytest.raises(ValueError, match="density of which is an estimate"):
        log_weights(model, guide, {"x": torch.randn(5, 4)}, 2)


# Refusals


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: Masked((3,), FullRankNormal), "Masked needs a family of independent elements"),
        (lambda: Masked((3,), lambda s: Product(s, [Normal] * 3)), "depend on each other"),
        (lambda: Masked((3,), lambda s: Product(s, [Normal] * 3)), "of one kind.*, or differ"),
        (lambda: ZeroInflated((3,), Normal), "needs a family of counts.*got Normal"),
        (lambda: ZeroInflated((3,), Flow), "needs a family of independent elements"),
        (lambda: Product((3,), [Normal]), "a family for each of the 3 columns, got 1"),
        (lambda: Product((2,), [Normal] * 3), "a family for each of the 2 columns, got 3"),
        (lambda: Product((2, 2), [Normal] * 4), "Product is over vectors"),
        (lambda: Product((2,), [Normal, Flow]), "Flow is over vectors"),
        (lambda: Mixture((3,), components=0), "one component or more, got 0"),
        (lambda: Truncated((3,), StudentT), "whose cdf.* are known.*got StudentT"),
        (lambda: Truncated((3,), Gamma, low=1.0), "whose cdf.* are known.*Gamma"),
        (lambda: Clamped((3,), StudentT), "whose cdf.* are known.*got StudentT"),
        (lambda: Truncated((3,), LogNormal, low=-1), "whose support holds the bounds -1"),
        (lambda: Clamped((3,), Poisson, low=1), "over real numbers.*got Poisson"),
        (lambda: Clamped((3,), low=1, high=1), "bounds low < high, one of them finite"),
        (lambda: Truncated((3,), low=2, high=1), "bounds low < high, one of them finite"),
        (lambda: Truncated((3,), low=NAN), "bounds low < high, one of them finite"),
        (lambda: Truncated((3,), low=-math.inf), "bounds low < high, one of them finite"),
        (lambda: Dequantized((3,), Poisson), "real or positive numbers.*got Poisson"),
        (lambda: Dequantized((3,), Beta), "real or positive numbers.*got Beta"),
        (lambda: MaskedElements(dist.Dirichlet(torch.ones(3))), "law over single numbers"),
        (lambda: ClampedLaw(dist.Dirichlet(torch.ones(3)), 0.1), "law over single numbers"),
        (lambda: FamilyPrior((3,), partial(Mixture, components=0)), "one component or more"),
        (lambda: Masked((3,), Normal((3,))), "Masked builds the family itself: give it Normal al"),
        (
            lambda: Product((2,), [Normal, Poisson])(torch.zeros(3), rate=torch.ones(())),
            "The family Product takes no rate; leave it out",
        ),
        (
            lambda: Product((2,), [Normal, Bernoulli])(torch.zeros(3), exposure=torch.ones(())),
            "The family Product takes no exposure; leave it out",
        ),
    ],
)
def test_refusals(make: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda f: Masked((2,), f),
        lambda f: Truncated((2,), f),
        lambda f: Mixture((2,), f),
        lambda f: Dequantized((2,), f),
        lambda f: Product((2,), [Normal, f]),
        lambda f: FamilyPrior((2,), f),
        lambda f: FamilyPrior((2,), partial(Masked, family=f)),
    ],
)
@pytest.mark.parametrize("wrong", [priors.Laplace, HuberLaw, dist.Normal, MaskedElements])
def test_names_of_other_places(make: Callable[[Any], Any], wrong: Any) -> None:
    r"""Families, priors and distributions share names; the sentence tells where to find which."""
    module, name = wrong.__module__, wrong.__name__
    given = [wrong, partial(wrong)]
    if wrong is priors.Laplace:
        given.append(lambda shape: wrong(shape))

    for builder in given:
        with pytest.raises(ValueError, match=f"got {module}.{name}, .* from ppl_vae.families"):
            make(builder)


def test_counts_by_densities_may_be_missing(float64: None) -> None:
    r"""They are estimated one by one where elements are independent."""
    masked = Masked((3,), lambda s: Dequantized(s, partial(Normal, scale=1e3)))
    y = torch.tensor([0.0, NAN, 5.0])
    h = random(masked, 1000)
    each = Normal((), scale=1e3)(h.movedim(1, -1)).log_prob(y.nan_to_num())

    found = masked(h).log_prob(y)
    torch.testing.assert_close(found, each[:, [0, 2]].sum(1), rtol=0, atol=1e-4)
    assert masked(h).sample().shape == (1000, 3)
    with pytest.raises(ValueError, match="Dequantized depend on each other"):
        Masked((3,), lambda s: Dequantized(s, FullRankNormal))


def test_exposure_reaches_masked_columns(float64: None) -> None:
    family = Product((2,), [partial(Masked, family=Normal), partial(Masked, family=Poisson)])
    means = family(torch.zeros(2, 3), exposure=torch.tensor([3.0, 30.0])).mean
    torch.testing.assert_close(means, torch.tensor([[0.0, 3.0], [0.0, 30.0]]), rtol=1e-3, atol=0)


def test_scipy_agrees_on_the_truncated_normal(float64: None) -> None:
    y = torch.linspace(-1, 2, 31)
    p = TruncatedLaw(dist.Normal(torch.tensor(0.3), torch.tensor(0.7)), -1.0, 2.0)
    a, b = (-1 - 0.3) / 0.7, (2 - 0.3) / 0.7
    expected = torch.from_numpy(stats.truncnorm.logpdf(y.numpy(), a, b, 0.3, 0.7))

    torch.testing.assert_close(p.log_prob(y), expected, rtol=1e-10, atol=1e-12)
    assert float(p.mean) == pytest.approx(stats.truncnorm.mean(a, b, 0.3, 0.7), rel=1e-10)
