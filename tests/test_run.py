r"""A run's folder: what it holds, that it can be made again, loaded and evaluated."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyro
import pytest
import torch
import yaml
from safetensors import safe_open
from safetensors.torch import load_file

import ppl_vae
from ppl_vae import Run, load, train
from ppl_vae.folder.atomic import WriteError

SMALL = [
    *("--latent", "2", "--epochs", "2", "--batch_size", "512"),
    *("--encoder", "mlp", "--encoder.hidden", "[16]"),
    *("--decoder", "mlp", "--decoder.hidden", "[16]"),
]

EXPERIMENT = """
from collections.abc import Callable, Sequence

from ppl_vae import Conditional, Experiment
from ppl_vae.data import digits
from ppl_vae.families import Binomial, Normal
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE
from ppl_vae.networks import Network, mlp
from ppl_vae.objectives import IWAE, Objective
from ppl_vae.priors import GaussianMixture, Prior


def experiment(
    latent: int = 2,
    prior: Callable[[Sequence[int]], Prior] = lambda shape: GaussianMixture(shape, 3),
    objective: Objective = IWAE(4),
    encoder: Network = mlp([16]),
) -> Experiment:
    data = digits()
    q = Conditional(data.event_shape, Normal((latent,)), encoder, in_scale=data.maximum)
    p = Conditional((latent,), Binomial(data.event_shape, 16), mlp([16]), mean=data.mean)
    return Experiment(
        data=data, model=VAE(prior((latent,)), p), guide=Amortized(q), objective=objective,
        epochs=2, batch_size=512,
    )
"""

WIDE = """
import pyro.distributions as dist
import torch

from ppl_vae.priors import Prior


class Wide(Prior):
    def __init__(self, event_shape, width: float = 2.0):
        super().__init__(event_shape)
        self.register_buffer("width", torch.tensor(width))

    def forward(self):
        return dist.Normal(0.0, self.width).expand(self.event_shape).to_event(len(self.event_shape))
"""

HIERARCHICAL = """
from ppl_vae import Conditional, Experiment
from ppl_vae.data import digits
from ppl_vae.families import Binomial, Normal
from ppl_vae.guides import BottomUp
from ppl_vae.models import Hierarchical
from ppl_vae.networks import mlp
from ppl_vae.priors import StandardNormal


def experiment() -> Experiment:
    data = digits()
    shape, net = data.event_shape, mlp([16])
    up = [
        Conditional(shape, Normal((4,)), net, in_scale=data.maximum),
        Conditional((4,), Normal((2,)), net),
    ]
    down = [Conditional((2,), Normal((4,)), net)]
    p = Conditional((4,), Binomial(shape, 16), net, mean=data.mean)
    model = Hierarchical(StandardNormal((2,)), down, p)
    return Experiment(data=data, model=model, guide=BottomUp(up), epochs=1, batch_size=512)
"""

PARAM = """
import pyro
import pyro.distributions as dist
import torch
from pyro.distributions import constraints

from ppl_vae import Experiment
from ppl_vae.data import Data, Split, digits


def rows():
    data = digits()
    return {k: Split({"x": data[k].sites["x"].flatten(1)}) for k in data}


def model(x=None, *, n=1):
    n = n if x is None else len(x)
    loc = pyro.param("loc", torch.zeros(64))
    with pyro.plate("data", n, dim=-1):
        z = pyro.sample("z", dist.Normal(torch.zeros(()), torch.ones(())))
        pyro.sample("x", dist.Normal(loc + z[..., None], 5.0).to_event(1), obs=x)


def guide(x):
    scale = pyro.param("scale", torch.ones(()), constraint=constraints.positive)
    with pyro.plate("data", len(x), dim=-1):
        pyro.sample("z", dist.Normal(x.mean(-1) - 5, scale))


def experiment() -> Experiment:
    return Experiment(data=Data("flat", rows), model=model, guide=guide, epochs=1, batch_size=512)
"""


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Run:
    r"""A trained and evaluated run; tests do not change it."""
    run = train("digits", tmp_path_factory.mktemp("runs") / "small", SMALL, progress=False)
    run.evaluate("test", particles=30, limit=60)
    return run


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = np.random.default_rng(0).normal(3.0, 2.0, (60, 5))
    np.save(tmp_path / "table.npy", rows)
    return tmp_path / "table.npy"


def array_run(table: Path, out: Path, *options: str) -> Run:
    small = [*SMALL[2:4], "--batch_size", "16", *SMALL[6:]]
    return train("array", out, ["--file", str(table), *small, *options], progress=False)


def weights(folder: Path, name: str = "last") -> dict[str, torch.Tensor]:
    return load_file(folder / "checkpoints" / f"{name}.safetensors")


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name, t in a.items():
        assert torch.equal(t, b[name]), name


# The folder


def test_the_folder_holds_what_it_should(small: Run) -> None:
    names = {str(p.relative_to(small.dir)) for p in small.dir.rglob("*") if p.is_file()}
    assert names == {
        "config.yaml",
        "data.json",
        "provenance.json",
        "metrics.csv",
        "evidence.json",
        "evidence-test-60x30.npz",
        "checkpoints/last.safetensors",
        "checkpoints/best.safetensors",
    }
    assert {"versions", "commit", "device", "seconds", "parameters"} <= small.provenance.keys()
    assert [row["epoch"] for row in small.history] == [1, 2]
    parts = {f"{s}_{t}" for s in ("train", "validation") for t in ("elbo", "reconstruction", "kl")}
    assert parts <= small.history[0].keys()


def test_files_have_the_rights_of_others_that_the_user_makes(small: Run, tmp_path: Path) -> None:
    usual = write(tmp_path / "usual", "").stat().st_mode
    assert {p.stat().st_mode for p in small.dir.rglob("*") if p.is_file()} == {usual}


def test_the_configuration_is_resolved(small: Run) -> None:
    options = small.config["options"]
    assert small.config["experiment"] == "digits"
    assert options["epochs"] == 2 and options["batch_size"] == 512 and options["warmup"] == 0
    assert options["posterior"]["init_args"]["floor"] > 0
    assert options["likelihood"]["init_args"] == {"total": 16}
    network = {"hidden": [16], "activation": "SiLU", "dropout": 0.0, "norm": "none"}
    assert options["encoder"]["init_args"] == network
    assert {"seed", "optimizer", "scheduler", "patience", "clip", "device"} <= options.keys()


def test_training_again_from_the_configuration_gives_the_same_bits(
    small: Run, tmp_path: Path
) -> None:
    torch.manual_seed(123)  # whatever was drawn before
    options = []
    for name, value in small.config["options"].items():
        if value is not None:
            options += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
    again = train("digits", tmp_path / "again", options, progress=False)
    for name in ("last", "best"):
        assert_same(weights(small.dir, name), weights(again.dir, name))
    assert again.config == small.config


def test_another_seed_gives_other_bits(small: Run, tmp_path: Path) -> None:
    other = train("digits", tmp_path / "other", [*SMALL, "--seed", "1"], progress=False)
    mine, theirs = weights(small.dir), weights(other.dir)
    assert not any(torch.equal(mine[k], theirs[k]) for k in mine if mine[k].numel() > 100)


def test_training_leaves_the_parts_and_the_random_state_alone(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    warm = [*SMALL, "--warmup", "1"]
    first = train("digits", tmp_path / "a", warm, progress=False)
    second = train("digits", tmp_path / "b", warm, progress=False)
    assert torch.equal(before, torch.get_rng_state())
    assert first.experiment.objective is not second.experiment.objective
    assert_same(weights(first.dir), weights(second.dir))


def test_there_is_no_pickle(small: Run) -> None:
    small.codes()
    for path in small.dir.rglob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            assert list(file.keys())
    for path in small.dir.rglob("*.npz"):
        with np.load(path, allow_pickle=False) as arrays:
            assert all(arrays[name].dtype != object for name in arrays)
    for path in small.dir.rglob("*"):
        assert path.suffix not in (".pt", ".pth", ".pkl", ".pickle")


def test_shared_modules_are_stored_once_and_restored_shared(tmp_path: Path) -> None:
    vamp = [*SMALL, "--prior", "Vamp", "--prior.components", "7"]
    run = train("digits", tmp_path / "vamp", vamp, progress=False)
    stored = weights(run.dir, "best")
    storages = [t.flatten().tolist() for k, t in stored.items() if t.numel() > 500]
    assert len(storages) == len({str(s) for s in storages})

    loaded = load(run.dir)
    mine, theirs = loaded.model.state_dict(), loaded.guide.state_dict()
    shared = {t.data_ptr() for t in mine.values()} & {t.data_ptr() for t in theirs.values()}
    assert len(shared) == len(theirs)
    x = loaded.batch("test", 5)["x"]
    assert torch.equal(run.encode(x)["z"]["mean"], loaded.encode(x)["z"]["mean"])


# Loading


def test_load_gives_everything_back(small: Run) -> None:
    run = ppl_vae.load(small.dir)
    x = run.batch("test", 20)["x"]
    code = run.encode(x)["z"]
    assert {k: v.shape for k, v in code.items()} == dict.fromkeys(
        ("draw", "mean", "scale"), (20, 2)
    )
    assert (code["scale"] > 0).all()
    assert run.decode({"z": code["mean"]}).shape == run.reconstruct(x).shape == x.shape
    values, means = run.sample(5)
    assert values.shape == means.shape == (5, *x.shape[1:])
    assert set(values.unique().tolist()) <= set(range(17))
    assert torch.equal(run.sample(5)[0], values) and not torch.equal(
        run.sample(5, seed=1)[0], values
    )
    assert len(run.log_evidence(x, particles=10)) == 20
    assert not run.model.training and not run.guide.training
    assert run.data.counts == {"train": 1297, "validation": 200, "test": 300}


def test_the_best_weights_are_loaded_or_the_last(small: Run) -> None:
    best, last = load(small.dir), load(small.dir, weights="last")
    row = max(small.history, key=lambda r: r["validation_elbo"])
    assert row["epoch"] == 2  # of two epochs, so both are the same here
    assert_same(dict(best.model.state_dict()), dict(last.model.state_dict()))
    with pytest.raises(ValueError, match="'best' or 'last'"):
        load(small.dir, weights="first")


def test_the_best_epoch_need_not_be_the_last(tmp_path: Path) -> None:
    worse = [*SMALL, "--optimizer", "SGD", "--optimizer.lr", "0.001"]
    worse += ["--optimizer.maximize", "true"]
    run = train("digits", tmp_path / "worse", worse, progress=False)
    assert run.history[0]["validation_elbo"] > run.history[-1]["validation_elbo"]
    x = run.batch("test", 20)["x"]
    last = load(run.dir, weights="last")
    assert not torch.equal(run.encode(x)["z"]["mean"], last.encode(x)["z"]["mean"])


def test_a_run_works_where_its_data_are_absent(table: Path, tmp_path: Path) -> None:
    run = array_run(table, tmp_path / "run", "--prior", "Vamp", "--prior.components", "4")
    x = run.batch("test")["x"]
    expected = run.encode(x)["z"]["mean"]
    table.unlink()

    run = load(run.dir)
    assert torch.equal(run.encode(x)["z"]["mean"], expected)
    assert run.sample(3)[0].shape == run.reconstruct(x[:3]).shape == (3, 5)
    assert len(run.log_evidence(x, particles=5)) == len(x)
    assert {"learning_curves", "samples"} <= run.figures().keys()
    for ask in (lambda: run.data["test"], lambda: run.evaluate("test", particles=5), run.resume):
        with pytest.raises(ValueError, match=r"not available here .*table\.npy"):
            ask()


def test_other_data_than_those_of_the_run_are_refused(table: Path, tmp_path: Path) -> None:
    run = array_run(table, tmp_path / "run")
    np.save(table, np.load(table) ** 3)
    with pytest.raises(ValueError, match="not the one that the run was made with"):
        load(run.dir).batch("test")


def test_evidence_is_that_of_the_raw_data(table: Path, tmp_path: Path) -> None:
    run = array_run(table, tmp_path / "run")
    record = run.evaluate("test", particles=20)
    raw = run.log_evidence(particles=20).log_evidence.double().mean().item()
    assert record["log_evidence"] == pytest.approx(raw + run.data.log_volume, abs=1e-6)
    bits = -record["log_evidence"] / 5 / math.log(2)
    assert record["bits_per_dim"] == pytest.approx(bits)
    assert record["base_measure"] != "counting"


def test_codes_of_a_file_are_those_of_the_rows(table: Path, tmp_path: Path) -> None:
    run = array_run(table, tmp_path / "run")
    raw = np.load(table)
    np.save(tmp_path / "more.npy", raw)
    codes = run.codes_of(tmp_path / "more.npy")
    x = run.data.scaling(torch.from_numpy(raw)).float()  # type: ignore[misc]
    assert np.allclose(codes["z_mean"], run.encode(x)["z"]["mean"].numpy(), atol=1e-6)
    assert {"z", "z_mean", "z_scale"} == codes.keys()


def test_codes_of_a_file_are_binarized_as_the_training_data(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (60, 4), dtype=np.uint8)
    np.save(tmp_path / "grey.npy", grey)
    binary = ["--likelihood", "Bernoulli", "--binarization", "threshold"]
    run = array_run(tmp_path / "grey.npy", tmp_path / "run", *binary)
    codes = run.codes_of(tmp_path / "grey.npy")
    ones = torch.from_numpy((grey > grey.max() / 2).astype(np.float32))
    assert np.allclose(codes["z_mean"], run.encode(ones)["z"]["mean"].numpy(), atol=1e-6)


def test_codes_of_a_split_carry_labels_and_index(small: Run) -> None:
    codes = small.codes("validation", seed=3)
    assert codes["labels"].shape == codes["index"].shape == (200,)
    assert np.array_equal(codes["z"], small.codes("validation", seed=3)["z"])
    assert not np.array_equal(codes["z"], small.codes("validation", seed=4)["z"])


# Evaluation


def test_a_record_has_every_key(small: Run) -> None:
    (record,) = small.evidence
    keys = "method estimator particles split n log_evidence standard_error elbo bits_per_dim"
    assert {*keys.split(), "ess", "khat"} <= record.keys()
    assert record["ess"].keys() == {"median", "min"}
    assert record["khat"].keys() == {"median", "max", "share_over_0.7"}
    assert record["split"] == "test" and record["n"] == 60 and record["particles"] == 30
    assert record["elbo"] <= record["log_evidence"]
    bits = -record["log_evidence"] / 64 / math.log(2)
    assert record["bits_per_dim"] == pytest.approx(bits)
    assert len(small.evidence_per_datum("test")["log_evidence"]) == 60  # type: ignore[index]


def test_a_repeat_replaces_its_own_record_and_no_other(small: Run, tmp_path: Path) -> None:
    shutil.copytree(small.dir, tmp_path / "copy")
    run = load(tmp_path / "copy")
    run.evaluate("test", particles=30, limit=60, seed=5)
    run.evaluate("test", particles=5, limit=20)
    run.evaluate("test", particles=30, limit=20)
    run.evaluate("validation", particles=5, limit=20)
    found = [(r["split"], r["particles"], r["n"], r["seed"]) for r in run.evidence]
    assert found == [
        ("test", 30, 60, 5),
        ("test", 5, 20, 0),
        ("test", 30, 20, 0),
        ("validation", 5, 20, 0),
    ]
    # The report shows the evaluation of the most data.
    assert len(run.evidence_per_datum("test")["log_evidence"]) == 60


def test_a_limit_draws_a_random_subset_the_same_again(small: Run) -> None:
    first, again, other = (small.batch("test", 50, seed)["index"] for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert not torch.equal(first, torch.arange(50)) and len(first.unique()) == 50
    assert len(small.batch("test", 10_000)["index"]) == 300


def test_dynamic_binarization_is_drawn_from_the_seed(tmp_path: Path) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (60, 4), dtype=np.uint8)
    np.save(tmp_path / "grey.npy", grey)
    binary = ["--likelihood", "Bernoulli", "--binarization", "dynamic"]
    run = array_run(tmp_path / "grey.npy", tmp_path / "run", *binary)
    first, again, other = (run.batch("train", seed=seed)["x"] for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


# What is there already


def test_a_run_is_never_overwritten_unasked(small: Run) -> None:
    before = {p: p.read_bytes() for p in small.dir.rglob("*") if p.is_file()}
    with pytest.raises(ValueError, match="--overwrite"):
        train("digits", small.dir, SMALL, progress=False)
    assert before == {p: p.read_bytes() for p in small.dir.rglob("*") if p.is_file()}


def test_overwriting_replaces_everything(small: Run, tmp_path: Path) -> None:
    shutil.copytree(small.dir, tmp_path / "run")
    run = train("digits", tmp_path / "run", [*SMALL, "--seed", "7"], overwrite=True, progress=False)
    assert run.config["seed"] == 7 and run.evidence == []
    assert not list(run.dir.glob(".*"))


FAILING: dict[str, list[str]] = {
    "option": ["--nope", "1"],
    "size": ["--latent", "0"],
    "batch": ["--batch_size", "100000"],
    "support": ["--likelihood", "Bernoulli"],
}


@pytest.mark.parametrize("name", FAILING)
def test_a_failing_build_leaves_the_old_run_or_nothing(
    small: Run, tmp_path: Path, name: str
) -> None:
    options = [*SMALL, *FAILING[name]]
    with pytest.raises(ValueError):
        train("digits", tmp_path / "new", options, progress=False)
    assert not (tmp_path / "new").exists()

    before = {p: p.read_bytes() for p in small.dir.rglob("*") if p.is_file()}
    with pytest.raises(ValueError):
        train("digits", small.dir, options, overwrite=True, progress=False)
    assert before == {p: p.read_bytes() for p in small.dir.rglob("*") if p.is_file()}


@pytest.mark.parametrize("present", [False, True])
def test_a_folder_that_cannot_be_written_stays_as_it_was(
    small: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, present: bool
) -> None:
    if present:
        shutil.copytree(small.dir, tmp_path / "run")
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(ValueError, match="No space left"):
        train("digits", tmp_path / "run", SMALL, overwrite=True, progress=False)
    assert before == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    assert (tmp_path / "run").exists() == present


def test_a_folder_that_is_no_run_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path / "thesis.tex", "years of work")
    with pytest.raises(ValueError, match="is no run"):
        train("digits", tmp_path, SMALL, overwrite=True, progress=False)
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_file_in_the_way_is_an_error_of_both_kinds(tmp_path: Path) -> None:
    write(tmp_path / "file", "")
    with pytest.raises(WriteError, match="cannot be written"):
        train("digits", tmp_path / "file" / "run", SMALL, progress=False)


# Files of the user


def test_an_experiment_of_the_user_is_copied_and_loads_from_the_copy(tmp_path: Path) -> None:
    source = write(tmp_path / "mine.py", EXPERIMENT)
    run = train(str(source), tmp_path / "run", [], progress=False)
    assert run.config["experiment"] == "files/mine.py"
    assert len(run.config["files"]["files/mine.py"]) == 64
    # The defaults that no file can hold are those of the copy.
    assert "prior" not in run.config["options"]
    assert run.config["options"]["encoder"]["init_args"]["hidden"] == [16]
    x = run.batch("test", 5)["x"]
    source.unlink()
    loaded = load(run.dir)
    assert torch.equal(loaded.encode(x)["z"]["mean"], run.encode(x)["z"]["mean"])
    assert loaded.experiment.objective.particles == 4

    with (run.dir / "files" / "mine.py").open("a") as file:
        file.write("# changed\n")
    before = run.config["files"]["files/mine.py"][:12]
    with pytest.raises(ValueError, match=rf"mine\.py was changed .* undo .* {before} again"):
        load(run.dir)

    (run.dir / "files" / "mine.py").unlink()
    with pytest.raises(ValueError, match=rf"mine\.py is missing.* put it back .* {before}\)"):
        load(run.dir)


def test_a_relative_path_is_that_of_the_same_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.dont_write_bytecode", False)
    write(tmp_path / "mine.py", EXPERIMENT + WIDE)
    options = ["--prior", f"{tmp_path}/mine.py:Wide"]
    run = train("./mine.py", "run", options, progress=False)
    assert list(run.config["files"]) == ["files/mine.py"]
    assert run.config["experiment"] == "files/mine.py"
    assert run.config["options"]["prior"]["class_path"] == "files/mine.py:Wide"
    (tmp_path / "mine.py").unlink()
    assert type(load("run").model.prior).__name__ == "Wide"
    assert not list(tmp_path.rglob("__pycache__"))


def test_two_files_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    source = write(tmp_path / "mine.py", EXPERIMENT)
    part = write(tmp_path / "other" / "mine.py", WIDE)
    with pytest.raises(ValueError, match=r"Two files are named mine\.py"):
        train(str(source), tmp_path / "run", ["--prior", f"{part}:Wide"], progress=False)
    assert not (tmp_path / "run").exists()


def test_a_default_that_no_file_holds_can_be_replaced(tmp_path: Path) -> None:
    source = write(tmp_path / "mine.py", EXPERIMENT)
    options = ["--prior", "StandardNormal", "--objective", "ELBO", "--objective.particles", "2"]
    run = load(train(str(source), tmp_path / "run", options, progress=False).dir)
    assert type(run.model.prior).__name__ == "StandardNormal"
    assert run.experiment.objective.particles == 2
    with pytest.raises(ValueError, match="Name the class before its options"):
        train(str(source), tmp_path / "other", ["--objective.particles", "2"], progress=False)


def test_a_class_of_the_user_is_copied_with_its_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    source = write(tmp_path / "mine.py", WIDE)
    options = [*SMALL, "--prior", "mine.py:Wide", "--prior.width", "3"]
    run = train("digits", "run", options, progress=False)
    assert run.config["options"]["prior"] == {
        "class_path": "files/mine.py:Wide",
        "init_args": {"width": 3.0},
    }
    source.unlink()
    loaded = load("run")
    assert type(loaded.model.prior).__name__ == "Wide" and loaded.model.prior.width == 3.0
    loaded.resume(progress=False)

    write(tmp_path / "run" / "files" / "mine.py", WIDE.replace("2.0", "2.5"))
    with pytest.raises(ValueError, match="was changed"):
        load("run")

    # A copy is a source like any other.
    write(tmp_path / "run" / "files" / "mine.py", WIDE)
    again = [*SMALL, "--prior", "run/files/mine.py:Wide", "--prior.width", "3"]
    run = train("digits", "run", again, overwrite=True, progress=False)
    assert load("run").model.prior.width == 3.0


def test_a_hierarchical_experiment_of_the_user_works(tmp_path: Path) -> None:
    source = write(tmp_path / "deep.py", HIERARCHICAL)
    run = load(train(str(source), tmp_path / "run", [], progress=False).dir)
    x = run.batch("test", 6)["x"]
    codes = run.encode(x)
    assert sorted(code["mean"].shape[1] for code in codes.values()) == [2, 4]
    assert run.reconstruct(x).shape == run.sample(6)[0].shape == x.shape
    assert run.evaluate("test", particles=5, limit=20)["n"] == 20
    assert {"learning_curves", "reconstructions", "samples", "latent_space"} <= run.figures().keys()


def test_bare_parameters_of_pyro_are_kept(tmp_path: Path) -> None:
    run = train(str(write(tmp_path / "bare.py", PARAM)), tmp_path / "run", [], progress=False)
    trained = {k: v.detach().clone() for k, v in pyro.get_param_store().items()}
    assert trained["loc"].abs().max() > 0
    pyro.clear_param_store()
    load(run.dir)
    for name, value in trained.items():
        assert torch.equal(pyro.param(name), value)


# Damage


def truncated(path: Path, share: float = 0.5) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


DAMAGES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "folder": (shutil.rmtree, "There is no run folder"),
    "config missing": (lambda run: (run / "config.yaml").unlink(), "no config"),
    "config empty": (lambda run: (run / "config.yaml").write_text(""), "damaged or truncated"),
    "config truncated": (lambda run: truncated(run / "config.yaml"), "damaged"),
    "config of binary": (lambda run: (run / "config.yaml").write_bytes(b"\xff\x00"), "damaged"),
    "data missing": (lambda run: (run / "data.json").unlink(), "incomplete: data.json"),
    "data truncated": (lambda run: truncated(run / "data.json"), "incomplete: data.json"),
    "data without facts": (lambda run: (run / "data.json").write_text("{}"), "incomplete"),
    "best missing": (
        lambda run: (run / "checkpoints" / "best.safetensors").unlink(),
        "There is no checkpoint",
    ),
    "best truncated": (
        lambda run: truncated(run / "checkpoints" / "best.safetensors"),
        "truncated or damaged",
    ),
    "best empty": (
        lambda run: (run / "checkpoints" / "best.safetensors").write_bytes(b""),
        "truncated or damaged",
    ),
    "best of another kind": (
        lambda run: (run / "checkpoints" / "best.safetensors").write_bytes(b"{}" * 99),
        "truncated or damaged",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_folder_is_refused(small: Run, tmp_path: Path, name: str) -> None:
    damage, sentence = DAMAGES[name]
    shutil.copytree(small.dir, tmp_path / "run")
    damage(tmp_path / "run")
    with pytest.raises(ValueError, match=sentence):
        load(tmp_path / "run")


def test_weights_of_another_program_are_refused(small: Run, tmp_path: Path) -> None:
    shutil.copytree(small.dir, tmp_path / "run")
    path = tmp_path / "run" / "config.yaml"
    config = yaml.safe_load(path.read_text())
    config["options"]["latent"] = 3
    path.write_text(yaml.safe_dump(config))
    with pytest.raises(ValueError, match="are of another program"):
        load(tmp_path / "run")


def test_real_mnist_trains_and_loads(shared_data: Callable[..., Path], tmp_path: Path) -> None:
    root = shared_data("MNIST").parent
    options = ["--root", str(root), *SMALL[:2], "--epochs", "1", "--batch_size", "5000", *SMALL[6:]]
    run = load(train("mnist", tmp_path / "run", options, progress=False).dir)
    assert run.data.counts["test"] == 10_000
    record = run.evaluate("test", particles=5, limit=30)
    assert -800 < record["log_evidence"] < -50
