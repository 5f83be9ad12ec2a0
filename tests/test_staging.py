r"""Laws of staging: a captured program does what the program does, or says why it is not captured.

Replay is equal to the bit; a compiled program is equal up to rounding.
"""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import pyro
import pyro.distributions as dist
import pyro.distributions.transforms as transforms
import pyro.infer
import pytest
import torch
from pyro.nn import PyroModule, PyroParam
from test_svi import PAIRS
from test_weights import PROGRAMS
from torch import Tensor, nn

from ppl_vae import staging
from ppl_vae.data import Data, digits
from ppl_vae.evaluation import log_evidence
from ppl_vae.fit import fit
from ppl_vae.nonfinite import NonFiniteError
from ppl_vae.objectives import ELBO, IWAE, LinearWarmup, MeanFieldELBO, Objective, Role
from ppl_vae.staging import Adam, Staged, StagingError
from ppl_vae.staging.agree import check_agreement
from ppl_vae.staging.graph import ATEN, capture
from ppl_vae.staging.inductor import has_compiler
from ppl_vae.staging.matmul import LINEAR, rewrite
from ppl_vae.svi import SVI

Pair = tuple[Any, Any, Tensor]
adam = partial(torch.optim.Adam, lr=1e-2)
compiler = pytest.mark.skipif(
    not has_compiler(torch.device("cpu")), reason="Inductor needs a C++ compiler, such as g++"
)

OBJECTIVES: dict[str, Callable[[], Any]] = {
    "ELBO": lambda: ELBO(particles=2),
    "MeanFieldELBO": lambda: MeanFieldELBO(kl_weight=LinearWarmup(steps=10)),
    "IWAE": lambda: IWAE(particles=3),
    "looped": lambda: ELBO(particles=2, vectorized=False),
    "Trace_ELBO": lambda: pyro.infer.Trace_ELBO(num_particles=2, vectorize_particles=True),
}


# Programs in the ways of Pyro, written by somebody else


class Custom(nn.Module):
    r"""A small VAE whose parts the cases below change."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(5, 4), nn.Linear(2, 5)
        self.register_buffer("temperature", torch.tensor(1.0))

    temperature: Tensor

    def posterior(self, x: Tensor) -> Any:
        loc, rho = self.encoder(x).chunk(2, -1)
        return dist.Normal(loc, rho.exp() * self.temperature).to_event(1)

    def prior(self, x: Tensor) -> Any:
        return dist.Normal(x.new_zeros(2), 1.0).to_event(1)

    def likelihood(self, z: Tensor) -> Any:
        return dist.Bernoulli(logits=self.decoder(z)).to_event(1)

    def model(self, x: Tensor) -> None:
        pyro.module("custom", self)
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", self.prior(x))
            pyro.sample("x", self.likelihood(z), obs=x)

    def guide(self, x: Tensor) -> None:
        pyro.module("custom", self)
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", self.posterior(x))


class Normalized(Custom):
    r"""BatchNorm and dropout: buffers that change, and noise in the network."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Dropout(0.3))


class Masked(Custom):
    def model(self, x: Tensor) -> None:
        pyro.module("custom", self)
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", self.prior(x))
            with pyro.poutine.mask(mask=x[:, 0] > 0):
                pyro.sample("x", self.likelihood(z), obs=x)
            pyro.factor("pull", -0.1 * z.square().sum(-1))


class Subsampled(Custom):
    r"""A minibatch of a larger data set, and a latent variable outside of the plate."""

    def model(self, x: Tensor) -> None:
        pyro.module("custom", self)
        shift = pyro.sample("shift", dist.Normal(0.0, 1.0))
        with pyro.plate("data", 50, subsample_size=len(x), dim=-1):
            z = pyro.sample("z", self.prior(x))
            pyro.sample("x", self.likelihood(z + shift.unsqueeze(-1)), obs=x)

    def guide(self, x: Tensor) -> None:
        pyro.module("custom", self)
        pyro.sample("shift", dist.Normal(pyro.param("loc", torch.tensor(0.1)), 0.3))
        with pyro.plate("data", 50, subsample_size=len(x), dim=-1):
            pyro.sample("z", self.posterior(x))


class InverseFlow(Custom):
    r"""Pyro's autoregressive transforms, which keep their last result as attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.flow = transforms.affine_autoregressive(2, [8])
        self.planar = transforms.planar(2)

    def posterior(self, x: Tensor) -> Any:
        base = super().posterior(x).base_dist
        return dist.TransformedDistribution(base, [self.flow, self.planar])


class Positive(Custom):
    def posterior(self, x: Tensor) -> Any:
        a, b = self.encoder(x).exp().chunk(2, -1)
        return dist.Gamma(a + 1, b).to_event(1)

    def prior(self, x: Tensor) -> Any:
        return dist.Gamma(x.new_ones(2), 1.0).to_event(1)


class Simplex(Custom):
    def posterior(self, x: Tensor) -> Any:
        return dist.Dirichlet(self.encoder(x)[..., :2].exp() + 0.5)

    def prior(self, x: Tensor) -> Any:
        return dist.Dirichlet(x.new_ones(2))


class Relaxed(Custom):
    def posterior(self, x: Tensor) -> Any:
        logits = self.encoder(x)[..., :2]
        return dist.RelaxedOneHotCategorical(self.temperature, logits=logits)

    def prior(self, x: Tensor) -> Any:
        return dist.RelaxedOneHotCategorical(self.temperature, logits=x.new_zeros(2))


class Correlated(Custom):
    def posterior(self, x: Tensor) -> Any:
        h = self.encoder(x)
        scale = torch.diag_embed(h[..., 2:].exp())
        return dist.MultivariateNormal(h[..., :2], scale_tril=scale)


class Pyroic(PyroModule):
    r"""A PyroModule with a constrained parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = PyroParam(torch.ones(2, 5))
        self.scale = PyroParam(torch.tensor(0.7), dist.constraints.positive)

    def model(self, x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z @ self.weight, self.scale).to_event(1), obs=x)

    def guide(self, x: Tensor) -> None:
        loc = pyro.param("loc", torch.zeros(2))
        scale = pyro.param("width", torch.ones(2), constraint=dist.constraints.positive)
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(loc, scale).to_event(1))


def custom(kind: Callable[[], Any]) -> Callable[[], Pair]:
    def build() -> Pair:
        program = kind()
        return program.model, program.guide, (torch.rand(6, 5) < 0.5).float()

    return build


OTHERS: dict[str, Callable[[], Pair]] = {
    kind.__name__: custom(kind)
    for kind in (
        *(Custom, Normalized, Masked, Subsampled, InverseFlow, Positive),
        *(Simplex, Relaxed, Correlated, Pyroic),
    )
}
EVERY = {**PROGRAMS, **OTHERS}
# Global latent variables have no weights for each datum; discrete sites no divergence.
ALL_PAIRS = [
    (name, o)
    for name in EVERY
    for o in OBJECTIVES
    if (name in OTHERS or o not in ("MeanFieldELBO",) or (name, o) in PAIRS)
    and not (name == "Subsampled" and o == "IWAE")
]
# Each program with one objective or two, each objective with many programs: the rest runs in
# `make test-all`.
COVER = [pair for i, pair in enumerate(ALL_PAIRS) if i % 4 == 0]
REST = [pair for pair in ALL_PAIRS if pair not in COVER]


def trained(
    name: str, objective: str, backend: str, steps: int = 20, **options: Any
) -> tuple[list[float], list[Tensor], SVI]:
    r"""The losses of some steps, all tensors after them, and the SVI."""
    pyro.clear_param_store()
    torch.manual_seed(0)
    model, guide, x = EVERY[name]()
    svi = SVI(model, guide, adam, OBJECTIVES[objective](), compile=backend, **options)
    torch.manual_seed(1)
    losses = [float(svi.step(x if i % 3 else x[:-1])) for i in range(steps)]
    modules = [m for m in (model, guide) if isinstance(m, nn.Module)]
    modules += [m.__self__ for m in (model,) if hasattr(m, "__self__")]
    tensors = [*svi.parameters.values(), *(b for m in modules for b in m.buffers())]
    return losses, [t.detach().clone() for t in tensors], svi


def assert_bits(name: str, objective: str, **options: Any) -> None:
    eager, replayed = (trained(name, objective, b, **options) for b in ("off", "fx"))

    assert replayed[2].reason is None and replayed[2].backend == "fx"
    assert eager[0] == replayed[0]
    assert all(a.equal(b) for a, b in zip(eager[1], replayed[1], strict=True))


# Replay


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


def graphs(svi: SVI) -> int:
    r"""The number of graphs that were captured."""
    (way,) = (way for _, way in svi._ways.values())
    return sum(len(entries) for staged in way.passes for entries in staged.entries.values())


def kl_weight(svi: SVI, program: Any) -> None:
    svi.objective.kl_weight = 0.3


def rate(svi: SVI, program: Any) -> None:
    svi.optimizer.param_groups[0]["lr"] = 0.1


def temperature(svi: SVI, program: Any) -> None:
    program.temperature.fill_(0.2)


def in_place(svi: SVI, program: Any) -> None:
    with torch.no_grad():
        program.decoder.weight.mul_(2)


def loaded(svi: SVI, program: Any) -> None:
    program.load_state_dict({k: v + 0.1 for k, v in program.state_dict().items()})


@pytest.mark.parametrize("change", [kl_weight, rate, temperature, in_place, loaded])
def test_changed_tensors_need_no_new_graph(change: Callable[[SVI, Any], None]) -> None:
    found = []

    for backend in ("off", "fx"):
        torch.manual_seed(0)
        program = Custom()
        x = (torch.rand(6, 5) < 0.5).float()
        svi = SVI(program.model, program.guide, adam, compile=backend)
        losses = [float(svi.step(x)) for _ in range(3)]
        change(svi, program)
        found.append([*losses, *(float(svi.step(x)) for _ in range(3))])

    assert found[0] == found[1] and graphs(svi) == 1


def evaluation_mode(program: Any) -> None:
    program.eval()


def attribute(program: Any) -> None:
    program.strength = 3.0


def replaced(program: Any) -> None:
    program.encoder[0] = nn.Linear(5, 4)


def frozen(program: Any) -> None:
    program.decoder.requires_grad_(False)


def option(program: Any) -> None:
    program.options["strength"] = 3.0


def class_attribute(program: Any) -> None:
    type(program).power = 3.0


def global_number(program: Any) -> None:
    global STRENGTH
    STRENGTH = 3.0


def global_object(program: Any) -> None:
    SETTINGS.strength = 3.0


def nested_object(program: Any) -> None:
    program.helper.strength = 3.0


def added(program: Any) -> None:
    program.encoder.append(nn.Dropout(0.5))


def moved(program: Any) -> None:
    program.decoder.weight.data = program.decoder.weight.data.clone() * 2


STRENGTH = 1.0
SETTINGS = SimpleNamespace(strength=1.0)


class Helper:
    r"""An object of a user's own class."""

    strength = 1.0

    def __init__(self) -> None:
        self.factor = 1.0


class Adjustable(Normalized):
    strength = 1.0
    power = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.options = {"strength": 1.0}
        self.helper = Helper()

    def likelihood(self, z: Tensor) -> Any:
        strength = self.strength * self.options["strength"] * self.helper.strength
        strength *= self.power * STRENGTH * SETTINGS.strength
        return dist.Bernoulli(logits=strength * self.decoder(z)).to_event(1)


CHANGES = [
    *(evaluation_mode, attribute, replaced, moved, frozen),
    *(option, nested_object, added, class_attribute, global_number, global_object),
]


# Pyro's own, of pyro.module: that frozen parameters are not registered is what is asked for.
@pytest.mark.filterwarnings("ignore:.*was not registered in the param store:UserWarning")
@pytest.mark.parametrize("change", CHANGES)
def test_replaced_parts_are_noticed(
    change: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    r"""What a graph cannot follow is noticed, and captured anew."""
    found = []

    for backend in ("off", "fx"):
        torch.manual_seed(0)
        monkeypatch.setattr(Adjustable, "power", 1.0)
        monkeypatch.setitem(globals(), "STRENGTH", 1.0)
        monkeypatch.setattr(SETTINGS, "strength", 1.0)
        program = Adjustable()
        x = (torch.rand(6, 5) < 0.5).float()
        svi = SVI(program.model, program.guide, adam, compile=backend)
        losses = [float(svi.step(x)) for _ in range(3)]
        change(program)
        found.append([*losses, *(float(svi.step(x)) for _ in range(3))])

    assert found[0] == found[1] and svi.reason is None and graphs(svi) == 2


@dataclass(frozen=True)
class Options:
    strength: float = 1.0


def test_arguments_that_are_no_tensors() -> None:
    r"""Numbers are constants of a graph; objects, whose contents may change, are refused."""
    staged = Staged(lambda x, factor: x * factor)
    x = torch.ones(2)
    assert [float(staged(x, f)[0]) for f in (2.0, 3.0, 2.0)] == [2.0, 3.0, 2.0]
    assert len(staged.entries) == 2 and staged.reason is None

    staged = Staged(lambda x, options: x * options.strength)
    with pytest.warns(UserWarning, match=r"called with a Options, whose contents may change"):
        assert staged(x, Options(4.0))[0] == 4.0


def test_a_handler_around_a_step_is_obeyed() -> None:
    found = []

    for backend in ("off", "fx"):
        torch.manual_seed(0)
        program = Custom()
        x = (torch.rand(6, 5) < 0.5).float()
        svi = SVI(program.model, program.guide, adam, ELBO(), compile=backend)
        losses = [float(svi.step(x)) for _ in range(3)]
        with pyro.poutine.block(), pyro.poutine.mask(mask=torch.tensor(False)):
            losses.append(float(svi.step(x)))
        found.append([*losses, float(svi.step(x))])
        assert losses[-1] == 0.0

    assert found[0] == found[1]


def test_a_flag_goes_back_and_forth() -> None:
    program = Normalized()
    x = torch.rand(6, 5).round()
    svi = SVI(program.model, program.guide, adam, compile="fx")

    for mode in (True, False, True, False):
        program.train(mode)
        svi.step(x)

    assert graphs(svi) == 2


# What cannot be staged


class Branching(Custom):
    def likelihood(self, z: Tensor) -> Any:
        return super().likelihood(-z if z.sum() > 0 else z)


class Counting(Custom):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def likelihood(self, z: Tensor) -> Any:
        self.calls += 1
        return super().likelihood(z / self.calls)


class Remembering(Custom):
    r"""A moving average that is replaced at each call, and hence is no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.average = torch.zeros(2)

    def likelihood(self, z: Tensor) -> Any:
        self.average = 0.5 * self.average + 0.5 * z.detach().mean(0)
        return super().likelihood(z - self.average)


class Rejecting(Custom):
    def posterior(self, x: Tensor) -> Any:
        loc, rho = self.encoder(x).chunk(2, -1)
        return dist.VonMises(loc, rho.exp()).to_event(1)

    def prior(self, x: Tensor) -> Any:
        return dist.VonMises(x.new_zeros(2), x.new_ones(2)).to_event(1)


class Indexing(Custom):
    def likelihood(self, z: Tensor) -> Any:
        return super().likelihood(z * z[z > 0].sum())


class Reading(Custom):
    def likelihood(self, z: Tensor) -> Any:
        return super().likelihood(z * float(z.detach().numpy().mean()))


def listing() -> Pair:
    r"""Functions with a state in a list that they close over."""
    program = Custom()
    calls: list[int] = []

    def model(x: Tensor) -> None:
        calls.append(0)
        with pyro.poutine.scale(scale=1.0):
            program.likelihood = lambda z: Custom.likelihood(program, z / len(calls))  # type: ignore[method-assign]
            program.model(x)

    return model, program.guide, (torch.rand(6, 5) < 0.5).float()


UNSTAGED: dict[str, tuple[Callable[[], Pair], str]] = {
    "branch": (custom(Branching), r"reads a value of a tensor in Python.*test_staging.py, line"),
    "counter": (custom(Counting), r"changes 'calls', a state of Python"),
    "list": (listing, r"changes 'calls', a state of Python"),
    "average": (custom(Remembering), r"disagrees with the program"),
    "rejection": (custom(Rejecting), r"in Python, as a data-dependent branch|depends on data"),
    "boolean index": (custom(Indexing), r"result of index depends on data.*use torch.where"),
    "numpy": (custom(Reading), r"disagrees with the program|numpy"),
}


@pytest.mark.parametrize("name", UNSTAGED)
def test_fallback(name: str) -> None:
    r"""One warning says why; the numbers are those of ``compile="off"``."""
    build, why = UNSTAGED[name]
    found = []

    for backend in ("off", "fx"):
        pyro.clear_param_store()
        torch.manual_seed(0)
        model, guide, x = build()
        svi = SVI(model, guide, adam, compile=backend)

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            losses = [float(svi.step(x)) for _ in range(6)]

        found.append((losses, [p.detach().clone() for p in svi.parameters.values()]))
        assert len(caught) == (backend == "fx")

    assert svi.reason is not None
    assert re.search(why, str(caught[0].message)), str(caught[0].message)
    assert "test_staging" in caught[0].filename
    assert found[0][0] == found[1][0]
    assert all(a.equal(b) for a, b in zip(found[0][1], found[1][1], strict=True))


def test_objectives_that_add_to_gradients_run_as_they_are() -> None:
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    renyi = pyro.infer.RenyiELBO(alpha=0, num_particles=4)
    svi = SVI(model, guide, adam, renyi, compile="fx")

    with pytest.warns(UserWarning, match=r"RenyiELBO of Pyro adds to the gradients by itself"):
        svi.step(x)
    assert svi.reason is not None and svi.step(x).isfinite()


@pytest.mark.parametrize(("option", "value"), [("compile", "jit"), ("precision", "int8")])
def test_unknown_options(option: str, value: str) -> None:
    model, guide, _ = PROGRAMS["linear"]()
    with pytest.raises(ValueError, match=rf"{option} is one of .*, got '{value}'"):
        SVI(model, guide, adam, **{option: value})


def test_tf32_needs_cuda() -> None:
    model, guide, x = PROGRAMS["linear"]()
    with pytest.raises(ValueError, match=r"'tf32' is for CUDA devices, not for cpu"):
        SVI(model, guide, adam, precision="tf32").step(x)


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
    picked = [staging.choose(graph, n, torch.device("cpu")) for n in (None, 10, 10**3, 10**7)]

    assert picked[:3] == ["fx", "fx", "fx"]
    assert picked[3] == ("inductor" if has_compiler(torch.device("cpu")) else "fx")
    assert staging.choose(graph, 10, torch.device("cuda")) == "cudagraph"


# Evaluation


@pytest.mark.parametrize("name", PROGRAMS)
def test_evidence_to_the_bit(name: str) -> None:
    if name == "other plate":
        pytest.skip("its sites are two-dimensional only by the plate")
    model, guide, x = PROGRAMS[name]()
    data = torch.cat([x] * 30)
    off, fx = (log_evidence(model, guide, data, 250, compile=c) for c in ("off", "fx"))

    assert off.log_evidence.equal(fx.log_evidence) and off.ess.equal(fx.ess)


@compiler
def test_evidence_compiled() -> None:
    model, guide, x = PROGRAMS["normal, bernoulli"]()
    off, compiled = (log_evidence(model, guide, x, 250, compile=c) for c in ("off", "inductor"))

    torch.testing.assert_close(compiled.log_evidence, off.log_evidence, rtol=1e-5, atol=0.0)


def test_evidence_of_unknown_compile() -> None:
    model, guide, x = PROGRAMS["linear"]()
    with pytest.raises(ValueError, match=r"compile is one of .*, got 'jit'"):
        log_evidence(model, guide, x, 10, compile="jit")


# Compiled


def assert_compiled(name: str, objective: str, **options: Any) -> SVI:
    eager, compiled = (trained(name, objective, b, **options) for b in ("off", "inductor"))

    assert compiled[2].reason is None and compiled[2].backend == "inductor"
    assert compiled[0][:2] == pytest.approx(eager[0][:2], rel=1e-5)
    assert compiled[0] == pytest.approx(eager[0], rel=1e-4)
    return compiled[2]


@compiler
@pytest.mark.parametrize(("name", "objective"), [("vamp", "IWAE"), ("Normalized", "ELBO")], ids=str)
def test_compiled_up_to_rounding(name: str, objective: str) -> None:
    assert_compiled(name, objective)


@compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_every_program_compiled(name: str) -> None:
    assert_compiled(name, "ELBO", steps=6)


@compiler
def test_the_optimizer_may_be_outside_of_the_graph() -> None:
    r"""Large programs and other optimizers update outside of the graph; clipping is inside."""
    svi = assert_compiled("linear", "ELBO", clip=0.5)
    assert type(next(iter(svi._ways.values()))[1]).__name__ == "FusedSteps"
    found = []

    for backend in ("off", "inductor"):
        torch.manual_seed(0)
        model, guide, x = PROGRAMS["linear"]()
        svi = SVI(model, guide, partial(torch.optim.SGD, lr=1e-2), clip=0.5, compile=backend)
        torch.manual_seed(1)
        found.append([float(svi.step(x)) for _ in range(10)])

    assert type(next(iter(svi._ways.values()))[1]).__name__ == "GradientSteps"
    assert found[1] == pytest.approx(found[0], rel=1e-5)


@compiler
@pytest.mark.slow
def test_schedules_reach_a_compiled_step() -> None:
    r"""Rate and KL weight, changed while it runs, without compiling again."""
    found = []

    for backend in ("off", "inductor"):
        torch.manual_seed(0)
        model, guide, x = PROGRAMS["linear"]()
        weight = LinearWarmup(steps=5)
        svi = SVI(model, guide, adam, ELBO(kl_weight=weight), compile=backend)
        scheduler = None
        torch.manual_seed(1)
        losses = []
        for _ in range(8):
            losses.append(float(svi.step(x)))
            scheduler = scheduler or torch.optim.lr_scheduler.StepLR(svi.optimizer, 2)
            scheduler.step()
        found.append(losses)

    (way,) = (way for _, way in svi._ways.values())
    assert found[1] == pytest.approx(found[0], rel=1e-5)
    assert sum(map(len, way.staged.entries.values())) == 1


@compiler
@pytest.mark.slow
def test_a_loaded_optimizer_reaches_a_compiled_step() -> None:
    found = []

    for backend in ("off", "inductor"):
        torch.manual_seed(0)
        model, guide, x = PROGRAMS["linear"]()
        svi = SVI(model, guide, adam, compile=backend)
        torch.manual_seed(1)
        svi.step(x)
        saved = copy.deepcopy(svi.optimizer.state_dict())
        losses = [float(svi.step(x)) for _ in range(5)]
        svi.optimizer.load_state_dict(saved)
        losses += [float(svi.step(x)) for _ in range(5)]
        found.append(losses)
        (state,) = {float(s["step"]) for s in svi.optimizer.state_dict()["state"].values()}
        assert state == 6.0

    assert found[1] == pytest.approx(found[0], rel=1e-4)


@compiler
@pytest.mark.slow
def test_settings_of_adam_reach_a_compiled_step() -> None:
    r"""Decay rates, weight decay and hooks, changed while it runs."""
    found = []

    for backend in ("off", "inductor"):
        torch.manual_seed(0)
        model, guide, x = PROGRAMS["linear"]()
        svi = SVI(model, guide, adam, compile=backend)
        torch.manual_seed(1)
        losses = [float(svi.step(x)) for _ in range(3)]
        svi.optimizer.param_groups[0]["betas"] = (0.5, 0.9)
        losses += [float(svi.step(x)) for _ in range(3)]
        svi.optimizer.param_groups[0]["weight_decay"] = 0.1
        losses += [float(svi.step(x)) for _ in range(3)]
        calls: list[int] = []
        svi.optimizer.register_step_post_hook(lambda *_, calls=calls: calls.append(0))
        losses += [float(svi.step(x)) for _ in range(3)]
        found.append(losses)
        assert len(calls) == 3

    assert found[1] == pytest.approx(found[0], rel=1e-4)


@compiler
def test_a_compiled_step_that_is_not_finite_changes_nothing() -> None:
    r"""Nor do those after it in the same call; the message tells the step."""
    model, guide, x = PROGRAMS["linear"]()
    data = torch.cat([x] * 4)
    data[7] = torch.inf
    svi = SVI(model, guide, adam, compile="inductor")

    def feed(rows: Tensor) -> dict[str, Tensor]:
        return {"x": data.index_select(0, rows)}

    good = torch.arange(4).expand(3, 4)
    svi.run(feed, good)
    before = copy.deepcopy((svi.optimizer.state_dict()["state"], [*svi.parameters.values()]))

    with pytest.raises(NonFiniteError, match=r"not finite at step 4: the draw of site 'z'"):
        svi.run(feed, torch.stack([torch.arange(4, 8), torch.arange(4)]))

    assert int(svi.objective.step) == svi.steps == 3
    state = svi.optimizer.state_dict()["state"]
    assert all(state[i][k].equal(before[0][i][k]) for i in state for k in state[i])
    assert all(a.equal(b) for a, b in zip(svi.parameters.values(), before[1], strict=True))
    assert svi.run(feed, good)["loss"].isfinite().all()


def test_without_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    r"""One warning, then replay."""
    monkeypatch.setattr(staging.inductor, "has_compiler", lambda device: False)
    model, guide, x = PROGRAMS["linear"]()
    svi = SVI(model, guide, adam, compile="inductor")

    with pytest.warns(UserWarning, match=r"uncompiled.*no C\+\+ compiler") as caught:
        losses = [float(svi.step(x)) for _ in range(3)]
    assert len(caught) == 1 and len(set(losses)) == 3


@compiler
@pytest.mark.slow
def test_compiling_changes_no_settings() -> None:
    from torch._inductor import config

    before = config.save_config_portable()
    flags = torch.distributions.Distribution._validate_args, torch.get_default_dtype()
    model, guide, x = PROGRAMS["linear"]()
    SVI(model, guide, adam, compile="inductor").step(x)

    assert config.save_config_portable() == before
    assert (torch.distributions.Distribution._validate_args, torch.get_default_dtype()) == flags


# Parts


def test_a_wrong_graph_is_not_trusted() -> None:
    layer = nn.Linear(3, 2)
    x = torch.randn(4, 3)

    check_agreement(layer, layer, [[x]], [[]])
    for wrong in (
        lambda x: layer(x) * 1.01,
        lambda x: layer(x) + torch.randn(2) * 1e-2,
        lambda x: layer(x).T.contiguous().T,
        lambda x: layer(x).double(),
    ):
        with pytest.raises(StagingError):
            check_agreement(layer, wrong, [[x]], [[]])


def test_constants_are_inputs() -> None:
    r"""A tensor that a function holds elsewhere is followed, a number is kept."""
    held, numbers = torch.ones(3), [2.0]

    def function(x: Tensor) -> Tensor:
        return x * held + torch.tensor(numbers[0])

    graph = capture(function, [torch.zeros(3)], [])
    held.fill_(5.0)
    numbers[0] = 7.0

    assert graph(torch.ones(3))[0].tolist() == [7.0, 7.0, 7.0]


@pytest.mark.parametrize("size", [3, 60, 200])
@pytest.mark.parametrize("kind", ["plain", "bias", "left", "right"])
def test_products(size: int, kind: str) -> None:
    r"""However a product is written, and whatever it becomes, it is the product."""
    a, b, bias = torch.randn(size, size + 1), torch.randn(size + 1, 2 * size), torch.randn(2 * size)
    functions: dict[str, Callable[..., Tensor]] = {
        "plain": lambda a, b, bias: a @ b,
        "bias": lambda a, b, bias: torch.addmm(bias, a, b),
        "left": lambda a, b, bias: b.T @ a.T,
        "right": lambda a, b, bias: a @ b.T.contiguous().T,
    }
    graph = capture(functions[kind], [a, b, bias], [])
    module = rewrite(graph.module)
    targets = {node.target for node in module.graph.nodes}
    with torch.no_grad():
        (out,) = module(a, b, bias)

    want = functions[kind](a.double(), b.double(), bias.double())
    torch.testing.assert_close(out.double(), want, rtol=1e-4, atol=1e-4)
    assert (size < 40) == (ATEN.sum.dim_IntList in targets)
    assert size != 200 or LINEAR in targets or not torch.backends.mkldnn.is_available()


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_adam(float64: None, kind: Any) -> None:
    r"""The raw update is the optimizer's to the bit, the inlined one up to rounding."""
    start = [torch.randn(4, 3), torch.randn(5)]
    found = []

    for way in ("optimizer", "update", "inline"):
        torch.manual_seed(1)
        parameters = [nn.Parameter(p.clone()) for p in start]
        groups = [{"params": parameters[:1]}, {"params": parameters[1:], "weight_decay": 0.1}]
        optimizer = kind(groups, lr=1e-2, fused=True)
        raw = Adam(optimizer)
        rates = {i: torch.tensor([1e-2, 0.9, 0.999]) for i in range(2)}  # float64
        for _ in range(5):
            gradients = [torch.randn_like(p) for p in parameters]
            if way == "optimizer":
                for p, g in zip(parameters, gradients, strict=True):
                    p.grad = g
                optimizer.step()
            elif way == "update":
                raw.update(parameters, gradients)
            else:
                raw.inline(parameters, gradients, rates, torch.tensor(True))
        found.append([p.detach() for p in parameters])

    assert all(a.equal(b) for a, b in zip(found[0], found[1], strict=True))
    torch.testing.assert_close(found[2], found[0], rtol=1e-12, atol=1e-12)


def test_a_bad_step_is_none() -> None:
    for way in ("update", "inline"):
        p = nn.Parameter(torch.ones(3))
        raw = Adam(torch.optim.Adam([p], fused=True))
        before = {k: v.clone() for k, v in raw.state(p).items()}
        if way == "update":
            raw.update([p], [torch.ones(3)], {0: torch.tensor([0.1, 0.9, 0.999])}, torch.ones(()))
        else:
            raw.inline(
                [p], [torch.ones(3)], {0: torch.tensor([0.1, 0.9, 0.999])}, torch.tensor(False)
            )
        assert p.tolist() == [1.0] * 3
        assert all(raw.state(p)[k].equal(v) for k, v in before.items())


def test_only_plain_adam_is_raw() -> None:
    def make(**options: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam([nn.Parameter(torch.ones(1))], fused=True, **options)

    hooked = make()
    hooked.register_step_post_hook(lambda *_: None)

    assert Adam.takes(make()) and Adam.takes(make(weight_decay=0.1))
    assert not Adam.takes(make(amsgrad=True)) and not Adam.takes(make(maximize=True))
    assert not Adam.takes(hooked)
    assert not Adam.takes(torch.optim.SGD([nn.Parameter(torch.ones(1))]))


def test_patience() -> None:
    r"""A shape that is seen once is not worth a capture."""
    staged = Staged(lambda x: x * 2, patience=2)
    for n in (0, 0, 1):
        staged(torch.ones(3))
        assert len(staged.entries) == n
    staged(torch.ones(4))
    assert len(staged.entries) == 1


def test_more_shapes_than_are_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    r"""New ones run as they are; those that were captured go on."""
    monkeypatch.setattr("ppl_vae.staging.staged.KINDS", 3)
    staged = Staged(lambda x: x * 2)
    with pytest.warns(UserWarning, match=r"new shapes eagerly: there were 3 of them") as caught:
        for n in (1, 2, 3, 4, 5, 1):
            assert staged(torch.ones(n)).equal(torch.full((n,), 2.0))
    assert len(caught) == 1 and staged.reason is None
    assert sum(map(len, staged.entries.values())) == 3


def test_attributes_that_never_rest() -> None:
    r"""A number that somebody changes between calls is captured some times, then given up."""
    layer = nn.Linear(2, 2)
    staged = Staged(lambda x: layer(x) * layer.factor, [layer])

    with pytest.warns(UserWarning, match=r"replaced 8 times") as caught:
        for i in range(12):
            layer.factor = float(i)
            x = torch.ones(1, 2)
            assert staged(x).equal(layer(x) * i)
    assert len(caught) == 1
