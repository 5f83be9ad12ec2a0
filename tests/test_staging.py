r"""Laws of staging: a captured program does what the program does, to the bit."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from program_cases import PROGRAMS
from staging_cases import COVER, REST, adam, assert_bits, compiler
from torch import Tensor

from ppl_vae import staging
from ppl_vae.data import Data, digits
from ppl_vae.evaluation import log_evidence
from ppl_vae.fit import fit
from ppl_vae.objectives import Objective, Role
from ppl_vae.staging.inductor import has_compiler
from ppl_vae.svi import SVI


@pytest.mark.parametrize(("name", "objective"), COVER)
def test_replay_to_the_bit(name: str, objective: str) -> None:
    r"""20 steps of Adam, every third on a shorter batch."""
    assert_bits(name, objective)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "objective"), REST)
def test_replay_of_every_pair(name: str, objective: str) -> None:
    assert_bits(name, objective)


@pytest.mark.parametrize("options", [{"clip": 0.5}, {"precision": "bf16"}], ids=str)
def test_replay_with_options(options: dict[str, Any]) -> None:
    assert_bits("normal, bernoulli", "ELBO", **options)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "optimizer",
    [
        adam,
        partial(torch.optim.AdamW, lr=1e-2, weight_decay=0.1),
        partial(torch.optim.Adam, lr=1e-2, fused=False),
        partial(torch.optim.Adam, lr=1e-2, amsgrad=True),
        partial(torch.optim.SGD, lr=1e-2, momentum=0.9),
        partial(torch.optim.RMSprop, lr=1e-3),
    ],
    ids=["Adam", "AdamW", "loop", "amsgrad", "SGD", "RMSprop"],
)
def test_optimizers(optimizer: Any, dtype: torch.dtype) -> None:
    found = []
    torch.set_default_dtype(dtype)

    for backend in ("off", "fx"):
        torch.manual_seed(0)
        model, guide, x = PROGRAMS["normal, bernoulli"]()
        svi = SVI(model, guide, optimizer, compile=backend)
        losses = [float(svi.step(x)) for _ in range(5)]
        found.append((losses, [p.detach().clone() for p in svi.parameters.values()]))

    assert found[0][0] == found[1][0]
    assert all(a.equal(b) for a, b in zip(found[0][1], found[1][1], strict=True))


def test_several_steps_are_steps() -> None:
    r"""``run`` is ``step`` on each batch, with the batch made in the graph."""
    found = []
    data = (torch.rand(20, 1, 2, 3) * 4).to(torch.uint8)
    rows = torch.randint(20, (7, 4))

    def feed(index: Tensor) -> dict[str, Tensor]:
        p = data.index_select(0, index).float() / 4
        return {"x": (torch.rand(p.shape) < p).float()}

    for backend, together in (("off", False), ("off", True), ("fx", True)):
        torch.manual_seed(0)
        model, guide, _ = PROGRAMS["normal, bernoulli"]()
        svi = SVI(model, guide, adam, compile=backend)
        torch.manual_seed(1)
        if together:
            out = svi.run(feed, rows)
        else:
            parts = [{"loss": svi.step(**feed(r)), **svi.metrics} for r in rows]
            out = {k: torch.stack([part[k] for part in parts]) for k in parts[0]}
        found.append((out, [p.detach().clone() for p in svi.parameters.values()], svi.steps))

    for out, parameters, steps in found[1:]:
        assert steps == 7 and out.keys() == found[0][0].keys()
        assert all(out[k].equal(found[0][0][k]) for k in out)
        assert all(a.equal(b) for a, b in zip(parameters, found[0][1], strict=True))


def test_run_says_what_it_takes() -> None:
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    svi = SVI(model, guide, adam, compile="fx")
    svi.step(x)
    with pytest.raises(ValueError, match=r"must return the batch by name.*got Tensor"):
        svi.run(lambda i: x[i], torch.zeros(2, 3, dtype=torch.int64))
    for rows, got in (([[0]], "list"), (torch.zeros(0, 3), r"\(0, 3\)")):
        with pytest.raises(ValueError, match=rf"one row for each step, one at least; got {got}"):
            svi.run(lambda i: {"x": x[i]}, rows)


def test_draws_are_fresh() -> None:
    r"""Steps without learning differ by their noise alone, which follows the seed."""
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    svi = SVI(model, guide, partial(torch.optim.SGD, lr=0.0), compile="fx")
    torch.manual_seed(1)
    losses = [float(svi.step(x)) for _ in range(10)]
    torch.manual_seed(1)

    assert svi.reason is None and len(set(losses)) == 10
    assert [float(svi.step(x)) for _ in range(10)] == losses


# Players


class Apart(Objective):
    r"""Model and guide follow losses of their own."""

    def players(self) -> list[Role]:
        def twice(*args: Any, **kwargs: Any) -> Any:
            estimate = self.estimate(*args, **kwargs)
            return estimate._replace(loss=2 * estimate.loss)

        return [Role("learn", ("model",), self.estimate), Role("infer", ("guide",), twice)]

    def loss_of(self, weights: Any) -> Tensor:
        loss: Tensor = -weights.scale * weights.log_weight.sum() / self.particles
        return loss


@pytest.mark.parametrize(
    "backend", ["fx", pytest.param("inductor", marks=[compiler, pytest.mark.slow])]
)
def test_players(backend: str) -> None:
    r"""Each has its own parameters and optimizer."""
    found = []

    for way in ("off", backend):
        torch.manual_seed(0)
        model, guide, x = PROGRAMS["normal, bernoulli"]()
        svi = SVI(model, guide, adam, Apart(), compile=way)
        torch.manual_seed(1)
        losses = [float(svi.step(x)) for _ in range(4)]
        found.append((losses, [p.detach().clone() for p in svi.parameters.values()]))

    assert [player.name for player in svi.players] == ["learn", "infer"]
    assert [player.parameters for player in svi.players] == [
        list(program.parameters()) for program in (model, guide)
    ]
    assert {"infer_loss", "elbo"} <= svi.metrics.keys()
    exact = backend == "fx"
    tolerance = {"rtol": 0.0 if exact else 1e-4, "atol": 0.0 if exact else 1e-5}
    torch.testing.assert_close(found[0], found[1], **tolerance)


def test_shared_parameters_belong_to_the_first_player() -> None:
    r"""A VampPrior shares the posterior of the guide, and leaves it no parameters of its own."""
    model, guide, x = PROGRAMS["vamp"]()
    with pytest.raises(ValueError, match=r"'infer' of Apart has no parameters of its own"):
        SVI(model, guide, adam, Apart()).step(x)


def test_players_need_an_optimizer_each() -> None:
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    both = [*model.parameters(), *guide.parameters()]
    with pytest.raises(ValueError, match=r"Apart has 2 players with an optimizer each"):
        SVI(model, guide, torch.optim.Adam(both), Apart()).step(x)


# Training


def dataset(binarization: str) -> Data:
    if binarization == "none":
        return digits()

    x = torch.randint(256, (500, 4, 4), dtype=torch.uint8)
    return Data.of(train=x[:450], validation=x[450:], binarization=binarization)


@pytest.mark.parametrize("binarization", ["none", "dynamic"])
def test_fit_to_the_bit(binarization: str) -> None:
    r"""With a short last batch, validation, warm-up, and binarization in the graph."""
    found = []
    data = dataset(binarization)

    for backend in ("off", "fx"):
        torch.manual_seed(0)
        svi = small_svi(data, backend)
        history = fit(svi, data, epochs=3, batch_size=200, warmup=2, progress=False)
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in history]
        found.append((rows, [p.detach().clone() for p in svi.parameters.values()]))

    assert svi.backend == "fx" and svi.reason is None
    assert found[0][0] == found[1][0]
    assert all(a.equal(b) for a, b in zip(found[0][1], found[1][1], strict=True))


def small_svi(data: Data, backend: str) -> SVI:
    from ppl_vae import Conditional
    from ppl_vae.families import Bernoulli, Binomial, Normal
    from ppl_vae.guides import Amortized
    from ppl_vae.models import VAE
    from ppl_vae.networks import mlp
    from ppl_vae.priors import StandardNormal

    shape = data.event_shape
    likelihood = Bernoulli(shape) if data.binarization == "dynamic" else Binomial(shape, 16)
    model = VAE(StandardNormal((3,)), Conditional((3,), likelihood, mlp([8])))
    guide = Amortized(Conditional(shape, Normal((3,)), mlp([8])))
    return SVI(model, guide, partial(torch.optim.Adam, lr=1e-3), compile=backend)


def test_auto_is_decided_by_numbers() -> None:
    r"""Few steps are replayed, many are compiled; the decision never runs anything."""
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    svi = SVI(model, guide, adam, compile="fx")
    svi.plan(1000, None, x)
    (way,) = (way for _, way in svi._ways.values())
    entry = way.passes[0].entry(x)
    assert entry is not None
    graph = entry.graph
    picked = [staging.choose([graph], n, torch.device("cpu")) for n in (None, 10, 10**3, 10**7)]

    assert picked[:3] == ["fx", "fx", "fx"]
    assert picked[3] == ("inductor" if has_compiler(torch.device("cpu")) else "fx")
    assert staging.choose([graph], 10, torch.device("cuda")) == "cudagraph"


# Evaluation


@pytest.mark.parametrize("name", PROGRAMS)
def test_evidence_to_the_bit(name: str) -> None:
    if name == "other plate":
        pytest.skip("its sites are two-dimensional only by the plate")
    model, guide, x = PROGRAMS[name]()
    data = torch.cat([x] * 30)
    off, fx = (log_evidence(model, guide, data, 250, compile=c) for c in ("off", "fx"))

    assert off.log_evidence.equal(fx.log_evidence) and off.ess.equal(fx.ess)


@pytest.mark.slow
@compiler
def test_evidence_compiled() -> None:
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    off, compiled = (log_evidence(model, guide, x, 250, compile=c) for c in ("off", "inductor"))

    torch.testing.assert_close(compiled.log_evidence, off.log_evidence, rtol=1e-5, atol=0.0)


def test_evidence_of_unknown_compile() -> None:
    model, guide, x = PROGRAMS["linear"]()
    with pytest.raises(ValueError, match=r"compile is one of .*, got 'jit'"):
        log_evidence(model, guide, x, 10, compile="jit")
