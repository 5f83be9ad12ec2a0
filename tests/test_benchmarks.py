r"""The scripts that compare objectives: what they ask for, and what their tables say."""

from __future__ import annotations

import math
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from ppl_vae.catalogue import find_experiment
from ppl_vae.experiments.benchmarks import objectives, tightness
from ppl_vae.listing import listed
from ppl_vae.options import Options


@pytest.fixture(scope="module")
def asked() -> dict[str, str]:
    r"""What each row of the table of objectives asks for."""
    found: dict[str, str] = {}

    def keep(experiment: str, options: str, folder: Path, particles: int | None) -> None:
        assert experiment == "digits"
        found[folder.parent.name] = options

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(objectives, "made", keep)
        for name, options in objectives.OBJECTIVES.items():
            objectives.made_runs(name, options, Path("runs"), 1)
    return found


def test_options_of_all_objectives_are_known(asked: dict[str, str]) -> None:
    parser = Options(find_experiment("digits"))
    kinds = [name.partition(",")[0] for name in objectives.OBJECTIVES]
    assert len(asked) == len(kinds)
    for kind, options in zip(kinds, asked.values(), strict=True):
        values = parser.parse(shlex.split(options))
        assert values["objective"]["class_path"] == f"ppl_vae.objectives.{kind}"


@pytest.mark.parametrize("name", tightness.OBJECTIVES)
def test_options_of_tightness_are_known(name: str) -> None:
    options, _ = tightness.OBJECTIVES[name]
    found = Options(find_experiment("mnist")).parse(shlex.split(options))["objective"]
    assert found["class_path"] == f"ppl_vae.objectives.{name.partition(',')[0]}"
    assert f"{found['init_args']['particles']} particles" in f"{name}, 1 particles"


def test_no_objective_is_forgotten() -> None:
    own = {k for k, v in listed("objectives").items() if v.__module__.startswith("ppl_vae.")}
    assert own == {name.partition(",")[0] for name in objectives.OBJECTIVES}


def run_of(seed: int, elbo: float) -> Any:
    r"""Stands in for a run whose ELBO was -200 in its first epoch."""
    return SimpleNamespace(
        dir=Path(f"seed-{seed}"),
        history=[{"train_elbo": -200.0}, {"train_elbo": elbo}],
        evidence=[{"split": "test", "n": 2, "particles": 5, "elbo": elbo}],
        evidence_per_datum=lambda split: {"log_evidence": np.array([elbo + 4, elbo + 6])},
        provenance={"seconds": 2.0},
    )


@pytest.mark.parametrize(
    ("elbos", "told"),
    [
        ((-100.0, -100.0), "-95.00 ± 0.00 | -100.00"),
        ((-1e16, -1e16), "diverged | "),
        ((-100.0, -201.0), "diverged (1 of 2) | "),
        ((math.nan, -100.0), "diverged (1 of 2) | "),
    ],
)
def test_what_diverged_has_no_number(
    elbos: tuple[float, ...], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objectives, "_units", lambda run: 8)
    row = objectives.row_of("CUBO", "", [run_of(i, elbo) for i, elbo in enumerate(elbos)])
    assert row.line == f"| CUBO | {told} | 8.0 | 2.0 s |"
    assert row.value == (-95 if told.startswith("-") else -math.inf)
