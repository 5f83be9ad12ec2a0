r"""Laws of the training loop: one seed, one result, and the truth where it is known."""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pyro.infer
import pytest
import torch
from torch import Tensor, nn

from ppl_vae import families, priors
from ppl_vae.conditional import Conditional
from ppl_vae.data import Data, Split
from ppl_vae.device import pick_device
from ppl_vae.fit import Interrupted, Training, fit, judged
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE, Linear
from ppl_vae.networks import mlp
from ppl_vae.nonfinite import NonFiniteError
from ppl_vae.objectives import CUBO, ELBO, GECO, IWAE, WAE, Capacity, FreeBits, LinearWarmup
from ppl_vae.svi import SVI

adam = partial(torch.optim.Adam, lr=1e-2)
still = partial(torch.optim.SGD, lr=0.0)


def dataset(validation: int = 20, **options: Any) -> Data:
    r"""Grey pictures, binarized with a fresh draw of every minibatch."""
    x = torch.randint(0, 56, (70 + validation, 1, 2, 3), generator=torch.Generator().manual_seed(5))
    x = x + 40 * torch.arange(6).reshape(1, 2, 3)
    splits = {"train": Split({"x": x[:70].to(torch.uint8)})}

    if validation:
        splits["validation"] = Split({"x": x[70:].to(torch.uint8)})

    return Data("toy", lambda: splits, **{"binarization": "dynamic", **options})


def table(x: Tensor) -> Data:
    return Data("table", lambda: {"train": Split({"x": x})})


class Norm(nn.Sequential):
    r"""A network with running means and dropout, whose state a training must keep."""

    def __init__(self, in_shape: torch.Size, out_shape: torch.Size) -> None:
        width = out_shape.numel()
        super().__init__(
            nn.Flatten(),
            nn.Linear(in_shape.numel(), width),
            nn.BatchNorm1d(width),
            nn.Dropout(0.2),
            nn.Unflatten(-1, out_shape),
        )


def svi(objective: Any = None, optimizer: Any = adam, network: Any = Norm, seed: int = 3) -> SVI:
    torch.manual_seed(seed)
    likelihood = Conditional((2,), families.Bernoulli((1, 2, 3)), network)
    guide = Amortized(Conditional((1, 2, 3), families.Normal((2,)), network))
    return SVI(VAE(priors.StandardNormal((2,)), likelihood), guide, optimizer, objective)


def rows(history: list[dict[str, float]]) -> list[dict[str, float]]:
    r"""The history without its seconds."""
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def state(s: SVI) -> list[Tensor]:
    return [*s.model.state_dict().values(), *s.guide.state_dict().values()]


quiet = {"progress": False, "batch_size": 32}


# One seed, one result


def test_seed() -> None:
    r"""Bit by bit: history, parameters, running means; another seed is another training."""
    runs = []

    for seed, disturbance in ((1, 0), (1, 99), (2, 0)):
        s = svi()
        torch.manual_seed(disturbance)  # the global state has no say
        history = fit(s, dataset(), epochs=3, seed=seed, **quiet)
        runs.append((rows(history), state(s)))

    (a, sa), (b, sb), (c, _) = runs
    assert a == b and a != c
    assert all(x.equal(y) for x, y in zip(sa, sb, strict=True))


def test_global_state() -> None:
    s, before = svi(), torch.get_rng_state()
    training = Training(s, dataset(), 1, **quiet)
    assert torch.get_rng_state().equal(before)
    assert all(b == 0 for k, b in s.guide.state_dict().items() if k.endswith("tracked"))
    training.run()

    assert torch.get_rng_state().equal(before)
    assert s.model.training and all(m.training for m in s.guide.modules())


@pytest.mark.parametrize("stop", [1, 3, 5, 6])
def test_interrupted(stop: int) -> None:
    r"""A training that is asked to stop, and goes on later, is the uninterrupted one."""
    whole = svi()
    history = fit(whole, dataset(), epochs=3, warmup=2, **quiet)

    part = svi()
    training = Training(part, dataset(), 3, warmup=2, **quiet)
    run: Callable[..., dict[str, Tensor]] = part.run

    def stopping(*given: Any) -> dict[str, Tensor]:
        losses = run(*given)
        if part.steps == stop:
            training.stop = 15
        return losses

    part.run = stopping  # type: ignore[method-assign]
    with pytest.raises(Interrupted, match=r"signal 15") as caught:
        training.run()
    assert part.steps == stop and caught.value.signum == 15

    training.stop = None
    torch.manual_seed(77)
    training.run()

    assert rows(training.history) == rows(history)
    assert all(x.equal(y) for x, y in zip(state(part), state(whole), strict=True))


# The truth


GUIDES: dict[str, Callable[[Linear], Amortized]] = {
    "exact": lambda model: Amortized(model.posterior),
    "learned": lambda _: Amortized(
        Conditional((6,), families.FullRankNormal((2,)), mlp(hidden=[]))
    ),
}


@pytest.mark.parametrize("guide", GUIDES.values(), ids=GUIDES)
def test_maximum_likelihood(guide: Any) -> None:
    r"""A linear auto-encoder reaches the maximum of the likelihood of probabilistic PCA.

    Of a gap of more than a nat per datum, less than 0.005 is left. It cannot be negative.
    """
    truth = Linear(6, 2, scale=0.5)
    x = truth(n=300).detach()
    best = Linear.maximum_likelihood(x, 2).log_evidence(x).mean()
    model = Linear(6, 2)
    start = best - model.log_evidence(x).mean()
    s = SVI(model, guide(model), partial(torch.optim.Adam, lr=0.1), ELBO(particles=8))
    schedule = partial(torch.optim.lr_scheduler.ExponentialLR, gamma=0.99)
    history = fit(s, table(x), 400, batch_size=300, scheduler=schedule, progress=False)
    gap = best - model.log_evidence(x).mean()

    assert start > 1 and -1e-5 < gap < 0.005
    assert abs(history[-1]["train_elbo"] - best) < 0.01


def test_metrics() -> None:
    r"""With the exact guide and no rate, every column is known, short last batch and all."""
    model = Linear(5, 2)
    x = model(n=70).detach()
    s = SVI(model, Amortized(model.posterior), still)
    (row,) = fit(s, table(x), 1, **quiet)
    exact = float(model.log_evidence(x).mean().detach())

    assert row["train_elbo"] == pytest.approx(exact, rel=1e-5)
    assert row["train_loss"] == pytest.approx(-exact, rel=1e-5)
    assert row["train_reconstruction"] - row["train_kl"] == pytest.approx(exact, rel=1e-5)
    assert {k: row[k] for k in ("epoch", "step", "lr", "kl_weight")} == {
        "epoch": 1, "step": 3, "lr": 0.0, "kl_weight": 1.0,
    }  # fmt: skip
    assert row["seconds"] > 0 and not any(k.startswith("validation") for k in row)


def test_validation_has_its_own_noise() -> None:
    r"""One seed for all epochs: without steps, no difference; training draws afresh."""
    first, second = fit(svi(optimizer=still, network=mlp([4])), dataset(), epochs=2, **quiet)

    assert all(first[k] == second[k] for k in first if k.startswith("validation"))
    assert first["train_elbo"] != second["train_elbo"]


# Schedules


def test_warmup() -> None:
    r"""The weight rises over epochs; the ELBO that is told is the true one all the same."""
    s = svi(optimizer=still, network=mlp([4]))
    with torch.no_grad():
        s.guide.posterior.net[-2].bias[:2] += 2.0  # a KL to speak of
    plain = fit(svi_like(s), dataset(), epochs=4, **quiet)
    history = fit(s, dataset(), epochs=4, warmup=2, **quiet)

    assert [row["kl_weight"] for row in history] == [0.5, 1.0, 1.0, 1.0]
    assert [row["train_elbo"] for row in history] == [row["train_elbo"] for row in plain]
    assert history[0]["train_kl"] > 1
    # Three steps at the weights 0, 1/6 and 2/6, of 32, 32 and 6 rows.
    beta = (32 * 0 + 32 / 6 + 6 * 2 / 6) / 70
    weighted = history[0]["train_reconstruction"] - beta * history[0]["train_kl"]
    assert -history[0]["train_loss"] == pytest.approx(weighted, abs=0.5)
    assert -history[0]["train_loss"] > history[0]["train_elbo"] + 0.5
    assert history[-1]["train_loss"] == pytest.approx(-history[-1]["train_elbo"], rel=1e-5)


def svi_like(s: SVI) -> SVI:
    return SVI(s.model, s.guide, still)


def test_schedulers() -> None:
    step = partial(torch.optim.lr_scheduler.StepLR, step_size=1, gamma=0.5)
    history = fit(svi(), dataset(), epochs=3, scheduler=step, **quiet)
    assert [row["lr"] for row in history] == pytest.approx([1e-2, 5e-3, 2.5e-3])

    # It watches the validation loss, which never falls by as much as the threshold asks for.
    plateau = partial(
        torch.optim.lr_scheduler.ReduceLROnPlateau,
        factor=0.1,
        patience=1,
        threshold=1e9,
        threshold_mode="abs",
    )
    history = fit(svi(), dataset(), epochs=5, scheduler=plateau, **quiet)
    assert [row["lr"] for row in history] == pytest.approx([1e-2, 1e-2, 1e-2, 1e-3, 1e-3])


def test_plateau_watches_the_validation_elbo() -> None:
    r"""The rates are those of the scheduler by hand, on minus the validation ELBO."""
    plateau = partial(torch.optim.lr_scheduler.ReduceLROnPlateau, factor=0.5, patience=0)
    history = fit(svi(network=mlp([4])), dataset(), epochs=12, scheduler=plateau, **quiet)
    by_hand = torch.optim.SGD([torch.zeros(1)], lr=1e-2)
    scheduler, rates = plateau(by_hand), []

    for row in history:
        rates.append(by_hand.param_groups[0]["lr"])
        scheduler.step(-row["validation_elbo"])

    assert [row["lr"] for row in history] == rates and rates[3] == 1e-2


def test_patience() -> None:
    r"""Nothing improves without steps: the first epoch is the best, and patience runs out."""
    training = Training(svi(optimizer=still, network=mlp([4])), dataset(), 50, patience=3, **quiet)
    training.run()

    assert len(training.history) == 4 and training.best["epoch"] == 1
    assert training.out_of_patience


def test_best() -> None:
    seen = []
    training = Training(
        svi(), dataset(), 6, on_epoch=lambda t: seen.append((t.epoch, t.best["epoch"])), **quiet
    )
    training.run()
    values = [row["validation_elbo"] for row in training.history]

    assert [epoch for epoch, _ in seen] == [1, 2, 3, 4, 5, 6]
    assert all(values[best - 1] == max(values[:epoch]) for epoch, best in seen)
    assert training.best["validation_elbo"] == max(values)


def test_judged() -> None:
    assert judged({"train_elbo": -1.0, "validation_elbo": -2.0}) == -2.0
    assert judged({"train_loss": 1.0, "validation_loss": 2.0}) == -2.0
    assert judged({"train_loss": 1.0}) == -1.0
    with pytest.raises(ValueError, match=r"no loss"):
        judged({"epoch": 1.0})


# Objectives of Pyro


def test_pyro_objective() -> None:
    r"""It trains by its loss alone, with what Pyro itself allows, and is judged by it."""
    renyi = pyro.infer.RenyiELBO(num_particles=2, vectorize_particles=True)
    training = Training(svi(renyi, network=mlp([8])), dataset(), 12, patience=11, **quiet)
    with pytest.warns(UserWarning, match=r"RenyiELBO of Pyro adds to the gradients by itself"):
        training.run()
    losses = [row["validation_loss"] for row in training.history]

    assert losses[-1] < losses[0] and "train_elbo" not in training.history[0]
    assert training.best["validation_loss"] == min(losses)


def test_pyro_objective_takes_scaled_programs() -> None:
    r"""What log_weights refuses, and sends to PyroObjective, trains there."""
    s = svi(network=mlp([4]))
    scaled = pyro.poutine.scale(s.model, 0.5)

    with pytest.raises(ValueError, match=r"PyroObjective"):
        fit(SVI(scaled, s.guide, adam), dataset(), epochs=1, **quiet)

    from ppl_vae.objectives import PyroObjective

    objective = PyroObjective(pyro.infer.Trace_ELBO())
    assert fit(SVI(scaled, s.guide, adam, objective), dataset(), epochs=1, **quiet)


# Progress


def test_progress_in_lines(capsys: pytest.CaptureFixture[str]) -> None:
    fit(svi(), dataset(), epochs=3, batch_size=32)
    out, err = capsys.readouterr()
    line = r"epoch {}/3: train loss \d+\.\d\d, train elbo -\d+\.\d\d, validation elbo -\d+\.\d\d "
    line += r"nats per datum, [\d,]+ data/s, \d+ s left"

    assert not out
    way, first, last = err.strip().splitlines()  # the second came too soon to be told
    assert way == "steps: replayed from a captured graph"
    assert re.fullmatch(line.format(1), first) and re.fullmatch(line.format(3), last)


def test_progress_on_a_terminal(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "150")
    fit(svi(), dataset(), epochs=2, batch_size=32)
    out, err = capsys.readouterr()

    assert not out and "nats per datum" in err and "epoch 2" in err


def test_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    fit(svi(), dataset(), epochs=1, **quiet)
    assert capsys.readouterr() == ("", "")


def test_collapse_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    r"""A latent variable that its weight drives to the prior is told of, once."""
    fit(svi(ELBO(kl_weight=1000.0), network=mlp([4])), dataset(), epochs=30, batch_size=32)
    notes = [line for line in capsys.readouterr().err.splitlines() if line.startswith("note:")]
    assert len(notes) == 1 and "the posterior collapses to the prior" in notes[0]


def test_signal() -> None:
    r"""Each epoch tells how much of the gradient is signal, and nothing else changes."""
    plain, told = (
        fit(svi(network=mlp([4])), dataset(), epochs=2, signal=draws, **quiet) for draws in (0, 5)
    )
    signals = [{k: row.pop(k) for k in ("signal_model", "signal_guide")} for row in told]

    for row in (*plain, *told):
        del row["seconds"]
    assert plain == told
    assert all(ratio > 0 for ratios in signals for ratio in ratios.values())
    assert signals[0] != signals[1]


# Refusals


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "epochs": ({"epochs": 0}, r"epochs must be positive, got 0"),
    "batch size": ({"batch_size": 0}, r"batch_size must be positive, got 0"),
    "large batch": ({"batch_size": 71}, r"batch_size is 71, but the training set has only 70"),
    "warmup": ({"warmup": -1}, r"warmup must not be negative, got -1"),
    "long warmup": ({"warmup": 4}, r"takes 12 steps, but the training has only 9"),
    "patience": ({"patience": 0}, r"positive patience and a validation set; got patience=0"),
    "signal": ({"signal": 1}, r"takes two gradients or more, .*; got signal=1 and ELBO"),
    "Pyro's signal": (
        {"objective": pyro.infer.RenyiELBO(num_particles=2), "signal": 9},
        r"of an objective of this library; got signal=9 and PyroObjective",
    ),
    "plateau": (
        {"objective": CUBO(), "scheduler": torch.optim.lr_scheduler.ReduceLROnPlateau},
        r"CUBO has no number to wait on a plateau of",
    ),
    "no validation": (
        {"patience": 2, "data": dataset(validation=0)},
        r"a validation set; got patience=2 and \{'train': 70\}",
    ),
    "long schedule": (
        {"objective": ELBO(kl_weight=LinearWarmup(steps=10))},
        r"takes 10 steps, but the training has only 9",
    ),
    "two weights": (
        {"objective": ELBO(kl_weight=0.5), "warmup": 1},
        r"either warmup or a kl_weight of the objective, not both",
    ),
    "Pyro's warmup": (
        {"objective": pyro.infer.RenyiELBO(num_particles=2), "warmup": 1},
        r"no KL weight to warm up",
    ),
    "device": ({"device": "abacus"}, r"no device 'abacus'; take auto, cuda, mps or cpu"),
    "grey pixels": ({"data": dataset(binarization="none")}, r"'x' lie outside of the support"),
    "shape": (
        {"data": table(torch.zeros(70, 5))},
        r"expects conditions of shape \(\*, 1, 2, 3\), got \(32, 5\)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    options, sentence = REFUSED[name]
    options = {"epochs": 3, "data": dataset(), "objective": None, **quiet, **options}
    s = svi(options.pop("objective"), network=mlp([4]))
    before = [t.clone() for t in state(s)]

    with pytest.raises(ValueError, match=sentence):
        fit(s, **options)
    assert all(x.equal(y) for x, y in zip(state(s), before, strict=True)) and s.steps == 0


def test_every_row_is_looked_at() -> None:
    r"""One bad row, in the validation split, is found before the first step."""
    x = torch.ones(90, 1, 2, 3)
    x[-1, 0, 0, 0] = 0.5
    splits = {"train": Split({"x": x[:70]}), "validation": Split({"x": x[70:]})}
    s = svi(IWAE(particles=2), network=mlp([4]))

    with pytest.raises(ValueError, match=r"'x' lie outside of the support of Bernoulli"):
        fit(s, Data("bad", lambda: splits), 1, **quiet)
    assert s.steps == 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_device_absent() -> None:
    with pytest.raises(ValueError, match=r"'cuda' is not available here; take auto, or .*cpu"):
        pick_device("cuda")


def test_not_finite() -> None:
    r"""A training that diverges stops, with step and cause, at parameters that are finite."""
    s = svi(optimizer=partial(torch.optim.SGD, lr=1e20), network=mlp([4]))

    with pytest.raises(NonFiniteError, match=r"not finite at step [2-9].*Lower the learning rate"):
        fit(s, dataset(), 20, **quiet)
    assert 0 < s.steps < 10 and math.isfinite(float(s.metrics["elbo"]))


def test_a_second_fit_keeps_the_optimizer() -> None:
    s = svi()
    Training(s, dataset(), 1, **quiet).run()
    optimizer = s.optimizer
    Training(s, dataset(), 1, **quiet).run()
    assert s.optimizer is optimizer


# What epochs are judged by.


def linear() -> tuple[Any, Any, Data]:
    model = Linear(5, 2)
    x = model(n=60).detach()
    net = Conditional((5,), families.Normal((2,)), mlp([8]))
    return model, Amortized(net), Data.of(train=x, validation=x[:20])


@pytest.mark.parametrize(
    ("objective", "by"),
    [
        (ELBO(), "validation_elbo"),
        (IWAE(4), "validation_bound"),
        (WAE(), "validation_loss"),
        (GECO(-6.0), "epoch"),
        (Capacity(LinearWarmup(3, end=2.0)), "epoch"),
    ],
    ids=lambda o: type(o).__name__,
)
def test_epochs_are_judged_by_what_is_trained(objective: Any, by: str) -> None:
    model, guide, data = linear()
    training = Training(
        SVI(model, guide, adam, objective), data, epochs=6, batch_size=30, progress=False
    )
    training.run()
    sign = -1 if by.endswith("loss") else 1
    for row in training.history:
        assert judged(row) == sign * row[by]
    assert training.best == max(training.history, key=judged)
    assert objective.total == 60


def test_no_stopping_early_by_nothing() -> None:
    model, guide, data = linear()
    svi = SVI(model, guide, adam, GECO(-6.0))
    with pytest.raises(ValueError, match=r"GECO has no number to stop early by"):
        fit(svi, data, epochs=5, batch_size=30, patience=2, progress=False)


@pytest.mark.parametrize("objective", [WAE(), GECO(), FreeBits()], ids=lambda o: type(o).__name__)
def test_no_warm_up_of_a_weight_that_is_not_there(objective: Any) -> None:
    model, guide, data = linear()
    svi = SVI(model, guide, adam, objective)
    with pytest.raises(ValueError, match=r"has no weight of the KL term to warm up"):
        fit(svi, data, epochs=5, batch_size=30, warmup=2, progress=False)
    with pytest.raises(ValueError, match=r"has no weight of the KL term"):
        objective.kl_weight = 0.5
