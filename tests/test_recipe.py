r"""How a run says that it was trained: what was used, not what was asked for."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from ppl_vae import Run, train
from ppl_vae.drawing.facts import TRAINING, facts
from ppl_vae.experiment import Experiment
from ppl_vae.fit import Training
from ppl_vae.folder.create import FIELDS, Plan
from ppl_vae.folder.recipe import recipe
from ppl_vae.objectives import ELBO, Role
from ppl_vae.report import write_report
from ppl_vae.run import training_of

SMALL = [
    *("--latent", "2", "--epochs", "2", "--batch_size", "512"),
    *("--encoder", "mlp", "--encoder.hidden", "[16]"),
    *("--decoder", "mlp", "--decoder.hidden", "[16]"),
]


def rows_of(run: Run) -> dict[str, str]:
    return dict(facts(run.config, run.data_summary, run.provenance, run.history))


def planned(*options: str) -> tuple[Experiment, Training]:
    plan = Plan.of("digits", [*SMALL, *options])
    return plan.experiment, training_of(plan.experiment, 0, "cpu", progress=False)


def test_a_default_optimizer_is_told(tmp_path: Path) -> None:
    run = train("digits", tmp_path / "run", SMALL, progress=False)
    told = run.provenance["training"]
    assert run.config["options"]["optimizer"] is None
    assert told["optimizer"]["class_path"].endswith(".Adam")
    used = {"lr": 1e-3, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0, "fused": True}
    assert used.items() <= told["optimizer"]["init_args"].items()
    assert (told["epochs"], told["batch_size"]) == (2, 512)
    assert told["scheduler"] is None and told["clip"] is None
    # Asked for was "auto".
    assert told["compile"] == run.provenance["compile"] in ("off", "fx", "inductor")

    rows, page = rows_of(run), write_report(run).read_text()
    assert (
        rows["optimizer"] == "Adam(lr=0.001, betas=[0.9, 0.999], eps=1e-08, weight_decay=0, "
        "fused=True)"
    )
    assert rows["compile"] == told["compile"] and rows["epochs"] == "2"
    assert rows["optimizer"] in page and "trained" in rows and "parameters" in rows


def test_options_are_told_as_they_are_used(tmp_path: Path) -> None:
    options = ["--optimizer", "SGD", "--optimizer.lr", "1e-4", "--optimizer.nesterov", "true"]
    options += ["--optimizer.momentum", "0.9", "--clip", "3.0", "--compile", "off"]
    options += ["--scheduler", "StepLR", "--scheduler.step_size", "1"]
    run = train("digits", tmp_path / "run", [*SMALL, *options], progress=False)
    rows = rows_of(run)
    told = run.provenance["training"]["optimizer"]["init_args"]
    # The rate that it began with, though the last epochs had another.
    assert told["lr"] == 1e-4 > run.history[-1]["lr"]
    assert rows["optimizer"].startswith("SGD(lr=0.0001, momentum=0.9, dampening=0")
    assert "nesterov=True" in rows["optimizer"] and "maximize" not in rows["optimizer"]
    assert rows["scheduler"] == "StepLR(step_size=1, gamma=0.1)"
    assert rows["clip"] == "3.0" and rows["compile"] == "off"


def test_a_resumed_run_tells_what_it_began_with(tmp_path: Path) -> None:
    options = ["--optimizer", "Adam", "--optimizer.lr", "0.01", "--clip", "9.0"]
    options += ["--scheduler", "ReduceLROnPlateau", "--scheduler.patience", "0"]
    options += ["--scheduler.threshold", "1e9"]  # no epoch is better by so much
    run = train("digits", tmp_path / "run", [*SMALL, *options], progress=False)
    before = run.provenance["training"]
    config = (run.dir / "config.yaml").read_text()
    (run.dir / "config.yaml").write_text(config.replace("epochs: 2", "epochs: 4"))
    resumed = Run(run.dir)
    resumed.resume(progress=False)
    assert resumed.history[-1]["lr"] < 0.01
    assert resumed.provenance["training"] == {**before, "epochs": 4}
    assert before["optimizer"]["init_args"]["lr"] == 0.01


def test_a_run_that_was_stopped_at_once_tells_it_too(tmp_path: Path) -> None:
    plan = Plan.of("digits", SMALL)
    plan.write(tmp_path / "run", training_of(plan.experiment, 0, "cpu", progress=False))
    told = Run(tmp_path / "run").provenance["training"]
    assert told["optimizer"]["init_args"]["lr"] == 1e-3 and told["compile"] == "auto"


SCHEDULERS: dict[str, tuple[Any, dict[str, Any]]] = {
    "StepLR": (
        partial(torch.optim.lr_scheduler.StepLR, step_size=7),
        {"step_size": 7, "gamma": 0.1},
    ),
    "MultiStepLR": (
        lambda o: torch.optim.lr_scheduler.MultiStepLR(o, [3, 4], 0.5),
        {"milestones": [3, 4], "gamma": 0.5},
    ),
    "LinearLR": (
        lambda o: torch.optim.lr_scheduler.LinearLR(o, 0.25),
        {"start_factor": 0.25, "end_factor": 1.0, "total_iters": 5},
    ),
    "OneCycleLR": (
        partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.1, total_steps=9),
        {"max_lr": 0.1, "total_steps": 9},
    ),
    "LambdaLR": (partial(torch.optim.lr_scheduler.LambdaLR, lr_lambda=lambda e: 0.9**e), {}),
}


@pytest.mark.parametrize("name", SCHEDULERS)
def test_a_scheduler_is_told(name: str) -> None:
    e, _ = planned()
    build, settings = SCHEDULERS[name]
    training = Training(e.svi(), e.data, 9, scheduler=build, device="cpu", progress=False)
    told = json.loads(json.dumps(recipe(Experiment(**{**vars(e), "scheduler": build}), training)))
    assert told["scheduler"]["class_path"].endswith(f".{name}")
    assert settings.items() <= told["scheduler"]["init_args"].items()
    assert not {"optimizer", "last_epoch", "lr_lambda"} & told["scheduler"]["init_args"].keys()


def test_settings_of_the_training_are_no_parts() -> None:
    r"""Those of a training that was not yet recorded are told from the options, once."""
    options = {"latent": 2, **dict.fromkeys(TRAINING, 7)}
    rows = facts({"options": options}, {}, {"training": dict.fromkeys(TRAINING, 5)}, [])
    assert set(TRAINING) >= set(FIELDS)
    names = ["latent", "trained", *(k.replace("_", " ") for k in TRAINING)]
    assert [name for name, _ in rows] == names
    assert dict(rows) == {**dict.fromkeys(names, "5"), "latent": "2", "trained": "not yet"}
    assert ("signal", "7") in facts({"options": options}, {}, {}, [])


def test_groups_of_parameters_are_told_apart() -> None:
    e, _ = planned()

    def halves(parameters: Any) -> torch.optim.Optimizer:
        first, *rest = parameters
        return torch.optim.Adam([{"params": [first], "lr": 0.1}, {"params": rest}], lr=0.2)

    other = Experiment(**{**vars(e), "optimizer": halves})
    told = recipe(other, training_of(other, 0, "cpu", progress=False))["optimizer"]["init_args"]
    assert told["lr"] == [0.1, 0.2] and told["eps"] == 1e-8


class Apart(ELBO):
    """Model and guide each follow the ELBO, with an optimizer of their own."""

    def players(self) -> list[Role]:
        return [Role("learn", ("model",), self.estimate), Role("infer", ("guide",), self.estimate)]


def test_players_of_one_kind_are_told_once_and_others_apart() -> None:
    e, _ = planned()
    e = Experiment(**{**vars(e), "objective": Apart()})
    training = training_of(e, 0, "cpu", progress=False)
    assert recipe(e, training)["optimizer"]["init_args"]["lr"] == 1e-3

    training.svi.players[1].optimizer.param_groups[0]["lr"] = 0.5
    told = recipe(e, training)["optimizer"]
    assert list(told) == ["learn", "infer"] and told["infer"]["init_args"]["lr"] == 0.5
    rows = dict(facts({}, {}, {"training": {"optimizer": told}}, []))
    assert rows["optimizer"].startswith("learn: Adam(lr=0.001,")
    assert ", infer: Adam(lr=0.5," in rows["optimizer"]
