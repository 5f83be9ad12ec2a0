r"""Laws of the auto-encoder with a learned similarity."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

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
from torch.nn.functional import silu, softplus

from ppl_vae import families, priors
from ppl_vae.conditional import Conditional
from ppl_vae.families import Normal
from ppl_vae.folder.checkpoint import read
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE, Linear
from ppl_vae.networks import conv, mlp
from ppl_vae.objectives import VAEGAN
from ppl_vae.objectives.means import means_of, prior_laws
from ppl_vae.priors import StandardNormal
from ppl_vae.run import Run, train
from ppl_vae.svi import SVI
from ppl_vae.weights import Arguments

__all__ = ["stopping"]  # a fixture

NET = mlp([8])
adam = partial(torch.optim.Adam, lr=1e-2)
small = partial(VAEGAN, hidden=[6, 4])


def programs(
    likelihood: families.Family | None = None, prior: priors.Prior | None = None
) -> tuple[VAE, Amortized, Tensor]:
    likelihood = likelihood or Normal((5,), scale=0.7)
    model = VAE(prior or StandardNormal((2,)), Conditional((2,), likelihood, NET))
    return model, Amortized(Conditional((5,), Normal((2,)), NET)), torch.randn(6, 5)


def players(
    objective: VAEGAN, model: Any, guide: Any, x: Tensor, **options: Any
) -> tuple[SVI, dict[str, Any]]:
    svi = SVI(model, guide, adam, objective, **options)
    svi.prepare(x)
    return svi, {player.name: player for player in svi.players}


# By hand


def by_hand(model: Any, guide: Any, objective: VAEGAN, x: Tensor) -> dict[str, Tensor]:
    r"""The losses of a perceptron with one hidden layer, in nats per datum, from one seed."""
    unit = x.square().mean().sqrt()
    low: Any = objective.discriminator.low[0]
    top: Any = objective.discriminator.high.head

    def features(t: Tensor) -> Tensor:
        return silu((t / unit).asinh() @ low.weight.mT + low.bias)

    def logit(t: Tensor) -> Tensor:
        return (features(t) @ top.weight.mT + top.bias).squeeze(1)

    q = guide.posterior(x)
    made = model.likelihood(q.rsample()).mean
    drawn = model.likelihood(model.prior().expand([len(x)]).rsample()).mean
    loc, scale = q.base_dist.loc, q.base_dist.scale
    kl = (scale.square() + loc.square() - 1 - 2 * scale.log()).sum(1) / 2
    similarity = (features(x) - features(made)).square().sum(1) / (2 * 0.3**2)
    fakes = softplus(logit(made)) + softplus(logit(drawn))
    losses = {
        "guide": kl + similarity,
        "model": kl + 1.7 * similarity - fakes,
        "discriminator": softplus(-logit(x)) + fakes,
    }
    return {name: loss.mean() for name, loss in losses.items()}


@pytest.mark.parametrize("name", ["guide", "model", "discriminator"])
def test_by_hand(float64: None, name: str) -> None:
    r"""The loss of each player and its gradient, of affine networks and three hidden units."""
    affine = mlp([])
    model = VAE(StandardNormal((2,)), Conditional((2,), Normal((5,), scale=0.7), affine))
    guide = Amortized(Conditional((5,), Normal((2,)), affine))
    x, objective = torch.randn(6, 5), VAEGAN(1.7, 0.3, hidden=[3])
    _, named = players(objective, model, guide, x)
    torch.manual_seed(1)
    out = named[name].gradient(x)
    torch.manual_seed(1)
    loss = by_hand(model, guide, objective, x)[name]

    torch.testing.assert_close(out["loss"], loss.detach(), rtol=1e-10, atol=0)
    wanted = torch.autograd.grad(loss, named[name].parameters)
    for a, b in zip(out["gradients"], wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_each_player_moves_its_own() -> None:
    model, guide, x = programs()
    objective = small()
    _, named = players(objective, model, guide, x)
    modules = {"guide": guide, "model": model, "discriminator": objective}

    for name, player in named.items():
        before = {k: [p.detach().clone() for p in m.parameters()] for k, m in modules.items()}
        player.update(player.gradient(x)["gradients"])
        for k, module in modules.items():
            moved = [not a.equal(b) for a, b in zip(before[k], module.parameters(), strict=True)]
            assert all(moved) if k == name else not any(moved)


def test_the_discriminator_learns_while_programs_rest() -> None:
    r"""From about log 8, where it knows nothing, to where it tells most data right."""
    model, guide, x = programs()
    _, named = players(VAEGAN(hidden=[32]), model, guide, x + 2)
    player, outs = named["discriminator"], []
    for _ in range(150):
        outs.append(player.gradient(x + 2))
        player.update(outs[-1]["gradients"])

    losses = [float(out["loss"]) for out in outs]
    assert losses[0] == pytest.approx(3 * math.log(2), abs=0.4) and losses[-1] < 0.5 * losses[0]
    assert all(0 <= float(out["metrics"]["accuracy"]) <= 1 for out in outs)
    assert float(outs[-1]["metrics"]["accuracy"]) > 0.9


def test_what_it_tells() -> None:
    r"""The ELBO is the true one; the discriminator's numbers are under its name."""
    model, guide, x = programs()
    svi = SVI(model, guide, adam, small())
    svi.step(x)
    others = {"model_loss", "discriminator_loss", "discriminator_accuracy"}
    assert set(svi.metrics) == {"elbo", "reconstruction", "kl", "similarity", *others}
    told = svi.metrics
    assert float(told["elbo"]) == pytest.approx(float(told["reconstruction"] - told["kl"]))
    assert float(told["similarity"]) < 0


def test_a_learned_prior_follows_the_divergence(float64: None) -> None:
    r"""The divergence alone moves what the prior has, whatever the discriminator sees."""
    model, guide, x = programs(prior=priors.LearnedNormal((2,)))
    objective = small()
    objective.loss(model, guide, x)  # sizes the discriminator

    own = list(model.prior.parameters())
    loss = objective.generate(model, guide, x).loss
    kl = torch.distributions.kl_divergence(
        guide.posterior(x).base_dist, model.prior().expand([6]).base_dist
    ).sum()
    found, wanted = (torch.autograd.grad(t, own) for t in (loss, kl))
    for a, b in zip(found, wanted, strict=True):
        torch.testing.assert_close(a, b)
        assert a.any()


# The units of the data


def test_units_are_those_of_the_first_batch(float64: None) -> None:
    r"""A row is seen alike in any batch; another training has units of its own."""
    _, _, x = programs()
    objective = small()
    discriminator = objective.discriminator
    whole = discriminator({"x": x})[1]
    assert float(discriminator.units) == pytest.approx(float(x.square().mean().sqrt()))
    before = discriminator.units.clone()
    for rows in (x[:1], 100 * x, torch.zeros(3, 5)):
        assert discriminator({"x": rows})[1].isfinite().all()
    assert discriminator.units.equal(before)
    torch.testing.assert_close(discriminator({"x": x[:1]})[1], whole[:1])

    other = small()
    other.discriminator({"x": 7 * x})
    assert not other.discriminator.units.equal(before)
    other.load_state_dict(objective.state_dict())
    assert other.discriminator({"x": x})[1].equal(whole)


def test_each_site_has_a_unit_and_zeros_have_one() -> None:
    discriminator = small().discriminator
    discriminator({"x": torch.full((4, 2), 3.0), "y": torch.zeros(4), "z": torch.full((4,), -2.0)})
    assert discriminator.units.tolist() == [3.0, 1.0, 2.0]


def test_units_are_set_before_the_first_step() -> None:
    r"""Finding the parameters looks at the first batch, without gradients."""
    model, guide, x = programs()
    objective = small()
    svi, _ = players(objective, model, guide, x, compile="fx")
    before = objective.discriminator.units.clone()
    assert float(before) == pytest.approx(float(x.square().mean().sqrt()))
    for _ in range(3):
        svi.step(3 * x)
    assert (svi.backend, svi.reason) == ("fx", None)
    assert objective.discriminator.units.equal(before)
    assert "discriminator.units" in objective.state_dict()


# How it is run


def hierarchical() -> tuple[Any, Any, Tensor]:
    return PROGRAMS["hierarchical"]()


def convolutional() -> tuple[Any, Any, Tensor]:
    model = VAE(StandardNormal((2,)), Conditional((2,), families.Bernoulli((1, 8, 8)), NET))
    guide = Amortized(Conditional((1, 8, 8), Normal((2,)), NET))
    return model, guide, torch.rand(6, 1, 8, 8).round()


CASES: dict[str, tuple[Callable[[], Any], Callable[[], VAEGAN]]] = {
    "one site": (programs, small),
    "upper layer": (programs, partial(small, layer=2)),
    "two sites": (hierarchical, small),
    "given features": (
        convolutional,
        lambda: VAEGAN(hidden=[], features=nn.Sequential(conv()((1, 8, 8), (9,)), nn.SiLU())),
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_replayed_it_is_the_same_to_the_bit(name: str) -> None:
    assert_replayed(*CASES[name], adam)


@pytest.mark.parametrize("name", CASES)
def test_one_datum_will_do_and_evaluation_changes_nothing(name: str) -> None:
    make, objective = CASES[name]
    model, guide, x = make()
    svi = SVI(model, guide, adam, objective())
    assert svi.step(x[:1]).isfinite()
    before = [p.detach().clone() for p in svi.parameters.values()]
    assert svi.evaluate_loss(x).isfinite()
    assert all(a.equal(b) for a, b in zip(before, svi.parameters.values(), strict=True))


def test_a_minibatch_is_scaled_up(float64: None) -> None:
    def model(x: Tensor | None = None, size: int = 4, *, n: int = 4) -> None:
        with pyro.plate("data", size, subsample=torch.arange(n) if x is None else x):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)

    def guide(x: Tensor, size: int = 4) -> None:
        with pyro.plate("data", size, subsample=x):
            pyro.sample("z", dist.Normal(x, 1.0).to_event(1))

    x, objective = torch.randn(4, 2), small()
    for player in objective.players():
        found = []
        for size in (4, 20):
            torch.manual_seed(1)
            player.estimate(model, guide, x, size)  # sizes what is lazy
            torch.manual_seed(1)
            found.append(player.estimate(model, guide, x, size))
        part, whole = found
        assert (part.size, whole.size) == (4, 20)
        assert float((whole.loss / part.loss).detach()) == pytest.approx(5.0)


def test_missing_entries_are_missing_in_what_is_made() -> None:
    model, guide, x = programs(families.Masked((5,), Normal))
    guide = Amortized(Conditional((5,), Normal((2,)), NET, missing=True))
    x[0, :3] = x[2, 1] = math.nan
    objective = small()
    weights, seen, made = objective._drawn(model, guide, x)
    drawn = objective._imagined(model, Arguments((x,), {}), weights)
    for part in (seen["x"], made["x"], drawn["x"]):
        assert part.isfinite().all() and not part[x.isnan()].any() and part[~x.isnan()].all()
    assert SVI(model, guide, adam, objective).step(x).isfinite()


def test_draws_of_the_prior_keep_what_is_given(float64: None) -> None:
    r"""Exposures stay those of the batch; draws are held fixed, so no gradient moves the prior."""
    model, _, _ = programs(families.Poisson((5,)), priors.LearnedNormal((2,)))
    batch = {"x": torch.ones(4, 5), "exposure": torch.tensor([1.0, 10.0, 1.0, 10.0])}
    laws = prior_laws("VAEGAN", model, Arguments((), batch), 4, ["x"])
    torch.manual_seed(1)
    mean = means_of("VAEGAN", prior_laws("VAEGAN", model, Arguments((), batch), 4, ["x"]))["x"]
    torch.manual_seed(1)
    z = model.prior().expand([4]).rsample()
    torch.testing.assert_close(mean, model.likelihood(z, exposure=batch["exposure"]).mean)
    assert laws["x"].batch_shape == (4,)
    assert all(g.any() for g in torch.autograd.grad(mean.sum(), [*model.likelihood.parameters()]))
    own = list(model.prior.parameters())
    found = torch.autograd.grad(mean.sum(), own, allow_unused=True)
    assert own and all(g is None for g in found)


# What is refused


def test_pyro_is_refused() -> None:
    model, guide, x = programs()
    svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 1e-2}), VAEGAN())
    sentence = r"VAEGAN plays programs against a network of its own, .*; use ppl_vae\.svi\.SVI"
    with pytest.raises(ValueError, match=sentence):
        svi.step(x)
    with pytest.raises(ValueError, match=sentence):
        VAEGAN()(model, guide)(x)
    with pytest.raises(ValueError, match=sentence):
        VAEGAN().loss_and_grads(model, guide, x)


def test_an_optimizer_for_all_is_refused() -> None:
    model, guide, x = programs()
    optimizer = torch.optim.Adam([*model.parameters(), *guide.parameters()])
    with pytest.raises(ValueError, match="VAEGAN has 3 players with an optimizer each"):
        SVI(model, guide, optimizer, VAEGAN()).step(x)


def plain(observed: Mapping[str, Any] | None = None, **options: Any) -> tuple[Any, Any]:
    r"""A model by hand: ``named`` takes ``n``, ``site`` is the name of its data.

    Of the likelihood alone, ``seen`` is the mask, by ``pyro.poutine.mask`` or that of its law.
    """
    site, handlers = options.get("site", "x"), options.get("handlers", [])

    def draw(x: Tensor | None, n: int) -> None:
        with pyro.plate("data", n if x is None else len(x), dim=-1):
            for handler in handlers:
                handler.__enter__()
            z = pyro.sample("z", dist.Normal(torch.zeros(()), 1.0))
            if options.get("inner"):
                with pyro.plate("sensors", 2, dim=-2):
                    pyro.sample(site, dist.Normal(z, 1.0), obs=x)
            elif options.get("law"):
                pyro.sample(site, dist.Normal(z, 1.0).mask(options["seen"]), obs=x)
            else:
                with pyro.poutine.mask(mask=options.get("seen", True)):
                    pyro.sample(site, dist.Normal(z, 1.0), obs=x)
            for handler in reversed(handlers):
                handler.__exit__(None, None, None)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            for handler in handlers:
                handler.__enter__()
            pyro.sample("z", dist.Normal(x, 1.0))
            for handler in reversed(handlers):
                handler.__exit__(None, None, None)

    def with_n(x: Tensor | None = None, *, n: int = 1) -> None:
        draw(x, n)

    def without(x: Tensor) -> None:
        draw(x, len(x))

    return (with_n if options.get("n", True) else without), guide


SEEN = torch.tensor([True, False, True, True])
MASK = [pyro.poutine.mask(mask=SEEN)]
REFUSED: dict[str, tuple[Callable[[], tuple[Any, Any]], str]] = {
    "no n": (partial(plain, n=False), r"which takes no n, .* as in model\(x=None, \*, n=1\)"),
    "another name": (partial(plain, site="obs"), r"observes site 'obs' all the same; .*obs=None"),
    "inner plate": (partial(plain, inner=True), r"batch of site 'x' has shape \(2, 4\)"),
    "mask": (partial(plain, handlers=MASK), "is masked, or lies in a plate within"),
    "masked data": (partial(plain, seen=SEEN), "observed site 'x' is masked; leave masked data"),
    "masked law": (partial(plain, seen=SEEN, law=True), "observed site 'x' is masked; leave mas"),
    "all masked": (partial(plain, seen=False), "observed site 'x' is masked; leave masked data"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_programs_that_are_refused(name: str) -> None:
    make, words = REFUSED[name]
    model, guide = make()
    x = torch.randn(4)
    with pytest.raises(ValueError, match=words):
        small().check(model, guide, x)


def test_a_mask_of_nothing_will_do() -> None:
    for options in ({"seen": True}, {"seen": SEEN | True}, {"seen": SEEN | True, "law": True}):
        model, guide = plain(**options)
        small().check(model, guide, torch.randn(4))


@pytest.mark.parametrize(
    ("likelihood", "posterior", "words"),
    [
        ("Normal", "Delta", "has no density"),
        ("Normal", "Implicit", "has no density"),
        ("Categorical", "Normal", "VAEGAN needs the mean of the likelihood, and Categorical"),
        ("LogisticNormal", "Normal", "VAEGAN needs the mean of the likelihood"),
    ],
)
def test_parts_that_are_refused(likelihood: str, posterior: str, words: str) -> None:
    family = getattr(families, likelihood)((5,))
    model, _, _ = programs(family)
    x = family(torch.randn(6, *family.param_shape)).sample()
    guide = Amortized(Conditional((5,), getattr(families, posterior)((2,)), NET))
    with pytest.raises(ValueError, match=words):
        VAEGAN().loss(model, guide, x)


def test_discrete_codes_are_refused() -> None:
    model, guide, x = PROGRAMS["bernoulli latent"]()
    with pytest.raises(ValueError, match="VAEGAN follows gradients through draws"):
        VAEGAN().loss(model, guide, x)


def test_features_are_of_one_site() -> None:
    def model(x: Tensor | None = None, y: Tensor | None = None, *, n: int = 1) -> None:
        with pyro.plate("data", n if x is None else len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z, 1.0).to_event(1), obs=x)
            pyro.sample("y", dist.Normal(z.sum(-1), 1.0), obs=y)

    def guide(x: Tensor, y: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(x, 1.0).to_event(1))

    x, y = torch.randn(4, 2), torch.randn(4)
    with pytest.raises(ValueError, match=r"are of one site, and \['x', 'y'\] are observed"):
        VAEGAN(features=nn.Linear(2, 3)).loss(model, guide, x=x, y=y)
    objective = small()
    objective.loss(model, guide, x=x, y=y)
    assert objective.discriminator.low[0].in_features == 3
    assert objective.generate(model, guide, x=x, y=y).loss.isfinite()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: VAEGAN(gamma=-1.0), "a gamma that is not negative"),
        (lambda: VAEGAN(scale=0.0), "a positive scale"),
        (lambda: VAEGAN(hidden=[]), "hidden layers of positive sizes"),
        (lambda: VAEGAN(hidden=[4, 0]), "hidden layers of positive sizes"),
        (lambda: VAEGAN(hidden=[4], layer=2), r"hidden=\[4\] and layer=2"),
        (lambda: setattr(VAEGAN(), "kl_weight", 0.5), "has no weight of the KL term"),
    ],
)
def test_refused(make: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


# Runs


def test_the_seed_of_a_training_draws_the_discriminator(tmp_path: Path) -> None:
    r"""Whatever was drawn before: judging a run before it begins draws no network of it."""
    found = []
    for run, seed in (("a", "0"), ("b", "1"), ("c", "0")):
        options = [*SMALL, "--epochs", "1", "--batch_size", "1297", "--seed", seed]
        options += ["--objective", "VAEGAN", "--objective.hidden", "[2]", "--optimizer", "SGD"]
        torch.rand(int(found != []))
        train("digits", tmp_path / run, [*options, "--optimizer.lr", "0"], progress=False)
        tensors, _ = read(tmp_path / run / "checkpoints" / "last.safetensors")
        found.append(tensors["objective.discriminator.low.0.weight"])
    assert found[0].equal(found[2]) and not found[0].equal(found[1])


@pytest.mark.slow
def test_a_resumed_training_equals_an_uninterrupted_one(
    tmp_path: Path,
    stopping: Callable[[int], None],
) -> None:
    r"""The discriminator and the optimizers of all players are in the checkpoint."""
    options = [*SMALL, "--epochs", "3", "--objective", "VAEGAN", "--objective.hidden", "[8,4]"]
    whole = assert_resumes(tmp_path, stopping, options)

    tensors, rest = read(whole / "checkpoints" / "last.safetensors")
    assert {"guide", "model", "discriminator"} == set(rest["players"])
    assert tensors["objective.discriminator.low.0.weight"].shape == (8, 64)
    assert tensors["objective.discriminator.units"].shape == (1,)
    row = Run(whole).history[-1]
    assert row["criterion"] == 3 and 0 <= row["train_discriminator_accuracy"] <= 1


def test_the_exact_posterior_of_a_linear_model_will_do() -> None:
    r"""A guide whose parameters are the model's has none of its own."""
    model = Linear(5, 2)
    with pytest.raises(ValueError, match="Player 'guide' of VAEGAN has no parameters of its own"):
        SVI(model, Amortized(lambda x: model.posterior(x)), adam, VAEGAN()).step(
            model(n=4).detach()
        )
