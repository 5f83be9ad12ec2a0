r"""Laws of deterministic auto-encoders, and of runs whose guide has no density."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import pyro.infer
import pyro.optim
import pytest
import torch
from program_cases import PROGRAMS
from replay import assert_replayed
from test_resume import SMALL, assert_resumes, stopping
from torch import Tensor, nn

from ppl_vae import families, priors
from ppl_vae.cli import main
from ppl_vae.conditional import Conditional
from ppl_vae.distributions import Implicit as Law
from ppl_vae.evaluation import log_evidence
from ppl_vae.families import Delta, Normal
from ppl_vae.fit_prior import fit_prior
from ppl_vae.guides import Amortized, BottomUp
from ppl_vae.legality import judge
from ppl_vae.models import VAE, Hierarchical, Linear
from ppl_vae.networks import mlp
from ppl_vae.objectives import ELBO, IWAE, RAE, VAEGAN, WAE, Objective
from ppl_vae.objectives.cross_entropy import CrossEntropy
from ppl_vae.priors import StandardNormal
from ppl_vae.run import Run, load, train
from ppl_vae.svi import SVI

__all__ = ["stopping"]  # a fixture

NET = mlp([8])
REGULARIZERS = ("gradient", "l2", "none")
adam = partial(torch.optim.Adam, lr=1e-2)


def programs(
    likelihood: families.Family | None = None, prior: priors.Prior | None = None
) -> tuple[VAE, Amortized, Tensor]:
    likelihood = likelihood or Normal((5,), scale=0.7)
    model = VAE(prior or StandardNormal((2,)), Conditional((2,), likelihood, NET))
    return model, Amortized(Conditional((5,), Delta((2,)), NET)), torch.randn(6, 5)


def hierarchical() -> tuple[Hierarchical, BottomUp, Tensor]:
    layers = [Conditional((2,), Normal((3,)), NET)]
    p = Conditional((3,), Normal((5,), scale=0.7), NET)
    q = [Conditional((5,), Delta((3,)), NET), Conditional((3,), Delta((2,)), NET)]
    return Hierarchical(StandardNormal((2,)), layers, p), BottomUp(q), torch.randn(6, 5)


def mean_of(model: Any, z: Tensor) -> Tensor:
    mean: Tensor = model.likelihood(z).mean
    return mean


def half_norm(module: nn.Module) -> float:
    return sum(float(p.detach().square().sum()) for p in module.parameters()) / 2


def by_hand(model: Any, guide: Any, x: Tensor, regularizer: str, signs: Tensor) -> Tensor:
    r"""The loss of a VAE, with weights 0.3 and 0.2, in nats per datum."""
    z = guide.posterior(x).mean
    code = z.square().sum(1) / 2 + math.log(2 * math.pi)  # of two elements
    error = (x - mean_of(model, z)).square().sum(1) / (2 * 0.49)
    penalty = torch.zeros(())
    if regularizer == "gradient":
        rows = torch.func.vmap(torch.func.jacrev(lambda z: mean_of(model, z[None])[0]))(z)
        penalty = (signs.unsqueeze(1) @ rows).square().sum((1, 2)) / 2
    if regularizer == "l2":
        penalty = sum(p.square().sum() / 2 for p in model.likelihood.parameters())
    constant = 2.5 * math.log(2 * math.pi * 0.49)
    return (error + constant + 0.3 * code + 0.2 * penalty).mean()


@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_by_hand(float64: None, regularizer: str) -> None:
    r"""The loss, and its gradient in both programs, which is one of a gradient."""
    model, guide, x = programs()
    torch.manual_seed(1)
    signs = torch.randn(6, 5).sign()
    torch.manual_seed(1)
    estimate = RAE(0.3, regularizer, 0.2).estimate(model, guide, x)
    expected = by_hand(model, guide, x, regularizer, signs)
    torch.testing.assert_close(estimate.loss / 6, expected, rtol=1e-10, atol=0)

    parameters = [*model.parameters(), *guide.parameters()]
    found, wanted = (torch.autograd.grad(t, parameters) for t in (estimate.loss / 6, expected))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_metrics_claim_no_bound(float64: None) -> None:
    model, guide, x = programs()
    told = RAE(0.3, "l2", 0.2).estimate(model, guide, x).metrics
    z = guide.posterior(x).mean.detach()
    assert set(told) == {"reconstruction", "code", "penalty"}
    assert float(told["code"]) == pytest.approx(float(-model.prior().log_prob(z).mean()))
    assert float(told["penalty"]) == pytest.approx(half_norm(model.likelihood))


def test_the_gradient_penalty_is_unbiased(float64: None) -> None:
    r"""The mean over projections is the norm of the Jacobian; fails once in 15000, at seed 0."""
    model, guide, x = programs()
    z = guide.posterior(x[:1]).mean.detach()[0]
    jacobian = torch.func.jacrev(lambda z: mean_of(model, z[None])[0])(z).detach()
    objective, copies = RAE(), x[:1].expand(50, 5)
    with torch.no_grad():
        draws = [objective.estimate(model, guide, copies).metrics["penalty"] for _ in range(400)]
    found = torch.stack(draws)
    error = found.std() / 20

    assert float((found.mean() - jacobian.square().sum() / 2).abs() / error) < 4
    assert found.std() > 0.01 * found.mean()


class Chain(nn.Module):
    r"""Two sites, the second of which the guide draws from the first, and a mean of both."""

    def __init__(self) -> None:
        super().__init__()
        self.decoder, self.encoder = nn.Linear(2, 1), nn.Linear(1, 1)
        self.loc = nn.Parameter(torch.zeros(()))

    def model(self, x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            a = pyro.sample("a", dist.Normal(self.loc, 1.0))
            b = pyro.sample("b", dist.Normal(a, 1.0))
            mean = self.decoder(torch.stack([a, b], -1)).squeeze(-1)
            pyro.sample("x", dist.Normal(mean.square(), 1.0), obs=x)

    def guide(self, x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            a = pyro.sample("a", Law(self.encoder(x[:, None]).squeeze(-1), h_dim=0))
            pyro.sample("b", Law(a.sin(), h_dim=0))


def test_codes_are_given_to_the_slope(float64: None) -> None:
    r"""What a code does to those that the guide draws from it is no slope of the decoder."""
    chain, x = Chain(), torch.randn(6)
    told = RAE().estimate(chain.model, chain.guide, x).metrics["penalty"]
    a = chain.encoder(x[:, None])
    # Of one number per datum, the sign of the projection does not matter.
    slope = 2 * chain.decoder(torch.cat([a, a.sin()], 1)) * chain.decoder.weight
    expected = slope.detach().square().sum(1).mean() / 2
    assert float(told) == pytest.approx(float(expected), rel=1e-10)


def test_l2_is_of_the_decoder_alone(float64: None) -> None:
    chain, x = Chain(), torch.randn(6)
    told = RAE(regularizer="l2").estimate(chain.model, chain.guide, x).metrics["penalty"]
    assert float(told) == pytest.approx(half_norm(chain.decoder))

    model, guide, x = programs(prior=priors.LearnedNormal((2,)))
    assert list(model.prior.parameters())
    told = RAE(regularizer="l2").estimate(model, guide, x).metrics["penalty"]
    assert float(told) == pytest.approx(half_norm(model.likelihood))


def test_l2_follows_another_model(float64: None) -> None:
    objective = RAE(regularizer="l2")
    for _ in range(2):
        model, guide, x = programs()
        told = objective.estimate(model, guide, x).metrics["penalty"]
        assert float(told) == pytest.approx(half_norm(model))


def test_l2_knows_frozen_parameters(float64: None) -> None:
    r"""A decoder frozen at the first call is penalized as any, and moved once it is thawed."""
    model, guide, x = programs()
    objective, frozen = RAE(regularizer="l2"), model.likelihood.requires_grad_(False)
    for p in [*frozen.parameters()][:2]:
        p.requires_grad_(True)  # the others stay frozen
    told = objective.estimate(model, guide, x).metrics["penalty"]
    assert float(told) == pytest.approx(half_norm(frozen))
    assert sum(p.requires_grad for p in frozen.parameters()) == 2

    frozen.requires_grad_(True)
    parameters, found = list(frozen.parameters()), []
    for weight in (0.0, 1.0):
        objective.weight = weight
        loss = objective.estimate(model, guide, x).loss
        found.append(torch.autograd.grad(loss, parameters))
    for a, b, p in zip(*found, parameters, strict=True):
        torch.testing.assert_close(b - a, 6 * p.detach())


def test_l2_of_a_decoder_that_is_frozen_whole(float64: None) -> None:
    model, guide, x = programs()
    objective = RAE(regularizer="l2")
    model.likelihood.requires_grad_(False)
    svi = SVI(model, guide, adam, objective, compile="fx")
    for _ in range(3):
        assert svi.step(x).isfinite()
    assert (svi.backend, svi.reason) == ("fx", None)
    model.likelihood.requires_grad_(True)
    assert objective.differentiable_loss(model, guide, x).isfinite()


@pytest.mark.parametrize("regularizer", REGULARIZERS)
def test_gradients_or_none_and_one_datum(float64: None, regularizer: str) -> None:
    r"""Values do not depend on whether gradients are on; a batch may be of one row."""
    model, guide, x = programs()
    for rows in (x, x[:1]):
        torch.manual_seed(1)
        loss = RAE(regularizer=regularizer).differentiable_loss(model, guide, rows)
        torch.manual_seed(1)
        value = RAE(regularizer=regularizer).loss(model, guide, rows)
        assert loss.requires_grad and not value.requires_grad
        assert float(loss.detach()) == pytest.approx(float(value), rel=1e-12)


def test_a_minibatch_is_scaled_up(float64: None) -> None:
    net = nn.Linear(2, 1)

    def model(x: Tensor, n: int) -> None:
        pyro.module("net", net)
        with pyro.plate("data", n, subsample=x):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(net(z).squeeze(-1), 1.0), obs=x)

    def guide(x: Tensor, n: int) -> None:
        with pyro.plate("data", n, subsample=x):
            pyro.sample("z", Law(torch.stack([x, x.square()], -1)))

    x = torch.randn(4)
    part, whole = (RAE().estimate(model, guide, x, n) for n in (4, 20))
    assert float((whole.loss / part.loss).detach()) == pytest.approx(5.0)
    assert (part.size, whole.size) == (4, 20)


# What it finds


@pytest.mark.slow
def test_a_linear_one_finds_the_principal_subspace(float64: None) -> None:
    r"""Without penalties, that of probabilistic PCA: the sine of the angle is below 1e-4."""
    spread = torch.tensor([3.0, 2.0, 0.8, 0.6, 0.4])
    x = torch.randn(300, 5) * spread @ torch.linalg.qr(torch.randn(5, 5)).Q + 1.0
    exact = Linear.maximum_likelihood(x, latent=2)
    model = Linear(5, 2)
    guide = Amortized(Conditional((5,), Delta((2,)), mlp([])))
    svi = SVI(model, guide, partial(torch.optim.Adam, lr=0.02), RAE(0.0, "none"), compile="fx")
    for _ in range(1800):
        svi.step(x)

    found, wanted = (torch.linalg.qr(m.weight.detach()).Q for m in (model, exact))
    assert float((wanted - found @ (found.mT @ wanted)).norm(2)) < 1e-4


@pytest.mark.parametrize("regularizer", ["gradient", "l2"])
def test_a_penalty_flattens_the_decoder(regularizer: str) -> None:
    slopes = []
    for weight in (0.0, 3.0):
        torch.manual_seed(0)
        model, guide, x = programs()
        svi = SVI(model, guide, adam, RAE(0.1, regularizer, weight), compile="fx")
        for _ in range(150):
            svi.step(x)
        rows = torch.func.vmap(torch.func.jacrev(lambda z: mean_of(model, z[None])[0]))  # noqa: B023
        slopes.append(float(rows(guide.posterior(x).mean).square().sum((1, 2)).mean().detach()))
    assert slopes[1] < 0.5 * slopes[0]


@pytest.mark.parametrize("regularizer", REGULARIZERS)
@pytest.mark.parametrize("make", [programs, hierarchical], ids=["one site", "two sites"])
def test_replayed_it_is_the_same_to_the_bit(make: Callable[[], Any], regularizer: str) -> None:
    assert_replayed(make, lambda: RAE(1.0, regularizer, 0.1), adam)


def test_pyro_trains_it_too() -> None:
    model, guide, x = programs()
    svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 1e-2}), RAE())
    losses = [float(svi.step(x)) for _ in range(50)]
    assert losses[-1] < 0.8 * losses[0]


# What is refused


def test_who_takes_points_and_who_does_not() -> None:
    model, guide, x = programs()
    others: list[Objective] = [ELBO(), IWAE(), VAEGAN()]
    for objective in others:
        assert "has no density" in judge(model, guide, objective, {"x": x}).reason
    with pytest.raises(ValueError, match="has no density"):
        log_evidence(model, guide, x, particles=3)
    for objective in (RAE(), WAE(), CrossEntropy()):
        assert judge(model, guide, objective, {"x": x}).legal


@pytest.mark.parametrize("law", ["Normal", "Implicit", "marked"])
def test_noise_is_refused(law: str) -> None:
    model, _, x = programs()

    def marked(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = torch.randn(len(x), 2)
            pyro.sample("z", dist.Delta(z).to_event(1), infer={"implicit": True})

    guide: Any = marked
    if law != "marked":
        guide = Amortized(Conditional((5,), getattr(families, law)((2,)), NET))
    name = "Delta" if law == "marked" else law
    with pytest.raises(
        ValueError, match=rf"site 'z' from {name}; take the posterior Delta, --post"
    ):
        RAE().loss(model, guide, x)


def test_likelihoods_without_a_mean_are_refused() -> None:
    model, guide, _ = programs(families.Categorical((5,), 3))
    x = torch.randint(0, 3, (6, 5)).float()
    with pytest.raises(ValueError, match=r"gradient penalty of RAE needs the mean.*Categorical"):
        RAE().loss(model, guide, x)
    assert RAE(regularizer="l2").loss(model, guide, x).isfinite()


def test_l2_needs_a_module() -> None:
    model, _, x = PROGRAMS["other plate"]()

    def guide(x: Tensor) -> None:
        with pyro.plate("rows", len(x)):
            pyro.sample("z", Law(0.3 * x, h_dim=0))

    with pytest.raises(ValueError, match="the model is no module with any"):
        RAE(regularizer="l2").loss(model, guide, x)
    assert RAE().loss(model, guide, x).isfinite()


def test_masks_inner_plates_and_shared_sites_are_refused() -> None:
    def refused(words: str, x: Tensor, *handlers: Any, shared: bool = False) -> None:
        def draw(law: Any) -> Tensor:
            z: Tensor = pyro.sample("z", law)
            return z

        def run(x: Tensor, law: Any, obs: bool) -> None:
            if shared:
                draw(law)
            with pyro.plate("data", len(x), dim=-1):
                for handler in handlers:
                    handler.__enter__()
                if not shared:
                    draw(law)
                for handler in reversed(handlers):
                    handler.__exit__(None, None, None)
                if obs:
                    pyro.sample("x", dist.Normal(0.0, 1.0), obs=x)

        with pytest.raises(ValueError, match=words):
            RAE().loss(
                lambda x: run(x, dist.Normal(torch.zeros(()), 1.0), obs=True),
                lambda x: run(x, Law(torch.ones(()), h_dim=0), obs=False),
                x,
            )

    x = torch.randn(4)
    plain = "is masked, or lies in a plate within"
    refused(plain, x, pyro.poutine.mask(mask=torch.tensor([True, False, True, True])))
    refused(plain, x, pyro.plate("sensors", 3, dim=-2))
    refused("outside of the plate of the data", x, shared=True)


def test_masked_data_have_no_gradient_penalty() -> None:
    seen, x = torch.tensor([True, False, True, True]), torch.randn(4)

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            with pyro.poutine.mask(mask=seen):
                pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", Law(torch.ones(len(x)), h_dim=0))

    with pytest.raises(ValueError, match=r"gradient penalty of RAE takes.*site 'x' is masked"):
        RAE().loss(model, guide, x)
    assert RAE(regularizer="none").loss(model, guide, x).isfinite()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: RAE(regularizer="spectral"), "one of gradient, l2, none, got 'spectral'"),
        (lambda: RAE(code_weight=-1.0), "weights of RAE must not be negative"),
        (lambda: RAE(weight=-1.0), "weights of RAE must not be negative"),
        (lambda: setattr(RAE(), "kl_weight", 0.5), "has no weight of the KL term"),
    ],
)
def test_refused(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


# Priors that are fitted afterwards


def test_a_prior_follows_the_cross_entropy_as_it_does_the_elbo(float64: None) -> None:
    model = VAE(priors.LearnedNormal((2,)), Conditional((2,), Normal((5,)), NET))
    guide = Amortized(Conditional((5,), Normal((2,)), NET))
    x, found = torch.randn(6, 5), []
    for objective in (ELBO(3), CrossEntropy(3)):
        torch.manual_seed(1)
        loss = objective.differentiable_loss(model, guide, x)
        found.append(torch.autograd.grad(loss, list(model.prior.parameters())))
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b)

    with torch.no_grad():
        w = CrossEntropy().weights(model, guide, x)
    assert float(CrossEntropy().loss_of(w)) == pytest.approx(-float(w.prior.sum()))


# Runs

CASES = {
    "RAE": ["--posterior", "Delta", "--objective", "RAE"],
    "WAE": ["--posterior", "Implicit", "--objective", "WAE"],
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    r"""A trained run of each; tests write what commands write."""
    folder = tmp_path_factory.mktemp("runs")
    for name, options in CASES.items():
        train("digits", folder / name, [*SMALL, "--epochs", "3", *options], progress=False)
    return {name: folder / name for name in CASES}


@pytest.mark.parametrize("name", CASES)
def test_training_tells_of_no_bound(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    arguments = ["train", "digits", "--out", str(out), *SMALL, "--epochs", "1", *CASES[name]]
    assert main(arguments) == 0
    told = capsys.readouterr()
    assert "elbo" not in (told.out + told.err).lower() and "nan" not in told.err
    assert "validation reconstruction" in told.err
    assert f"nats per datum at epoch 1. Next: ppl-vae report {out}" in told.out
    (row,) = Run(out).history
    assert not any("elbo" in k or "kl" in k.removeprefix("kl_weight") for k in row)
    assert all(math.isfinite(value) for value in row.values())


@pytest.mark.parametrize("name", CASES)
def test_it_draws_encodes_and_reconstructs(
    name: str, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for command in ("sample", "encode", "reconstruct"):
        assert main([command, str(runs[name])]) == 0
    with np.load(runs[name] / "codes-test.npz") as codes:
        spread = codes["z_scale"]
        assert np.isfinite(codes["z"]).all() and codes["z"].shape == codes["z_mean"].shape
        assert not spread.any() if name == "RAE" else spread.all()


@pytest.mark.parametrize("name", CASES)
def test_the_report_says_that_there_is_no_density(
    name: str, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(runs[name])]) == 0
    page = (runs[name] / "report.html").read_text()
    assert "has no density" in page and "not evaluated" not in page
    figures = {"learning_curves", "reconstructions", "samples", "latent_space", "traversal"}
    assert figures <= {path.stem for path in (runs[name] / "figures").glob("*.png")}


@pytest.mark.parametrize("name", CASES)
def test_there_is_no_evidence(
    name: str, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(runs[name])]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "has no density" in error and "--method ais" in error
    with pytest.raises(ValueError, match="has no density"):
        load(runs[name]).log_evidence()

    assert main(["compare", *map(str, runs.values())]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "no importance weighting to be ranked by" in error
    assert "ppl-vae evaluate" not in error


@pytest.mark.parametrize("name", CASES)
def test_a_prior_is_fitted_to_its_codes(name: str, runs: dict[str, Path], tmp_path: Path) -> None:
    options = ["--prior", "GaussianMixture", "--prior.components", "4", "--epochs", "6"]
    options += ["--optimizer", "Adam", "--optimizer.lr", "0.05"]
    fitted = fit_prior(runs[name], tmp_path / "new", options, progress=False)
    history = fitted.history

    assert history[-1]["validation_loss"] < history[0]["validation_loss"]
    kept = {row["validation_reconstruction"] for row in history}
    assert len(kept) == 1 or name == "WAE"  # whose guide has noise
    before, after = (load(folder).guide.state_dict() for folder in (runs[name], fitted.dir))
    assert all(before[key].equal(after[key]) for key in before)
    assert fitted.unscored and fitted.sample(3)[0].shape == (3, 1, 8, 8)
    with pytest.raises(ValueError, match="has no density"):
        fitted.evaluate(particles=5)


def test_an_interrupted_fit_of_a_prior_is_resumed(runs: dict[str, Path], tmp_path: Path) -> None:
    options = ["--prior", "GaussianMixture", "--epochs"]
    parts, whole = (
        fit_prior(runs["RAE"], tmp_path / n, [*options, n], progress=False) for n in ("1", "2")
    )
    config = parts.dir / "config.yaml"
    config.write_text(config.read_text().replace("epochs: 1", "epochs: 2"))
    Run(parts.dir).resume(progress=False)
    one, other = (load(run.dir, weights="last").model.state_dict() for run in (parts, whole))
    assert all(one[name].equal(other[name]) for name in one)


@pytest.mark.parametrize("regularizer", ["gradient", "l2"])
def test_a_resumed_training_equals_an_uninterrupted_one(
    tmp_path: Path,
    stopping: Callable[[int], None],
    regularizer: str,
) -> None:
    options = [*SMALL, "--epochs", "3", *CASES["RAE"], "--objective.regularizer", regularizer]
    assert_resumes(tmp_path, stopping, options)
