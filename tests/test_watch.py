r"""Laws of staging: what a graph cannot follow is noticed, and said."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pyro
import pyro.distributions as dist
import pyro.infer
import pytest
import torch
from program_cases import PROGRAMS
from staging_cases import Custom, Normalized, Pair, adam, custom, graphs
from torch import Tensor, nn

from ppl_vae.objectives import ELBO
from ppl_vae.staging import Staged
from ppl_vae.svi import SVI


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
    "branch": (custom(Branching), r"reads a value of a tensor in Python.*test_watch.py, line"),
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
    assert "test_watch" in caught[0].filename
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
