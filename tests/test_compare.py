r"""Comparison: groups of seeds, ranks, and what may not be ranked."""

from __future__ import annotations

import json
import math
import shlex
import shutil
import statistics
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ppl_vae import Run, train
from ppl_vae.cli import main
from ppl_vae.compare import groups, histories, paired, print_table
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
    command = f"ppl-vae evaluate {run} --split test --limit 20 --particles 30"
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
    assert main(tokens) == 0
    assert all(row["ready"] and row["comparable"] for row in groups([runs / "plain"]))


def test_a_run_that_was_stopped_at_once_is_to_be_trained_first(runs: Path) -> None:
    run = runs / "plain" / "seed-1"
    for name in ("evidence.json", "checkpoints/best.safetensors"):
        (run / name).unlink()
    *_, late = groups([runs / "plain"])
    commands = f"call ppl-vae resume {run}, then ppl-vae evaluate {run} --split test"
    commands += " --limit 20 --particles 30"
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


# Paired differences


def simulated(
    rng: np.random.Generator, S: int, n: int, seeds: float, data: float
) -> tuple[dict[int, np.ndarray], dict[int, np.ndarray]]:
    r"""Two models of equal evidence, whose differences vary by seed, by datum, and by both."""
    easy = 10 * rng.normal(size=n)
    a = easy + seeds * rng.normal(size=(S, 1)) + data * rng.normal(size=n) + rng.normal(size=(S, n))
    b = easy + rng.normal(size=(S, n))
    return dict(enumerate(a)), dict(enumerate(b))


@pytest.mark.parametrize(
    ("S", "seeds", "data"),
    [(1, 0.0, 0.0), (1, 0.0, 2.0), (2, 0.3, 0.0), (3, 0.3, 2.0), (8, 0.3, 2.0), (8, 0.0, 0.0)],
)
@pytest.mark.parametrize("same", [True, False])
def test_paired_differences_are_calibrated(S: int, seeds: float, data: float, same: bool) -> None:
    r"""Under no difference, 5 % of z are beyond 1.96, with two seeds as with many.

    Of 1000, within 3.2 % (4.6 standard errors), a part of which the approximation of the degrees of
    freedom takes; the mean is zero within 4.5 standard errors: fails once in 10000 seeds.
    """
    rng = np.random.default_rng(0)
    found = []

    for _ in range(1000):
        a, b = simulated(rng, S, 60, seeds, data)
        b = b if same else {seed + 100: v for seed, v in b.items()}
        found.append(paired(a, b).z)

    assert (np.abs(found) > 1.96).mean() == pytest.approx(0.05, abs=0.032)
    assert abs(np.mean(found)) < 4.5 / 1000**0.5


def test_a_pair_of_runs() -> None:
    r"""The mean of the differences, and the error of it."""
    a, b = np.array([1.0, 2.0, 6.0]), np.array([0.0, 2.0, 5.0])
    found = paired({0: a}, {7: b})
    assert found.difference == pytest.approx(2 / 3) and found.over == "data"
    assert found.standard_error == pytest.approx(np.std(a - b, ddof=1) / 3**0.5)
    assert found.degrees_of_freedom == 2
    back = paired({7: b}, {0: a})
    assert (back.difference, back.z) == (-found.difference, -found.z)


def test_several_seeds_cover_data_and_training() -> None:
    rng = np.random.default_rng(0)
    a, b = simulated(rng, 4, 50, 1.0, 1.0)
    found = paired(a, b)
    difference = np.stack([a[s] - b[s] for s in range(4)])
    assert found.over == "seeds and data"
    over = [np.std(difference.mean(i), ddof=1) / (50, 4)[i] ** 0.5 for i in (0, 1)]
    assert max(over) <= found.standard_error <= np.hypot(*over)
    assert paired({0: a[0]}, b).over == "data"


def test_many_data_are_normal() -> None:
    r"""With many degrees of freedom z is the difference over its error, far out too."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=100_000)
    for shift in (-30.0, 0.01, 0.1, 50.0):
        found = paired({0: noise + shift}, {0: np.zeros(100_000)})
        ratio = found.difference / found.standard_error
        assert found.z == pytest.approx(ratio, rel=0.02) or abs(ratio) > 50
        assert np.sign(found.z) == np.sign(shift) and np.isfinite(found.z)


def test_pairs_without_an_error() -> None:
    one = paired({0: np.array([1.0])}, {0: np.array([2.0])})
    assert one.difference == -1 and np.isnan(one.standard_error) and np.isnan(one.z)
    even = paired({0: np.ones(5)}, {0: np.ones(5)})
    assert even.z == 0 and paired({0: np.ones(5)}, {0: np.zeros(5)}).z == np.inf
    for a, b in (({}, {0: np.ones(2)}), ({0: np.ones(3)}, {0: np.ones(2)})):
        with pytest.raises(ValueError, match="evaluate all runs on the same rows"):
            paired(a, b)


def test_groups_tell_paired_differences(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    best, other = groups([runs / "plain", runs / "warm"])
    assert best["paired"] is None and "values" not in best
    values = [
        {s: Run(d).evidence_per_datum("test")["log_evidence"] for s, d in enumerate(row["dirs"])}
        for row in (other, best)
    ]
    assert other["paired"] == paired(*values).summary()
    gap = other["log_evidence"] - best["log_evidence"]
    assert other["paired"]["difference"] == pytest.approx(gap, rel=1e-5) and gap < 0
    assert json.dumps(other["paired"])

    print_table([best, other])
    out = " ".join(capsys.readouterr().out.split())
    assert f"{gap:.2f} ± {other['paired']['standard_error']:.2f}" in out
    assert "its standard error over seeds and data" in out and "another training are in it" in out
    print_table(groups([runs / "plain" / "seed-0", runs / "warm" / "seed-0"]))
    assert "another training is not" in " ".join(capsys.readouterr().out.split())


def test_without_numbers_per_datum_there_is_no_pair(runs: Path) -> None:
    for path in (runs / "warm").glob("*/evidence-*.npz"):
        path.unlink()
    rows = groups([runs / "plain", runs / "warm"])
    assert [row["paired"] for row in rows] == [None, None]
    assert all(row["comparable"] for row in rows)


# Records of other methods, and data that differ


def test_other_methods_are_not_compared(runs: Path) -> None:
    r"""Whatever the records of other methods hold, the comparison is the same."""
    before = groups([runs / "plain", runs / "warm"])
    others = [
        {"method": "ais", "split": "test", "n": 20, "particles": 900, "log_evidence": 0.0},
        {"method": "bdmc", "split": "test", "n": 20, "lower": -1.0},
        {"method": "gap", "split": "test"},
        {"method": "samples", "split": "train", "particles": None, "level": "good"},
    ]
    for run in map(Run, runs.glob("*/*")):
        (run.dir / "evidence.json").write_text(json.dumps([*others, *run.evidence]))
    assert groups([runs / "plain", runs / "warm"]) == before


def test_the_setting_that_all_share_counts(runs: Path) -> None:
    r"""Plain weighting before other draws, and what all have before what one has more of."""
    for name, extra in {
        "plain": {"particles": 30, "estimator": "importance weighting, Sobol points"},
        "warm": {"particles": 500},
    }.items():
        for run in map(Run, (runs / name).iterdir()):
            (record,) = run.evidence
            more = {**record, **extra, "log_evidence": 0.0}
            (run.dir / "evidence.json").write_text(json.dumps([more, record]))
    rows = groups([runs / "plain", runs / "warm"])
    assert all(row["comparable"] and row["particles"] == 30 for row in rows)
    assert {row["estimator"] for row in rows} == {"importance weighting"}


def test_data_that_all_share_count(runs: Path) -> None:
    r"""A run of more data is compared on those that all were evaluated on."""
    for run in map(Run, (runs / "warm").iterdir()):
        (record,) = run.evidence
        more = {**record, "n": 900, "rows": "ffff", "log_evidence": 0.0}
        (run.dir / "evidence.json").write_text(json.dumps([more, record]))
    rows = groups([runs / "plain", runs / "warm"])
    assert all(row["comparable"] and row["n"] < 900 for row in rows)


def test_ranked_by_annealing(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    r"""Where importance weighting falls short; a run that was not annealed is set apart."""
    first, second = (sorted((runs / name).iterdir())[0] for name in ("plain", "warm"))
    with pytest.raises(
        ValueError, match=r"on test by annealing; call .* --split test --method ais"
    ):
        groups([first, second], method="ais")
    Run(first).diagnose("ais", limit=4, steps=3, chains=2)
    assert main(["compare", str(first), str(second), "--method", "ais"]) == 0
    out = capsys.readouterr().out
    assert "4 data of test, annealed importance sampling, 2 chains of 3 steps" in out
    assert f"evaluate {second} --split test --method ais --limit 4 --steps 3 --chains 2" in out

    Run(second).diagnose("ais", limit=4, steps=3, chains=2)
    rows = groups([first, second], method="ais")
    assert all(row["comparable"] for row in rows)
    values = {run: Run(run).arrays_of(Run(run).evidence[-1]) for run in (first, second)}
    apart = abs(np.mean(values[first]["log_evidence"] - values[second]["log_evidence"]))  # type: ignore[index]
    assert rows[1]["paired"]["difference"] == pytest.approx(-apart)
    Run(second).diagnose("ais", limit=4, steps=4, chains=2)
    assert {row["steps"] for row in groups([first, second], method="ais")} == {3}


def test_seeds_that_were_annealed(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    r"""One that is not finite stops no comparison; the worst level counts."""
    for i, run in enumerate(map(Run, sorted((runs / "plain").iterdir()))):
        record = run.diagnose("ais", limit=4, steps=3, chains=2)
        levels = {"log_evidence": None if i else -200.0, "level": "poor" if i else "good"}
        (run.dir / "evidence.json").write_text(json.dumps([{**record, **levels}]))
    (row,) = groups([runs / "plain"], method="ais")
    assert row["runs"] == 2 and math.isnan(row["log_evidence"]) and row["level"] == "poor"
    assert main(["compare", str(runs / "plain"), "--method", "ais"]) == 0
    assert "Chains of some do not keep up" in capsys.readouterr().out
    with pytest.raises(ValueError, match="ranked by importance or ais, got 'gap'"):
        groups([runs / "plain"], method="gap")


APART = {
    "measure": (
        "record",
        {"base_measure": "lebesgue"},
        "base measure is lebesgue, not counting",
    ),
    "defensive": (
        "record",
        {"estimator": "importance weighting, 0.1 of the draws from the prior", "defensive": 0.1},
        "estimator is importance weighting, 0.1 of",
    ),
    "sobol": ("record", {"estimator": "importance weighting, Sobol points"}, "estimator is"),
    "data": ("record", {"n": 30}, "it was evaluated on 30 data, the others on"),
    "rows": ("record", {"rows": "ffff"}, "on other rows of the split"),
    "weights": (
        "record",
        {"weights": "last"},
        "its last weights were evaluated, not the best ones",
    ),
    "scaling": (
        "data",
        {"scaling": {"shift": 3.0, "scale": 2.0}},
        "preprocessing is (x - 3) / 2, not none",
    ),
    "columns": (
        "data",
        {"scaling": {"shift": [3.0, 1.0], "scale": [2.0, 1.0]}},
        "preprocessing is a scaling by columns",
    ),
    "volume": ("data", {"log_volume": -44.5}, "change of volume is -44.5, not 0.0"),
    "protocol": ("data", {"protocol": "fixed"}, "protocol is fixed, not"),
    "hash": ("data", {"hash": "0" * 64}, "its data are others (hash 000000000000..., not"),
}


@pytest.mark.parametrize("name", APART)
def test_what_may_not_be_ranked(runs: Path, name: str) -> None:
    r"""What is of other data, another measure or another estimator is set apart, and why."""
    where, values, reason = APART[name]
    shutil.copytree(runs / "plain", runs / "third")
    for config in runs.glob("third/*/config.yaml"):
        config.write_text(config.read_text().replace("clip: null", "clip: 9.0"))
    for run in map(Run, (runs / "warm").iterdir()):
        if where == "record":
            change(run.dir, **values)
        else:
            told = {**run.data_summary, **values}
            (run.dir / "data.json").write_text(json.dumps(told))

    *ranked, last = groups([runs / "plain", runs / "warm", runs / "third"])
    assert len(ranked) == 2 and all(row["comparable"] for row in ranked)
    assert last["name"] == "warm" and reason in last["reason"]
    assert last["paired"] is None
