r"""Laws of evaluating a run: each method files a record, its arrays and figures, and can go on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from ppl_vae.cli import main
from ppl_vae.cli.output import Counter
from ppl_vae.compare import groups
from ppl_vae.drawing.terms import terms
from ppl_vae.folder import checkpoint
from ppl_vae.report import write_report
from ppl_vae.run import Run, train
from ppl_vae.run.evaluations import forget
from ppl_vae.run.methods import METHODS, UNGUIDED
from ppl_vae.run.methods.bdmc import implied

SMALL = (
    "--epochs 2 --latent 2 --encoder mlp --encoder.hidden [16] --decoder mlp --decoder.hidden [16]"
)
OPTIONS: dict[str, dict[str, Any]] = {
    "importance": {"particles": 30},
    "ais": {"steps": 3, "chains": 4, "leapfrog": 2},
    "bdmc": {"steps": 3, "chains": 4, "leapfrog": 2, "simulations": 12, "particles": 30},
    "gap": {"particles": 20, "refine": 3, "steps": 3, "chains": 4},
    "calibration": {"simulations": 100, "draws": 7},
    "latent": {"draws": 2, "steps": 3, "chains": 4},
    "samples": {"draws": 60, "permutations": 99},
}
FIGURES = {
    "importance": {"tails"},
    "ais": set(),
    "bdmc": {"sandwich"},
    "gap": {"gaps"},
    "calibration": {"ranks", "differences", "coverage", "predictions"},
    "latent": {"dimensions_z", "aggregate_z", "rate_distortion"},
    "samples": {"classifier"},
}

methods = pytest.mark.parametrize("method", METHODS)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("runs") / "small"
    return train("digits", folder, SMALL.split(), progress=False)


@pytest.fixture
def run(trained: Run, tmp_path: Path) -> Run:
    return Run(shutil.copytree(trained.dir, tmp_path / "run"))


def call(capsys: pytest.CaptureFixture[str], line: str, status: int = 0) -> tuple[str, str]:
    assert main(line.split()) == status
    return tuple(capsys.readouterr())  # type: ignore[return-value]


def test_all_are_tried() -> None:
    assert OPTIONS.keys() == METHODS.keys() == FIGURES.keys()


@methods
def test_a_method_files_what_it_found(run: Run, method: str) -> None:
    record = run.diagnose(method, limit=60, **OPTIONS[method])
    assert run.evidence == [json.loads(json.dumps(record))]
    assert record["method"] == method and record["split"] == "test" and record["seconds"] > 0
    arrays = run.arrays_of(record)
    assert arrays is not None and len(arrays["index"]) == 60
    assert FIGURES[method] <= run.figures().keys()
    # The seconds are told last; numbers that are absent are not told.
    told = dict(terms(record))
    assert len(told) > 4 and [*told][-1] == "seconds"
    assert not any("None" in value or "nan" in value for value in told.values())
    # A repeat replaces its own, and gives the same numbers.
    again = run.diagnose(method, limit=60, **OPTIONS[method])
    assert run.evidence == [json.loads(json.dumps(again))]
    assert {**record, "seconds": 0} == {**again, "seconds": 0}
    assert not (run.dir / "unfinished").exists()


@pytest.mark.slow
def test_methods_stand_side_by_side(run: Run) -> None:
    r"""Each in the report; comparisons take importance weighting alone."""
    for method, options in OPTIONS.items():
        run.diagnose(method, limit=60, **options)
    assert [record["method"] for record in run.evidence] == [*METHODS]
    page = write_report(run).read_text()
    for word in ("Diagnosis", "Calibration of the guide", "Samples against held-out data"):
        assert word in page
    (group,) = groups([str(run.dir)])
    evidence = run.evidence_per_datum("test")
    assert evidence is not None
    assert group["log_evidence"] == pytest.approx(float(evidence["log_evidence"].mean()))


def test_annealing_and_its_gap_imply_an_interval(run: Run) -> None:
    r"""Of real data that are as likely as simulated ones; of others nothing is implied."""
    options = OPTIONS["ais"]
    annealed = run.diagnose("ais", limit=30, **options)
    record = run.diagnose("bdmc", simulations=12, particles=0, **options)
    spread = (annealed["standard_error"] ** 2 + record["lower_error"] ** 2) ** 0.5
    for apart in (0.0, 3.9, 4.1, -4.1):
        real = {**annealed, "log_evidence": record["lower"] + apart * spread}
        found = implied(record, [real], "test")
        assert found is not None and found["n"] == 30
        if abs(apart) > 4:
            assert found["apart"] == pytest.approx(apart * spread)
        else:
            width = record["gap_edge"] + 4 * annealed["monte_carlo_error"]
            assert found["upper"] - found["lower"] == pytest.approx(width)

    for other in ({**annealed, "steps": 4}, {**annealed, "split": "train"}):
        assert implied(record, [other], "test") is None


def test_annealing_is_laid_beside_importance_weighting(run: Run) -> None:
    r"""Datum by datum, as far as both are of the same data and weights."""
    assert "above_importance" not in run.diagnose("ais", limit=20, **OPTIONS["ais"])
    run.diagnose("importance", limit=60, particles=30)
    record = run.diagnose("ais", limit=20, seed=0, **OPTIONS["ais"])
    importance, annealed = run.evidence_per_datum("test"), run.arrays_of(record)
    assert importance is not None and annealed is not None
    known = dict(zip(importance["index"], importance["log_evidence"], strict=True))
    pairs = zip(annealed["index"], annealed["log_evidence"], strict=True)
    apart = [value - known[i] for i, value in pairs if i in known]
    above = record["above_importance"]
    assert above["n"] == len(apart) and above["particles"] == 30
    assert above["difference"] == pytest.approx(sum(apart) / len(apart))
    assert f"{above['difference']:.2f} ±" in record["verdict"]


@pytest.mark.parametrize("method", ["importance", "ais"])
def test_a_stopped_evaluation_goes_on(run: Run, method: str) -> None:
    r"""What was finished before a stop is not done again, and the numbers are the same."""
    options = {**OPTIONS[method], "limit": 240}
    whole = run.diagnose(method, **options)
    (run.dir / "evidence.json").unlink()
    done: list[int] = []

    def stop(n: int) -> None:
        done.append(n)
        if sum(done) >= 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.diagnose(method, **options, progress=stop)
    assert any((run.dir / "unfinished").iterdir()) and not run.evidence

    again = run.diagnose(method, **options)
    assert {**again, "seconds": 0} == {**whole, "seconds": 0}
    assert not (run.dir / "unfinished").exists()


def test_evaluations_are_forgotten(run: Run) -> None:
    r"""As they are where training goes on: records, arrays, and what was not finished."""
    run.diagnose("ais", limit=30, **OPTIONS["ais"])
    assert {path.name for path in run.dir.glob("*.npz")} == {"ais-test-30x4-3-steps-prior.npz"}
    forget(run.dir, run.evidence)
    assert not [*run.dir.glob("*.npz")] and not run.evidence


def test_blocks_of_other_weights_are_not_taken(run: Run) -> None:
    def stop(n: int) -> None:
        raise KeyboardInterrupt

    options = {"limit": 60, "particles": 30}
    with pytest.raises(KeyboardInterrupt):
        run.diagnose("importance", **options, progress=stop)

    # A file of other weights, in the place of those.
    path = run.dir / "checkpoints" / "best.safetensors"
    tensors, content = checkpoint.read(path)
    for name, t in tensors.items():
        if t.is_floating_point():
            tensors[name] = t * 1.01
    checkpoint.write(path, (tensors, content))
    first = Run(run.dir).diagnose("importance", **options)
    shutil.rmtree(run.dir / "unfinished", ignore_errors=True)
    again = Run(run.dir).diagnose("importance", **options)
    assert first["log_evidence"] == again["log_evidence"]


# The command line


def test_methods_on_the_command_line(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"evaluate {run.dir} --method ais --limit 20 --steps 3 --chains 4 --leapfrog 2"
    out, err = call(capsys, f"{line} --json")
    record = json.loads(out)
    assert record in run.evidence and record["steps"] == 3
    assert f"log p(x) = {record['log_evidence']:.2f}" in err

    out, err = call(capsys, f"evaluate {run.dir} --particles 30 --limit 20 --defensive 0.2 --json")
    assert json.loads(out)["defensive"] == 0.2

    out, _ = call(capsys, "evaluate --method bdmc --help")
    assert "--simulations" in out and "--leapfrog" in out and "--defensive" not in out


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("--method bdcm", "no method 'bdcm'"),
        ("--method ais --particles 3", "no option --particles"),
        ("--method ais --steps 0", "steps of 1 or more"),
        ("--method calibration --simulations 3", "20 simulations"),
    ],
)
def test_refusals(run: Run, capsys: pytest.CaptureFixture[str], line: str, told: str) -> None:
    _, err = call(capsys, f"evaluate {run.dir} {line} --limit 20", status=2)
    assert told in err and len(err.strip().splitlines()) == 1
    assert not run.evidence


def test_a_guide_without_a_density(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    r"""Annealing from the prior, and samples, judge the model alone."""
    options = f"{SMALL} --posterior Delta --objective RAE".split()
    run = train("digits", tmp_path / "run", options, progress=False)
    for method in METHODS:
        if method in UNGUIDED:
            run.diagnose(method, limit=20, **OPTIONS[method])
        else:
            with pytest.raises(ValueError, match="no density"):
                run.diagnose(method)
    records = {record["method"]: record for record in run.evidence}
    assert records.keys() == set(UNGUIDED)
    assert records["bdmc"]["lower"] < records["bdmc"]["upper"] and "cubo" not in records["bdmc"]
    assert "log p(x)" in write_report(run).read_text()

    line = f"evaluate {run.dir} --method ais --start guide --limit 20"
    _, err = call(capsys, line, status=2)
    assert "start from the prior" in err


def test_estimators_stand_side_by_side(run: Run) -> None:
    r"""Draws of other kinds do not replace the plain ones, which a run's own number is of."""
    plain = run.diagnose("importance", limit=20, particles=32)
    for options in ({"defensive": 0.25}, {"draws": "sobol"}, {"refine": 2}):
        run.diagnose("importance", limit=20, particles=32, **options)
    assert len(run.evidence) == len([*run.dir.glob("evidence-*.npz")]) == 4
    arrays = run.evidence_per_datum("test")
    assert arrays is not None
    assert float(arrays["log_evidence"].mean()) == pytest.approx(plain["log_evidence"])


def test_a_refined_guide_is_not_the_run_s(run: Run) -> None:
    r"""Its ELBO is told as that of the refined guide, and as no ELBO of the run."""
    record = run.diagnose("importance", limit=20, particles=30, refine=2)
    assert "refined_elbo" in record and not {"elbo", "kl", "reconstruction"} & record.keys()
    told = dict(terms(record))
    assert "ELBO of the refined guide" in told and "ELBO" not in told
    (group,) = groups([str(run.dir)])
    assert group["comparable"] and "elbo" not in group


def test_annealing_that_falls_behind_says_so(run: Run) -> None:
    r"""Beside the importance weighting of the most of the same data, with the most particles."""
    for particles, limit in ((30, 20), (60, 20), (200, 3)):
        run.diagnose("importance", limit=limit, particles=particles)
    record = run.diagnose("ais", limit=20, steps=1, chains=4)
    above = record["above_importance"]
    assert above["n"] == 20 and above["particles"] == 60 and above["difference"] < 0
    assert "nats below importance weighting with 60 particles" in record["verdict"]
    assert record["level"] != "good"


def test_bounds_that_cannot_be_are_clipped(run: Run) -> None:
    r"""A divergence is not negative, and the information of codes at most their rate."""
    record = run.diagnose("latent", limit=20, draws=2, steps=0)
    rate = record["rate"]
    wide = {"lower": -1.0, "upper": rate + 5}
    told = dict(terms({**record, "information": wide, "marginal_kl": wide}))
    assert told["mutual information"] == told["KL(q(z), p(z))"] == f"0.00 to {rate:.2f}"
    below = {"lower": -2.0, "upper": -1.0}
    assert dict(terms({**record, "marginal_kl": below}))["KL(q(z), p(z))"] == "0.00 to 0.00"
    assert dict(terms({**record, "rate": None, "marginal_kl": below}))["KL(q(z), p(z))"]


def test_a_stop_tells_what_is_kept(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    r"""Nothing before the first data are finished, or of a method that keeps none."""
    counted = Counter.__call__

    def stopped(after: int) -> None:
        def stop(self: Counter, n: int) -> None:
            counted(self, n)
            if self.done > after:
                raise KeyboardInterrupt

        monkeypatch.setattr(Counter, "__call__", stop)

    for line, after, kept in (
        ("--method ais --limit 60 --steps 3 --chains 2", 50, True),
        ("--method ais --limit 60 --steps 4 --chains 2", 10, False),
        ("--method calibration --simulations 100", 0, False),
        ("--limit 120 --particles 30", 50, True),
    ):
        stopped(after)
        _, err = call(capsys, f"evaluate {run.dir} {line}", status=130)
        assert ("the same command goes on from there" in err) == kept, line
