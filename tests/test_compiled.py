r"""Laws of compiled steps: what the programs do, up to rounding."""

from __future__ import annotations

import copy
from functools import partial
from typing import Any

import pytest
import torch
from program_cases import PROGRAMS
from staging_cases import EVERY, adam, compiler, trained
from torch import Tensor

from ppl_vae import staging
from ppl_vae.nonfinite import NonFiniteError
from ppl_vae.objectives import ELBO, LinearWarmup
from ppl_vae.svi import SVI


def assert_compiled(name: str, objective: str, **options: Any) -> SVI:
    eager, compiled = (trained(name, objective, b, **options) for b in ("off", "inductor"))

    assert compiled[2].reason is None and compiled[2].backend == "inductor"
    assert compiled[0][:2] == pytest.approx(eager[0][:2], rel=1e-5)
    assert compiled[0] == pytest.approx(eager[0], rel=1e-4)
    return compiled[2]


@compiler
@pytest.mark.parametrize(
    ("name", "objective"),
    [pytest.param("vamp", "IWAE", marks=pytest.mark.slow), ("Normalized", "ELBO")],
)
def test_compiled_up_to_rounding(name: str, objective: str) -> None:
    assert_compiled(name, objective)


@compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", EVERY)
def test_every_program_compiled(name: str) -> None:
    assert_compiled(name, "ELBO", steps=6)


@compiler
@pytest.mark.slow
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
@pytest.mark.slow
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


LAYOUTS = {
    "columns": lambda x: torch.cat([x, x + 1], 1)[:, : x.shape[1]],
    "transposed": lambda x: x.t().contiguous().t(),
    "expanded": lambda x: x[:1].expand_as(x),
}


@compiler
@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_batches_of_any_strides(layout: str) -> None:
    model, guide, x = PROGRAMS["linear"]()
    x = LAYOUTS[layout](x)
    losses = []

    for compile in "off", "inductor":
        svi = SVI(*copy.deepcopy((model, guide)), adam, compile=compile)
        svi.plan(1000, None, x)
        torch.manual_seed(0)
        losses.append(torch.stack([svi.step(x) for _ in range(3)]))
        assert svi.reason is None

    torch.testing.assert_close(*losses)


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
