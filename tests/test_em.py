r"""Laws of Monte Carlo EM, and of players that take turns."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pyro
import pytest
import torch
from program_cases import PROGRAMS
from staging_cases import compiler
from torch import Tensor

from ppl_vae.conditional import Conditional
from ppl_vae.families import FullRankNormal
from ppl_vae.guides import Amortized
from ppl_vae.models import Linear
from ppl_vae.networks import mlp
from ppl_vae.objectives import ELBO, IWAE, DReG, Estimate, MonteCarloEM, Objective, Role
from ppl_vae.steps import FusedSteps, GradientSteps, GraphedSteps
from ppl_vae.svi import SVI

adam = partial(torch.optim.Adam, lr=1e-2)
NAME = "normal, bernoulli"


def moved(svi: SVI, step: Callable[[], Any]) -> set[str]:
    r"""Whose parameters a step changes."""
    before = {k: p.detach().clone() for k, p in svi.parameters.items()}
    step()
    return {k.partition(".")[0] for k, p in svi.parameters.items() if not p.equal(before[k])}


# Turns


@pytest.mark.parametrize("way", ["off", "fx"])
def test_turns(way: str) -> None:
    r"""The guide moves alone, then the model alone; each step tells numbers of the same names."""
    model, guide, x = PROGRAMS[NAME]()
    svi = SVI(model, guide, adam, MonteCarloEM(3, guide_steps=3, model_steps=2), compile=way)
    svi.prepare(x)
    names = []

    for turn in 2 * (3 * ["guide"] + 2 * ["model"]):
        assert moved(svi, lambda: svi.step(x)) == {turn}
        names.append([*svi.metrics])
    assert svi.backend == way and svi.reason is None
    assert all(n == ["elbo", "reconstruction", "kl", "ess", "bound"] for n in names)
    steps = [player.optimizer.state_dict()["state"][0]["step"] for player in svi.players]
    assert steps == [6.0, 4.0]


@pytest.mark.parametrize("name", [NAME, "bernoulli latent", "vamp"])
def test_turns_to_the_bit(name: str) -> None:
    r"""Eagerly, replayed, and several steps at once: the same numbers."""
    found = []

    for way, several in (("off", False), ("fx", False), ("off", True), ("fx", True)):
        torch.manual_seed(0)
        model, guide, x = PROGRAMS[name]()
        rows = torch.arange(len(x)).expand(9, -1)
        svi = SVI(model, guide, adam, MonteCarloEM(2, guide_steps=2), compile=way)
        feed = lambda i, x=x: {"x": x[i]}  # noqa: E731
        torch.manual_seed(1)
        losses = svi.run(feed, rows)["loss"] if several else [svi.step(x=x) for _ in rows]
        found.append(([*losses], [p.detach().clone() for p in svi.parameters.values()]))

    for other in found[1:]:
        torch.testing.assert_close(other, found[0], rtol=0, atol=0)


@compiler
@pytest.mark.slow
def test_turns_compiled() -> None:
    found = []

    for way in ("off", "inductor"):
        torch.manual_seed(0)
        model, guide, x = PROGRAMS[NAME]()
        svi = SVI(model, guide, adam, MonteCarloEM(2, guide_steps=2), compile=way)
        torch.manual_seed(1)
        losses = [float(svi.step(x)) for _ in range(9)]
        found.append((losses, [p.detach().clone() for p in svi.parameters.values()]))
        assert isinstance(svi._ways[id(None)][1], GradientSteps)

    assert svi.backend == "inductor" and svi.reason is None
    torch.testing.assert_close(found[1], found[0], rtol=1e-4, atol=1e-5)


def test_one_graph_of_all_players_is_no_way_of_turns() -> None:
    taken = []

    for objective in (ELBO(), MonteCarloEM()):
        model, guide, x = PROGRAMS[NAME]()
        svi = SVI(model, guide, adam, objective)
        svi.prepare(x)
        taken.append(FusedSteps.takes(svi._setting(None)))
        assert not GraphedSteps.takes(svi._setting(None))  # the parameters are on a CPU
    assert taken == [True, False]


class Counted(Objective):
    r"""One player that always moves, before or after one that moves at every third step."""

    def __init__(self, first: bool) -> None:
        super().__init__()
        self.first = first
        self.eager = "it counts its calls"
        self.calls = {"always": 0, "third": 0}

    def players(self) -> list[Role]:
        def of(name: str) -> Callable[..., Estimate]:
            def run(*args: Any, **kwargs: Any) -> Estimate:
                self.calls[name] += 1
                return self.estimate(*args, **kwargs)

            return run

        always = Role("always", ("model",), of("always"))
        third = Role("third", ("guide",), of("third"), lambda done: done % 3 == 1)
        return [always, third] if self.first else [third, always]

    def loss_of(self, weights: Any) -> Tensor:
        loss: Tensor = -weights.scale * weights.log_weight.sum() / self.particles
        return loss


@pytest.mark.filterwarnings("ignore:Running eagerly:UserWarning")
@pytest.mark.parametrize("first", [True, False])
def test_who_waits_costs_nothing(first: bool) -> None:
    r"""No gradient, no update; names stay the same where both move and where one does."""
    model, guide, x = PROGRAMS[NAME]()
    objective = Counted(first)
    svi = SVI(model, guide, adam, objective, compile="fx")
    rows = svi.run(lambda i: {"x": x[i]}, torch.arange(len(x)).expand(6, -1))

    assert objective.calls == {"always": 6, "third": 2}
    assert {*rows} == {"loss", "elbo", "reconstruction", "kl"}
    assert rows["loss"].shape == (6,)


def test_turns_go_on_where_a_state_was_taken() -> None:
    r"""In the middle of a turn, before the model had one: the clock is a buffer."""

    def parts(svi: SVI) -> list[Any]:
        optimizers = [player.optimizer for player in svi.players]
        return [svi.model, svi.guide, svi.objective, *optimizers]

    found = []
    for stop in (None, 2):
        torch.manual_seed(0)
        model, guide, x = PROGRAMS[NAME]()
        svi = SVI(model, guide, adam, MonteCarloEM(2, guide_steps=3, model_steps=2))
        torch.manual_seed(1)

        for step in range(9):
            if step == stop:
                states = copy.deepcopy([part.state_dict() for part in parts(svi)])
                with torch.random.fork_rng():
                    model, guide, _ = PROGRAMS[NAME]()
                svi = SVI(model, guide, adam, MonteCarloEM(2, guide_steps=3, model_steps=2))
                svi.prepare(x)
                for part, state in zip(parts(svi), states, strict=True):
                    part.load_state_dict(state)
            svi.step(x)
        found.append([p.detach() for p in svi.parameters.values()])

    assert all(map(torch.equal, *found))


def test_a_step_of_nobody_is_refused() -> None:
    class Idle(Counted):
        def players(self) -> list[Role]:
            roles = super().players()
            return [role._replace(turn=lambda done: done != 2) for role in roles]

    model, guide, x = PROGRAMS[NAME]()
    svi = SVI(model, guide, adam, Idle(True), compile="off")
    svi.step(x)
    svi.step(x)
    with pytest.raises(ValueError, match=r"No player of Idle moves at step 3; let one"):
        svi.step(x)


# Monte Carlo EM


@pytest.mark.parametrize(("K", "vectorized"), [(1, True), (3, True), (3, False)])
@pytest.mark.parametrize("name", [NAME, "bernoulli latent", "hierarchical", "vamp"])
def test_steps_follow_known_gradients(float64: None, name: str, K: int, vectorized: bool) -> None:
    r"""The guide the ELBO's, the model that of IWAE, of the same draws; in turn or at once."""
    model, guide, x = PROGRAMS[name]()
    em = MonteCarloEM(K, vectorized=vectorized)
    e_step, m_step = (role.estimate for role in em.players())
    elbo, iwae = ELBO(K, vectorized=vectorized), IWAE(K, vectorized=vectorized)
    of_model, of_guide = set(model.parameters()), set(guide.parameters())
    own = {
        "guide": [p for p in guide.parameters() if p not in of_model],
        "model": [p for p in model.parameters() if p not in of_guide],
        "shared": [p for p in guide.parameters() if p in of_model],
    }

    def check(found: Callable[..., Estimate], exact: Objective, *whose: str) -> None:
        mine = [p for group in whose for p in own[group]]
        losses, gradients = [], []
        for estimate in (found, exact.estimate, iwae.estimate):
            torch.manual_seed(1)
            losses.append(estimate(model, guide, x).loss)
            gradients.append(torch.autograd.grad(losses[-1], mine) if mine else ())
        torch.testing.assert_close(losses[0], losses[2], rtol=1e-12, atol=0)
        torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-9, atol=1e-12)

    assert own["model"] and own["guide" if name != "vamp" else "shared"]
    check(e_step, elbo, "guide", "shared")
    check(m_step, iwae, "model")
    check(em.estimate, elbo, "guide")
    check(em.estimate, iwae, "model")


def test_what_is_shared_moves_in_the_e_step_alone() -> None:
    model, guide, x = PROGRAMS["vamp"]()
    svi = SVI(model, guide, adam, MonteCarloEM(guide_steps=1))
    svi.prepare(x)
    shared = {id(p) for p in guide.parameters()}
    assert {id(p) for p in svi.players[0].parameters} == shared
    assert not shared & {id(p) for p in svi.players[1].parameters}


@pytest.mark.parametrize("K", [1, 3])
def test_stock_svi_moves_both_at_each_step(K: int) -> None:
    model, guide, x = PROGRAMS[NAME]()
    svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), MonteCarloEM(K))

    for _ in range(2):
        before = [p.detach().clone() for m in (model, guide) for p in m.parameters()]
        assert math.isfinite(svi.step(x))
        after = [p for m in (model, guide) for p in m.parameters()]
        assert not any(map(torch.equal, before, after))


@pytest.mark.slow
def test_it_approaches_the_maximum_of_the_likelihood() -> None:
    r"""With guides of the exact family; from more than 4 nats per datum below, to 0.02."""
    x = torch.randn(50, 4) * torch.tensor([4.0, 2.0, 1.0, 0.7])
    best = Linear.maximum_likelihood(x, 2).log_evidence(x).mean()
    model = Linear(4, 2)
    guide = Amortized(Conditional((4,), FullRankNormal((2,)), mlp(hidden=[])))
    objective = MonteCarloEM(8, guide_steps=4, model_steps=4)
    svi = SVI(model, guide, partial(torch.optim.Adam, lr=2e-2), objective)
    assert model.log_evidence(x).mean() < best - 4

    for _ in range(700):
        svi.step(x)
    assert best - 0.02 < model.log_evidence(x).mean() <= best + 1e-5


def test_refusals() -> None:
    for wrong in ({"guide_steps": 0}, {"model_steps": 0}):
        with pytest.raises(ValueError, match=r"one step or more of the guide and of the model"):
            MonteCarloEM(**wrong)
    with pytest.raises(ValueError, match=r"MonteCarloEM has no weight of the KL term"):
        MonteCarloEM().kl_weight = 0.5
    with pytest.raises(ValueError, match=r"wake phase of DReG.*alpha=0, got 0\.5"):
        DReG(alpha=0.5, wake=True)
    model, guide, x = PROGRAMS["linear"]()
    with pytest.raises(ValueError, match=r"'guide' of MonteCarloEM has no parameters of its own"):
        SVI(model, guide, adam, MonteCarloEM()).step(x)
