r"""Laws of the use of latent variables: of exact guides, collapsed ones, and every program."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from program_cases import PROGRAMS, D, d, vae
from torch import Tensor, nn

from ppl_vae import families, priors
from ppl_vae.conditional import Conditional
from ppl_vae.drawing.latent_use import aggregate_posterior, dimensions
from ppl_vae.drawing.terms import terms
from ppl_vae.evaluation import active_units, refine
from ppl_vae.evaluation.latent import LatentUse, latent_use
from ppl_vae.evaluation.latent.draws import draw
from ppl_vae.evaluation.latent.pairs import mixture
from ppl_vae.evaluation.latent.site import activity
from ppl_vae.evaluation.rows import Rows
from ppl_vae.fit.collapse import collapse
from ppl_vae.guides import Amortized, SemiAmortized
from ppl_vae.models import Linear
from ppl_vae.networks import mlp
from ppl_vae.weights import plate_depth

programs = pytest.mark.parametrize("name", PROGRAMS)


def diagonal(model: Linear, shift: float = 0.0) -> Amortized:
    r"""The posterior's means and standard deviations, without its correlations."""

    def posterior(x: Tensor) -> Any:
        exact = model.posterior(x)
        return dist.Normal(exact.mean + shift, exact.stddev).to_event(1)

    return Amortized(posterior)


def same(a: LatentUse, b: LatentUse, tol: float = 0.0) -> None:
    for (name, x), y in zip(a.arrays().items(), b.arrays().values(), strict=True):
        np.testing.assert_allclose(x.astype(float), y.astype(float), rtol=0, atol=tol, err_msg=name)


# Closed forms


@torch.no_grad()
def test_divergences(float64: None) -> None:
    r"""Those of dimensions and data, the rate, and the distortion, in closed form."""
    model = Linear(5, 2, scale=0.7)
    x = model(n=60)
    use = latent_use(model, diagonal(model, 0.3), x, draws=20)
    mean, s = model.posterior(x).mean + 0.3, model.posterior(x).stddev
    exact = (mean.square() + s.square() - 1) / 2 - s.log()

    site = use.sites["z"]
    assert site.elements is not None
    torch.testing.assert_close(site.elements, exact.mean(0))
    torch.testing.assert_close(site.kl, exact.sum(1))
    torch.testing.assert_close(use.rate, exact.sum(1))
    torch.testing.assert_close(site.mean, mean)
    torch.testing.assert_close(site.activity, mean.var(0))
    assert site.active.equal(active_units(mean))

    # E |x - W z - b|^2 = |x - W m - b|^2 + |W s|^2: within 5 errors of 1200 draws (1 in 10 ** 6).
    W, noise = model.weight, model.log_scale.exp()
    square = (x - mean @ W.mT - model.bias).square().sum(1) + (W * s[0]).square().sum()
    exact = square / (2 * noise.square()) + 5 * (noise.log() + math.log(2 * math.pi) / 2)
    difference = use.distortion - exact
    assert abs(difference.mean()) < 5 * difference.std() / 60**0.5


@torch.no_grad()
def test_information(float64: None) -> None:
    r"""With the exact guide of the model's own data all of the rate is information.

    Its closed form lies within 4.5 standard errors of both ends of the bracket (1 in 100000), the
    marginal KL is next to nothing, and codes and draws of the prior do not differ.
    """
    model = Linear(5, 2, scale=0.7)
    use = latent_use(model, Amortized(model.posterior), model(n=600))
    exact = float(torch.logdet(model.covariance) - 10 * model.log_scale) / 2
    mutual, marginal = use.information.mutual, use.information.marginal

    assert abs(mutual.lower - exact) < 4.5 * mutual.lower_error
    assert abs(mutual.upper - exact) < 4.5 * mutual.upper_error
    assert -0.1 < marginal.lower < marginal.upper < 0.1
    assert use.summary()["level"] == "good" and use.test.p_value > 0.01
    assert "draws of the prior no difference was found" in use.summary()["verdict"]
    assert mutual.lower + marginal.upper == pytest.approx(float(use.information.kl.mean()))


@torch.no_grad()
def test_shifted(float64: None) -> None:
    r"""Codes beside the prior are told, with the distance in closed form."""
    model = Linear(5, 2, scale=0.7)

    def posterior(x: Tensor) -> Any:
        exact = model.posterior(x)
        return dist.MultivariateNormal(exact.mean + 0.8, exact.covariance_matrix)

    use = latent_use(model, Amortized(posterior), model(n=600))
    marginal = use.information.marginal
    assert abs(marginal.upper - 0.64) < 4.5 * marginal.upper_error + 0.02
    assert abs(marginal.lower - 0.64) < 4.5 * marginal.lower_error + 0.02
    assert use.summary()["level"] == "fair" and use.test.p_value < 0.01
    assert "Learn the prior" in use.summary()["verdict"]


def test_collapsed(float64: None) -> None:
    r"""A guide that is the prior: no information, nothing active, and so it is said."""
    model = Linear(5, 2)
    guide = Amortized(lambda x: dist.Normal(torch.zeros(len(x), 2), 1.0).to_event(1))
    use = latent_use(model, guide, model(n=130).detach())
    mutual = use.information.mutual

    assert max(abs(v) for v in vars(mutual).values()) < 1e-12
    assert not use.sites["z"].active.any() and use.sites["z"].collapsed
    assert use.rate.abs().max() < 1e-12
    told = use.summary()
    assert told["level"] == "poor" and told["sites"]["z"]["unused"] == [0, 1]
    assert "Site 'z' has collapsed" in told["verdict"]
    assert "no information of the data" in told["verdict"]


def test_some_unused(float64: None) -> None:
    r"""Dimensions that the model does not look at are named."""
    model = Linear(5, 3)
    with torch.no_grad():
        model.weight[:, 1] = 0
    use = latent_use(model, Amortized(model.posterior), model(n=150).detach())

    assert use.sites["z"].active.tolist() == [True, False, True]
    assert use.sites["z"].elements is None  # the exact posterior has correlations
    assert "1 of 3 dimensions is unused (1, counted from 0)" in use.summary()["verdict"]


# Every program


@programs
@torch.no_grad()
def test_every_program(float64: None, name: str) -> None:
    r"""The densities of all pairs are those of the guide, run with one draw and one datum alone."""
    model, guide, x = PROGRAMS[name]()
    rows = Rows(x, None)
    depth = plate_depth(model, guide, x)
    drawn = draw(model, guide, rows, 3, 0, vectorized=True, depth=depth)
    how: dict[str, Any] = {"depth": depth, "memory": 2**20}
    own, rest = mixture(guide, rows, drawn, 0, vectorized=True, **how)
    torch.testing.assert_close(own, drawn.guide)
    # Data that are repeated, for guides that reshape their draws, give the same.
    torch.testing.assert_close((own, rest), mixture(guide, rows, drawn, 0, vectorized=False, **how))

    n = len(x)
    for s, i in ((0, 0), (2, 3)):
        given = {k: v[s].movedim(drawn.axes[k] - 1, 0)[i] for k, v in drawn.values.items()}
        scores = torch.stack([_alone(guide, x[j : j + 1], given, drawn.axes) for j in range(n)])
        others = scores[torch.arange(n) != i]
        torch.testing.assert_close(own[s, i], scores[i])
        torch.testing.assert_close(rest[s, i], others.logsumexp(0) - math.log(n - 1))


def _alone(guide: Any, x: Tensor, given: dict[str, Tensor], axes: dict[str, int]) -> Tensor:
    r"""By Pyro alone."""
    values = {name: z.unsqueeze(axes[name] - 1) for name, z in given.items()}
    nodes = pyro.poutine.trace(pyro.condition(guide, data=values)).get_trace(x).nodes
    scores = [nodes[name]["fn"].log_prob(nodes[name]["value"]).sum() for name in values]
    return torch.stack(scores).sum()


@programs
def test_memory(float64: None, name: str) -> None:
    r"""The result does not depend on the budget, and the parts add up."""
    model, guide, x = PROGRAMS[name]()
    use = latent_use(model, guide, x)
    same(use, latent_use(model, guide, x, memory=1), 1e-10)
    json.dumps(use.summary(), allow_nan=False)
    terms = use.information
    assert terms.mutual.lower <= terms.ceiling + 1e-12
    torch.testing.assert_close(use.rate, sum(site.kl for site in use.sites.values()))


@torch.no_grad()
def test_hierarchical(float64: None) -> None:
    r"""A lower layer's exact posterior, and above it a law that knows the data through it alone.

    Then I(x; z1, z2) = I(x; z1), in closed form: 4.5 standard errors (1 in 100000).
    """
    inner, outer = Linear(3, 1, scale=0.5), Linear(5, 3, scale=0.8)
    covariance = outer.weight @ inner.covariance @ outer.weight.mT + 0.64 * torch.eye(5)
    gain = inner.covariance @ outer.weight.mT @ covariance.inverse()
    left = inner.covariance - gain @ outer.weight @ inner.covariance

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z2 = pyro.sample("z2", dist.Normal(torch.zeros(1), 1.0).to_event(1))
            z1 = pyro.sample("z1", dist.Normal(z2 @ inner.weight.mT, 0.5).to_event(1))
            pyro.sample("x", dist.Normal(z1 @ outer.weight.mT, 0.8).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z1 = pyro.sample("z1", dist.MultivariateNormal(x @ gain.mT, (left + left.mT) / 2))
            pyro.sample(
                "z2", dist.Normal(inner.posterior(z1).mean, inner.posterior(z1).stddev).to_event(1)
            )

    x = dist.MultivariateNormal(torch.zeros(5), covariance).sample((501,))
    use = latent_use(model, guide, x)
    exact = float(torch.logdet(inner.covariance) - torch.logdet(left)) / 2
    mutual, marginal = use.information.mutual, use.information.marginal

    assert abs(mutual.lower - exact) < 4.5 * mutual.lower_error + 0.02
    assert abs(mutual.upper - exact) < 4.5 * mutual.upper_error + 0.02
    assert abs(marginal.upper) < 4.5 * marginal.upper_error + 0.02
    assert use.test.p_value > 0.01
    assert tuple(use.sites) == ("z2", "z1") and use.codes.shape == (501, 4)


def test_guides_with_noise_of_their_own(float64: None) -> None:
    r"""A semi-amortized guide is taken as it was when it drew; one that cannot be is refused."""
    model = Linear(D, d, scale=0.7)
    x = model(n=52).detach()
    guide = SemiAmortized(Conditional((D,), families.Normal((d,)), mlp([8])), steps=2).attach(model)
    use = latent_use(model, guide, x)
    assert use.information.mutual.lower > 0
    same(use, latent_use(model, guide, x, memory=2**16), 1e-8)

    calls: list[int] = []

    def restless(x: Tensor) -> Any:
        calls.append(0)
        return dist.Normal(x[:, :d] + 0.1 * len(calls), 1.0).to_event(1)

    with pytest.raises(ValueError, match="changes from run to run"):
        latent_use(model, Amortized(restless), x)


def test_refined(float64: None) -> None:
    r"""A guide that is told by ``index`` which data it is for."""
    model = Linear(D, d, scale=0.7)
    x = model(n=70).detach()
    guide = refine(model, Amortized(Conditional((D,), families.Normal((d,)), mlp())), x, steps=3)
    use = latent_use(model, guide, {"x": x, "index": torch.arange(70)})
    assert use.information.mutual.lower > 0


# Activity


def test_activity_without_known_means(float64: None) -> None:
    r"""The noise of draws is taken off: without bias, and without false alarms.

    Of 200 collapsed elements with one draw in four of noise fewer than 5 count as active, where a
    false alarm has probability 0.0014 (fails once in 10000); those that move do.
    """
    z = torch.randn(4, 500, 200)
    variance, active = activity(z, torch.ones(200))
    assert int(active.sum()) < 5
    moving = torch.randn(500, 200) * 0.5
    variance, active = activity(z + moving, torch.ones(200))
    assert active.all()
    # The mean of 200 variances, each 0.25 with a standard deviation under 0.04.
    assert abs(variance.mean() - 0.25) < 4 * 0.04 / 200**0.5
    # In the prior's scale.
    assert activity(z + moving, torch.full((200,), 2.0))[0].mean() * 4 == pytest.approx(
        float(variance.mean())
    )


def test_flow_posterior(float64: None) -> None:
    r"""A posterior without known means or elements still tells its sites."""
    model, guide, x = vae(
        priors.StandardNormal((d,)), families.Flow((d,), hidden=(8,)), families.Bernoulli((D,))
    )
    use = latent_use(model, guide, x.repeat(20, 1))
    assert use.sites["z"].elements is None and "elements_z" not in use.arrays()
    assert use.sites["z"].activity.shape == (d,)


# Nothing is changed


class Norms(nn.Module):
    r"""A model that reshapes its draws, with batch normalization, in training mode in part."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 5), nn.BatchNorm1d(5), nn.Dropout(0.3))
        self.net[0].eval()

    def model(self, x: Tensor) -> None:
        pyro.module("Norms", self)
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            loc = self.net(z.reshape(len(x), 2))
            pyro.sample("x", dist.Normal(loc, 1.0).to_event(1), obs=x)

    def guide(self, x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(self.net(x[:, :2])[:, :2], 0.9).to_event(1))


def test_changes_nothing() -> None:
    r"""Bit by bit: parameters, buffers, flags, random states; and one seed gives one result."""
    program, x = Norms(), torch.randn(101, 5)  # the last block is of one datum
    program.model(x)
    state = {k: v.clone() for k, v in program.state_dict().items()}
    flags = [m.training for m in program.modules()]
    random, arrays = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[index]
    seen: list[int] = []

    how: dict[str, Any] = {"vectorized": False, "labels": (x[:, 0] > 0).long(), "draws": 2}
    use = latent_use(program.model, program.guide, x, progress=seen.append, **how)

    assert all(v.equal(state[k]) for k, v in program.state_dict().items())
    assert [m.training for m in program.modules()] == flags
    assert torch.get_rng_state().equal(random) and torch.is_grad_enabled()
    assert (np.random.get_state()[1] == arrays).all()  # type: ignore[index]
    assert seen == [50, 50, 1]

    torch.manual_seed(5)
    again = latent_use(program.model, program.guide, {"x": x, "index": torch.arange(101)}, **how)
    same(use, again)
    assert use.summary() == again.summary()
    other = latent_use(program.model, program.guide, x, seed=1, vectorized=False, draws=2)
    assert not np.array_equal(use.arrays()["posterior_z"], other.arrays()["posterior_z"])


# Labels and factors


def test_labels_and_factors(float64: None) -> None:
    r"""Factors that the data hold are found in the codes; the summary tells of them."""
    model = Linear(4, 2, scale=0.1)
    with torch.no_grad():
        model.weight.copy_(torch.eye(4)[:, :2])
    factors = torch.randint(3, (200, 2))
    noise = 0.1 * torch.randn(200, 4)
    x = torch.cat([factors.double() - 1, torch.zeros(200, 2)], 1) + noise
    use = latent_use(model, diagonal(model), x, labels=factors[:, 0], factors=factors)
    told = use.summary()

    assert told["probe"]["accuracy"] > 0.95 > 0.5 > told["probe"]["baseline"]
    assert told["clusters"]["classes"] == 3
    keys = {"mig", "sap", "factor_vae", "disentanglement", "completeness", "informativeness"}
    assert set(told["disentanglement"]) == keys
    assert min(told["disentanglement"].values()) > 0.8
    json.dumps(told, allow_nan=False)


# Collapse while training


def test_collapse() -> None:
    r"""It is told once: in the epoch in which a site falls, or the third that it never rose in."""
    falling = [{"train_kl": kl} for kl in (3.0, 0.5, 0.05, 0.04, 2.0, 0.01)]
    told = [collapse(row, falling[:i]) for i, row in enumerate(falling)]
    assert [i for i, sentence in enumerate(told) if sentence] == [2, 5]
    assert "the latent variables has fallen to 0.05 nats" in (told[2] or "")

    never = [{"train_kl": 0.01}] * 6
    told = [collapse(row, never[:i]) for i, row in enumerate(never)]
    assert [i for i, sentence in enumerate(told) if sentence] == [2]
    assert "after 3 epochs still" in (told[2] or "")


def test_collapse_of_a_site() -> None:
    r"""Of several sites the one is named; validation comes before training, weights are no KL."""
    before = [{"train_kl": 9.0, "train_kl_z1": 8.0, "train_kl_z2": 1.0, "kl_weight": 0.0}]
    row = {"train_kl": 8.0, "train_kl_z1": 8.0, "train_kl_z2": 0.01, "kl_weight": 0.0}
    assert "KL of site 'z2' has fallen" in (collapse(row, before) or "")
    better = {f"validation_{k[6:]}": 5.0 for k in row if k.startswith("train_")}
    assert collapse({**row, **better}, [{**before[0], **better}]) is None
    assert "site 'z1'" in (collapse({"kl_z1": 0.0, "kl_weight": 1.0}, [{"kl_z1": 1.0}]) or "")
    assert collapse({"kl_weight": 0.0}, [{"kl_weight": 0.0}] * 2) is None
    assert collapse({"train_kl": math.nan}, [{"train_kl": 1.0}]) is None
    assert collapse({}) is None


# Refusals and figures


def test_refused() -> None:
    model, guide, x = PROGRAMS["linear"]()

    for few in (x[:0], x[:1]):
        with pytest.raises(ValueError, match="two data or more"):
            latent_use(model, guide, few)
    with pytest.raises(ValueError, match="two draws or more for each datum, got 1"):
        latent_use(model, guide, x, draws=1)
    with pytest.raises(ValueError, match="one integer for each of 4 codes"):
        latent_use(model, guide, x, labels=torch.zeros(3).long())
    with pytest.raises(ValueError, match=r"integers with shape \(4, F\)"):
        latent_use(model, guide, x, factors=torch.zeros(4).long())

    def shared(x: Tensor) -> None:
        mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("x", dist.Normal(mu, 1.0), obs=x)

    with pytest.raises(ValueError, match=r"Site 'mu' lies outside of the plate of the data"):
        latent_use(shared, lambda x: pyro.sample("mu", dist.Normal(0.0, 1.0)), x[:, 0])

    def masked(observed: bool) -> Any:
        def program(x: Tensor) -> None:
            with pyro.plate("data", len(x), dim=-1), pyro.poutine.mask(mask=x > 0):
                z = pyro.sample("z", dist.Normal(0.0, 1.0))
                if observed:
                    pyro.sample("x", dist.Normal(z, 1.0), obs=x)

        return program

    with pytest.raises(ValueError, match="Site 'z' is masked"):
        latent_use(masked(True), masked(False), torch.tensor([1.0, -1.0, 2.0]))


def test_figures() -> None:
    kl, variance = np.array([2.0, 0.1, -0.01]), np.array([0.9, 0.02, 0.0])
    figure = dimensions(kl, variance, variance > 0.01, site="z1")
    assert figure.get_suptitle() == "Use of z1: 2 of 3 dimensions are active"
    assert len(figure.axes) == 2
    (axes,) = dimensions(None, np.ones(60), np.ones(60)).axes
    assert axes.get_xlabel().startswith("rank")
    z = np.random.default_rng(0).standard_normal((50, 10))
    z[:, 4] += 3
    figure = aggregate_posterior(z, z - 3 * (np.arange(10) == 4))
    assert figure.axes[0].get_xlabel() == "dimension 4 of z" and len(figure.axes) == 8
    assert "8 of 10 dimensions" in figure.get_suptitle()

    with pytest.raises(ValueError, match="no dimensions to draw"):
        dimensions(None, np.zeros(0), np.zeros(0))
    with pytest.raises(ValueError, match=r"shapes \(n, d\) and \(m, d\)"):
        aggregate_posterior(z, z[:, :2])
    with pytest.raises(ValueError, match="NaN or infinite"):
        aggregate_posterior(z, z * np.nan)


def test_a_prior_that_is_given_labels(float64: None) -> None:
    r"""The rate is no bound of the information then, and no marginal divergence is told."""

    def model(x: Tensor | None = None, y: Tensor | None = None, *, n: int = 1) -> Tensor:
        y = torch.zeros(n if x is None else len(x)) if y is None else y
        with pyro.plate("data", len(y), dim=-1):
            z = pyro.sample("z", dist.Normal(8.0 * y, 0.5))
            return pyro.sample("x", dist.Normal(z, 0.5), obs=x)

    def guide(x: Tensor, y: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal((x + 8.0 * y) / 2, 0.125**0.5))

    y = (torch.arange(120) % 6).to(torch.float64)
    x = 8.0 * y + 0.5**0.5 * torch.randn(120)
    use = latent_use(model, guide, {"x": x, "y": y})
    told = use.summary()
    assert use.given and told["marginal_kl"] is None
    assert "KL(q(z), p(z))" not in dict(terms({**told, "method": "latent"}))
    # The class alone is log 6 nats, more than the rate.
    assert told["information"]["lower"] > 1.7 > told["rate"]
    assert "hold no information" not in told["verdict"]
    # Without labels nothing is given.
    assert not latent_use(model, lambda x, y=None: guide(x, 0 * x), {"x": x}).given
