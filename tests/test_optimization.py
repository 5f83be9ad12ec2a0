r"""The study of optimization: what it runs, and how runs stand side by side."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from ppl_vae.catalogue import experiments, find_experiment
from ppl_vae.experiments import optimization
from ppl_vae.experiments.benchmarks import paired
from ppl_vae.experiments.benchmarks.paired import (
    agree,
    asked_for,
    evidence,
    made,
    record,
    records,
    table,
)
from ppl_vae.nonfinite import NonFiniteError
from ppl_vae.options import Options
from ppl_vae.run import Run, train

EPOCHS = 10
PARTS = {
    f"{name}, {choice}": (question.part, option)
    for name, question in optimization.questions(EPOCHS).items()
    for choice, option in question.choices.items()
    if option is not None
}


class Made:
    r"""Stands in for training: it keeps what was asked for, and returns runs with numbers."""

    def __init__(self) -> None:
        self.asked: dict[Path, str] = {}
        self.evaluated: set[Path] = set()

    def __call__(self, name: str, options: str, folder: Path, particles: int | None) -> Any:
        assert name == "mnist" and self.asked.setdefault(folder, options) == options
        if "0.03" in options:
            raise NonFiniteError("It is not finite.")
        if particles is not None:
            self.evaluated.add(folder)
        rate = float(shlex.split(options)[shlex.split(options).index("--optimizer.lr") + 1])
        elbo = -100 - 1000 * abs(rate - 0.003)
        return SimpleNamespace(
            dir=folder,
            history=[{"epoch": 1.0, "seconds": 2.0, "validation_elbo": elbo}],
            evidence=[
                {"split": "test", "n": 2, "particles": particles, "elbo": elbo, "seconds": 1.0}
            ],
            provenance={"seconds": 2.0},
            evidence_per_datum=lambda split: {"log_evidence": np.array([elbo + 4, elbo + 6])},
        )


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Made:
    fake = Made()
    monkeypatch.setattr(optimization, "made", fake)
    return fake


def call(monkeypatch: pytest.MonkeyPatch, *tokens: str) -> None:
    monkeypatch.setattr(sys, "argv", ["optimization", "--root", "here", *tokens])
    optimization.main()


def test_it_is_no_experiment() -> None:
    assert "optimization" not in experiments()


@pytest.mark.slow
def test_every_question_is_answered(
    fake: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, names = tmp_path / "page.md", ["optimizers", *optimization.questions(EPOCHS)]
    page.write_text("".join(f"<!-- {name}:begin -->\n<!-- {name}:end -->\n" for name in names))
    call(monkeypatch, "--out", str(tmp_path / "runs"), "--write", str(page))

    # A grid of three for five optimizers, whose best have two seeds more; then three seeds each.
    assert len(fake.asked) == 5 * 3 + 5 * 2 + 3 * len(PARTS)
    assert len(set(fake.asked.values())) == len(fake.asked)
    parser = Options(find_experiment("mnist"))
    for options in fake.asked.values():
        assert parser.parse(shlex.split(options))["epochs"] == EPOCHS
    others = [o for folder, o in fake.asked.items() if "optimizers" not in folder.parts[-3]]
    assert all("--optimizer Adam --optimizer.lr 0.003" in options for options in others)

    out, text = capsys.readouterr().out, page.read_text()
    for name in names:
        assert (tmp_path / "runs" / f"{name}.png").read_bytes()[1:4] == b"PNG"
        assert f"(runs/{name}.png)" in text
    for told in (
        "- SGD, momentum 0.9: 0.003 -100.00, 0.01 -107.00, 0.03 diverged",
        "| 0.00 ± 0.00 |",
    ):
        assert told in out and told in text
    assert "at the edge of the grid" in text and "--root DIR" in text and "here" not in text


def test_only_what_is_chosen_is_evaluated(
    fake: Made, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    call(monkeypatch, "--out", str(tmp_path), "--only", "norms", "--seeds", "1")
    assert {f.parent.name for f in fake.asked} - {f.parent.name for f in fake.evaluated} == {
        "Adam-lr-0.001",
        "Adam-lr-0.01",
    }
    assert len(fake.evaluated) == 3 and not (tmp_path / "optimizers.png").exists()


def options_of(*parts: str) -> dict[str, Any]:
    parser = Options(find_experiment("mnist"))
    values = parser.parse(shlex.split(" ".join(parts)))
    arguments, training = parser.build(values)
    return {**arguments, **training}


@pytest.mark.parametrize("optimizer", optimization.GRIDS)
def test_optimizers_are_built(optimizer: str) -> None:
    built = options_of(optimization.option_of(optimizer, 0.01))["optimizer"]
    found = built([torch.nn.Parameter(torch.zeros(2))])
    assert type(found).__name__ == optimizer.split()[0] and found.defaults["lr"] == 0.01
    assert found.defaults.get("momentum", 0.9) == 0.9


@pytest.mark.parametrize("name", [name for name in PARTS if PARTS[name][0] == "scheduler"])
def test_schedules_have_the_peak_of_the_baseline(name: str) -> None:
    lr, option = 0.003, PARTS[name][1].replace("{lr}", "0.003")
    schedule = options_of(f"--scheduler {option}")["scheduler"] if option else None
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(2))], lr=lr)
    scheduler = schedule(optimizer) if schedule else None
    rates = []
    for _ in range(EPOCHS):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if scheduler:
            scheduler.step()
    assert max(rates) <= lr * (1 + 1e-9) and max(rates) > 0.9 * lr
    assert min(rates) > 0  # no epoch is wasted
    assert (rates[-1] < 0.2 * lr) == bool(option)


@pytest.mark.parametrize("name", [name for name in PARTS if PARTS[name][0] != "scheduler"])
def test_parts_are_built(name: str) -> None:
    part, option = PARTS[name]
    built, plain = options_of(option), options_of()
    if part == "warmup":
        assert 0 < built["warmup"] <= EPOCHS
        return
    for role in ("encoder", "decoder"):
        inner = getattr(built[role], "network", built[role])
        assert vars(inner) != vars(plain[role]) or inner is not built[role]
        assert inner.hidden == plain[role].hidden and inner.activation == plain[role].activation


# Runs that are made once


TINY = [
    *("--latent", "2", "--epochs", "2", "--batch_size", "512"),
    *("--encoder", "mlp", "--encoder.hidden", "[8]", "--decoder", "mlp", "--decoder.hidden", "[8]"),
]


def test_a_run_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = shlex.join(TINY)
    first = made("digits", options, tmp_path / "a", 5)
    rows, found = first.history, first.evidence
    assert len(rows) == 2 and found[0]["particles"] == 5

    monkeypatch.setattr(paired, "train", None)
    again = made("digits", options, tmp_path / "a", 5)
    assert again.history == rows and again.evidence == found
    assert len(made("digits", options, tmp_path / "a", 6).evidence) == 2
    with pytest.raises(ValueError, match="a run of other options"):
        made("digits", f"{options} --clip 1", tmp_path / "a", None)

    groups = {"b": [again], "a (base)": [first], "none": []}
    base, same, none = table(groups, groups["a (base)"]).splitlines()[2:]
    assert none == "| none | diverged |  |  |  |  |"
    assert {base.split(" | ")[0], same.split(" | ")[0]} == {"| b", "| a (base)"}
    assert " | 0.00 | " in (base if base.startswith("| b") else same)


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    r"""A run of many options; tests change copies alone."""
    folder = tmp_path_factory.mktemp("kept") / "run"
    return train("digits", folder, [*TINY, *shlex.split(" ".join(EXTRA))], progress=False).dir


EXTRA = (
    "--scheduler CosineAnnealingLR --scheduler.T_max 2",
    "--warmup 2",
    "--clip 1",
    "--patience 5",
    "--optimizer Adam --optimizer.lr 0.01",
    "--encoder.norm layer",
)


@pytest.mark.parametrize("left_out", EXTRA)
def test_a_run_of_options_that_are_not_asked_for_is_refused(kept: Path, left_out: str) -> None:
    options = [*TINY, *shlex.split(" ".join(EXTRA))]
    fewer = [*TINY, *shlex.split(" ".join(part for part in EXTRA if part != left_out))]
    assert asked_for(Run(kept), "digits", options)
    assert asked_for(Run(kept), "digits", [*options, "--seed", "0", "--posterior", "Normal"])
    assert not asked_for(Run(kept), "digits", fewer)
    with pytest.raises(ValueError, match="a run of other options"):
        made("digits", shlex.join(fewer), kept, None)


def test_a_run_of_other_data_or_another_experiment_is_refused(kept: Path, tmp_path: Path) -> None:
    options = [*TINY, *shlex.split(" ".join(EXTRA))]
    for name, file, old, new in (
        ("data", "data.json", '"hash": "', '"hash": "0'),
        ("experiment", "config.yaml", "experiment: digits", "experiment: layers"),
    ):
        folder = Path(shutil.copytree(kept, tmp_path / name))
        text = (folder / file).read_text()
        assert old in text
        (folder / file).write_text(text.replace(old, new))
        assert not asked_for(Run(folder), "digits", options)


def evaluated(name: str, *records: tuple[str, int, int]) -> Any:
    r"""A run with records, each of a split, a number of data and one of particles."""
    names = ("split", "n", "particles")
    return SimpleNamespace(
        dir=Path(name), evidence=[dict(zip(names, r, strict=True)) for r in records]
    )


def test_the_record_is_that_of_the_numbers_of_each_datum() -> None:
    best = ("test", 300, 50)
    run = evaluated("a", ("train", 900, 90), ("test", 20, 99), ("test", 300, 5), best)
    assert tuple(record(run).values()) == best
    assert record(run) in records([run, evaluated("b", best)])
    with pytest.raises(ValueError, match="The run b was not evaluated on the test set"):
        record(evaluated("b", ("train", 900, 90)))


def test_the_record_is_the_one_whose_numbers_are_kept(kept: Path, tmp_path: Path) -> None:
    run = Run(shutil.copytree(kept, tmp_path / "run"))
    for split, particles, limit in (
        ("train", 9, 8),
        ("test", 6, 8),
        ("test", 3, 8),
        ("test", 9, 2),
    ):
        run.evaluate(split, particles=particles, limit=limit)
    found = evidence([run])
    assert found.shape == (1, 8) and record(run)["particles"] == 6
    assert found.mean() == pytest.approx(record(run)["log_evidence"])


@pytest.mark.parametrize("other", [("test", 300, 100), ("test", 20, 50)])
def test_runs_that_were_evaluated_differently_are_refused(other: tuple[str, int, int]) -> None:
    one, two = evaluated("a", ("test", 300, 50)), evaluated("b", other)
    for refused in (
        lambda: records([one, two]),
        lambda: evidence([one, two]),
        lambda: table({"one": [one], "two": [two]}, [one]),
    ):
        with pytest.raises(
            ValueError, match=r"evaluated differently: 300 data, 50 particles \(a\)"
        ):
            refused()


def test_a_run_that_was_interrupted_is_continued(tmp_path: Path) -> None:
    whole = train("digits", tmp_path / "whole", TINY, progress=False)
    half = tmp_path / "half"
    short = [*TINY[:3], "1", *TINY[4:]]
    train("digits", half, short, progress=False)
    # As if it had been meant to go on.
    for name in ("config.yaml", "provenance.json"):
        text = (half / name).read_text()
        for old, new in (("epochs: 1\n", "epochs: 2\n"), ('"epochs": 1,', '"epochs": 2,')):
            text = text.replace(old, new)
        (half / name).write_text(text)
    run = made("digits", shlex.join(TINY), half, None)
    assert [row["validation_elbo"] for row in Run(half).history] == [
        row["validation_elbo"] for row in whole.history
    ]
    assert run.evidence == []


@pytest.mark.parametrize(
    ("wanted", "kept", "same"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1, "b": 2}, {"a": 1}, True),
        ({"a": None}, {"a": 2}, False),
        ({"a": None}, {"a": {"class_path": "x"}}, False),
        ({"a": {"class_path": "x"}}, {"a": {"class_path": "y"}}, False),
        ({"a": {"class_path": "x"}}, {"a": None}, False),
        ({"a": [1, 2]}, {"a": [1, 3]}, False),
    ],
)
def test_options_agree(wanted: Any, kept: Any, same: bool) -> None:
    assert agree(wanted, kept) is same
