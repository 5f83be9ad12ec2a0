r"""Comparison: groups of seeds, ranks, and what may not be ranked."""

from __future__ import annotations

import json
import shlex
import shutil
import statistics
from pathlib import Path
from typing import Any

import pytest

from ppl_vae import Run, train
from ppl_vae.cli import main
from ppl_vae.compare import groups, histories, print_table
from ppl_vae.compare.configuration import configuration

SMALL = [
    *("--latent", "2", "--epochs", "1", "--batch_size", "512"),
    *("--encoder", "mlp", "--encoder.hidden", "[16]"),
    *("--decoder", "mlp", "--decoder.hidden", "[16]"),
]


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    r"""A folder with two variants of two seeds each; tests change copies alone."""
    folder = tmp_path_factory.mktemp("runs")
    for name, more in {"plain": [], "warm": ["--warmup", "1"]}.items():
        for seed in ("0", "1"):
            out = folder / name / f"seed-{seed}"
            run = train("digits", out, [*SMALL, *more, "--seed", seed], progress=False)
            run.evaluate("test", particles=30, limit=20)
    return folder


@pytest.fixture
def runs(evaluated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(evaluated, tmp_path / "runs"))


def change(run: Path, **values: Any) -> None:
    r"""Puts other values into the run's one record."""
    (record,) = Run(run).evidence
    (run / "evidence.json").write_text(json.dumps([{**record, **values}]))


def test_runs_that_differ_in_the_seed_alone_are_one_group(runs: Path) -> None:
    rows = groups([runs / "plain", runs / "warm"])
    assert sorted((row["name"], row["runs"]) for row in rows) == [("plain", 2), ("warm", 2)]

    row = next(row for row in rows if row["name"] == "plain")
    members = [Run(runs / "plain" / f"seed-{s}").evidence[0] for s in (0, 1)]
    values = [m["log_evidence"] for m in members]
    assert row["log_evidence"] == pytest.approx(statistics.fmean(values))
    assert row["standard_error"] == pytest.approx(statistics.stdev(values) / 2**0.5)
    assert row["standard_error_kind"] == "over seeds"
    shares = [m["khat"]["share_over_0.7"] for m in members]
    assert row["khat_share"] == pytest.approx(statistics.fmean(shares))


def test_the_best_comes_first(runs: Path) -> None:
    for seed, value in (("0", -500.0), ("1", -501.0)):
        change(runs / "plain" / f"seed-{seed}", log_evidence=value)
    names = [row["name"] for row in groups([runs / "plain", runs / "warm"])]
    assert names == ["warm", "plain"]


def test_a_single_run_has_the_error_over_data(runs: Path) -> None:
    (row,) = groups([runs / "plain" / "seed-0"])
    record = Run(runs / "plain" / "seed-0").evidence[0]
    assert row["runs"] == 1 and row["standard_error_kind"] == "over data"
    assert row["standard_error"] == record["standard_error"]


def test_a_run_counts_once(runs: Path) -> None:
    run = runs / "plain" / "seed-0"
    (row,) = groups([run, run, run.parent / ".." / "plain" / "seed-0"])
    assert row["runs"] == 1


OTHER = {"n": 19, "particles": 29, "estimator": "exact", "base_measure": "Lebesgue"}


@pytest.mark.parametrize("name", OTHER)
def test_what_was_measured_otherwise_is_set_apart(
    runs: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in ("0", "1"):
        change(runs / "warm" / f"seed-{seed}", **{name: OTHER[name], "log_evidence": 0.0})
    shutil.copytree(runs / "plain" / "seed-0", runs / "third" / "seed-0")
    config = runs / "third" / "seed-0" / "config.yaml"
    config.write_text(config.read_text().replace("clip: null", "clip: 9.0"))

    first, second, last = groups([runs / v for v in ("plain", "warm", "third")])
    assert first["comparable"] and second["comparable"] and not last["comparable"]
    assert last["name"] == "warm" and str(OTHER[name]) in last["reason"]
    print_table([first, second, last])
    assert f"warm is not ranked: {last['reason']}" in " ".join(capsys.readouterr().out.split())


def test_seeds_that_were_evaluated_differently_are_no_group(runs: Path) -> None:
    change(runs / "plain" / "seed-1", particles=7)
    rows = groups([runs / "plain"])
    assert [row["runs"] for row in rows] == [1, 1]
    assert [row["comparable"] for row in rows] == [True, False]


def test_the_most_particles_count(runs: Path) -> None:
    run = runs / "plain" / "seed-0"
    (record,) = Run(run).evidence
    worse = {**record, "particles": 2, "log_evidence": 0.0}
    (run / "evidence.json").write_text(json.dumps([worse, record]))
    assert groups([run])[0]["particles"] == 30


def test_a_copy_is_no_further_seed(runs: Path) -> None:
    first = next(runs.glob("*/seed-0"))
    shutil.copytree(first, first.parent / "seed-9")
    before = {row["name"]: row["runs"] for row in groups(sorted(runs.glob("*/seed-[0-8]")))}
    after = {row["name"]: row["runs"] for row in groups(sorted(runs.glob("*/seed-*")))}
    assert before == after


@pytest.mark.parametrize("option", ["--signal 4", "--compile off", "--device cpu"])
def test_what_changes_no_result_makes_no_configuration(runs: Path, option: str) -> None:
    run = train(
        "digits",
        runs / "plain" / "seed-2",
        [*SMALL, "--seed", "2", *shlex.split(option)],
        progress=False,
    )
    assert configuration(run) == configuration(Run(runs / "plain" / "seed-0"))
    assert configuration(run) != configuration(Run(runs / "warm" / "seed-0"))
    (row,) = histories([runs / "plain"])
    assert len(row["histories"]) == 3


def test_folders_of_one_name_are_told_apart(runs: Path) -> None:
    shutil.copytree(runs / "warm", runs / "other" / "plain")
    names = {row["name"] for row in groups([runs / "plain", runs / "other" / "plain"])}
    assert names == {str(runs / "plain"), str(runs / "other" / "plain")}


def test_a_name_is_printed_as_it_is(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (runs / "plain" / "seed-0").rename(runs / "[red]")
    assert main(["compare", str(runs / "[red]")]) == 0
    assert "[red]" in capsys.readouterr().out


def test_a_run_that_was_not_evaluated_is_set_apart(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    r"""The others are ranked as if it were not there, and it is told what it lacks."""
    alone = groups([runs / "plain" / "seed-0", runs / "warm"])
    run, page = runs / "plain" / "seed-1", tmp_path / "page.html"
    (run / "evidence.json").unlink()
    *ranked, late = groups([runs / "plain", runs / "warm"])
    assert [(r["name"], r["log_evidence"]) for r in ranked] == [
        (r["name"] if r["runs"] > 1 else "plain", r["log_evidence"]) for r in alone
    ]
    assert not late["ready"] and not late["comparable"] and late["name"] == str(run)
    assert all(row["ready"] and row["comparable"] for row in ranked)

    assert main(["compare", str(runs / "plain"), str(runs / "warm"), "--out", str(page)]) == 0
    command = f"ppl-vae evaluate {run} --split test"
    out = capsys.readouterr().out
    assert f"{run} is not ranked: it was not evaluated on test; call {command}\n" in out
    assert "nan" not in out and "over data and over seeds" in out
    assert "Not evaluated yet" in page.read_text() and command in page.read_text()


def test_the_command_for_a_run_that_was_not_evaluated_works(runs: Path) -> None:
    run = runs / "plain" / "seed 1"
    (runs / "plain" / "seed-1").rename(run)
    (run / "evidence.json").unlink()
    *_, late = groups([runs / "plain"])
    tokens = shlex.split(late["reason"].partition("ppl-vae ")[2])
    assert main([*tokens, "--particles", "30", "--limit", "20"]) == 0
    assert all(row["ready"] for row in groups([runs / "plain"]))


def test_a_run_that_was_stopped_at_once_is_to_be_trained_first(runs: Path) -> None:
    run = runs / "plain" / "seed-1"
    for name in ("evidence.json", "checkpoints/best.safetensors"):
        (run / name).unlink()
    *_, late = groups([runs / "plain"])
    commands = f"call ppl-vae resume {run}, then ppl-vae evaluate {run} --split test"
    assert late["reason"] == f"it was not trained yet; {commands}"


def test_runs_none_of_which_was_evaluated_are_refused(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in ("0", "1"):
        (runs / "plain" / f"seed-{seed}" / "evidence.json").unlink()
    with pytest.raises(ValueError, match="was not evaluated on test; call ppl-vae evaluate"):
        groups([runs / "plain" / "seed-1"])
    assert main(["compare", str(runs / "plain")]) == 2
    out, error = capsys.readouterr()
    assert out == "" and error.count("\n") == 1
    assert str(runs / "plain" / "seed-0") in error and "1 other run" in error
    with pytest.raises(ValueError, match="--split validation"):
        groups([runs / "warm"], split="validation")


def test_a_folder_without_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="There is no run in"):
        groups([tmp_path])


def test_the_command_prints_a_table_and_writes_a_page(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "page.html"
    arguments = ["compare", str(runs / "plain"), str(runs / "warm"), "--out", str(page)]
    assert main(arguments) == 0
    out = capsys.readouterr().out
    assert "log p(x) [nats]" in out and "plain (2 seeds)" in out and str(page) in out
    assert "standard error over seeds" in out
    assert page.read_text().lstrip().startswith("<!")
    assert "Learning curves of several runs" in page.read_text()


def test_histories_are_those_of_configurations(runs: Path) -> None:
    r"""In the order of the ranking, the seeds that were not evaluated among the others."""
    (runs / "plain" / "seed-1" / "evidence.json").unlink()
    change(runs / "plain" / "seed-0", log_evidence=-500.0)
    folders = [runs / "plain", runs / "warm"]
    first, second = histories(folders, groups(folders))
    assert (first["name"], second["name"]) == ("warm", "plain")
    assert first["ranked"] and second["ranked"]
    assert second["histories"] == [Run(runs / "plain" / f"seed-{s}").history for s in (0, 1)]
    assert [row["name"] for row in histories(folders)] == ["plain", "warm"]


def test_what_is_not_ranked_comes_last_among_histories(runs: Path) -> None:
    for seed in (0, 1):
        (runs / "plain" / f"seed-{seed}" / "evidence.json").unlink()
    folders = [runs / "plain", runs / "warm"]
    found = histories(folders, groups(folders))
    assert [(row["name"], row["ranked"]) for row in found] == [("warm", True), ("plain", False)]


def test_the_command_draws_learning_curves(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = tmp_path / "curves.png"
    assert main(["compare", str(runs), "--curves", str(figure)]) == 0
    out = capsys.readouterr().out
    assert str(figure) in out and "plain (2 seeds)" in out
    assert figure.read_bytes()[1:4] == b"PNG"


def test_learning_curves_need_no_evaluation(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in runs.glob("*/*/evidence.json"):
        path.unlink()
    figure, page = tmp_path / "curves.png", tmp_path / "page.html"
    assert main(["compare", str(runs), "--curves", str(figure)]) == 0
    out, error = capsys.readouterr()
    assert out == f"{figure}\n" and "was not evaluated on test" in error and figure.is_file()
    figure.unlink()
    assert main(["compare", str(runs), "--curves", str(figure), "--out", str(page)]) == 2
    assert not figure.exists() and not page.exists()


def test_learning_curves_are_drawn_to_png(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", str(runs), "--curves", str(tmp_path / "curves.doc")]) == 2
    out, error = capsys.readouterr()
    assert out == "" and "a .png file" in error and error.count("\n") == 1
