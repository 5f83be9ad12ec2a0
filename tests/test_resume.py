r"""Resumed trainings equal uninterrupted ones, bit by bit; checkpoints are always whole."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ppl_vae import Run, load, train
from ppl_vae.cli import main
from ppl_vae.fit import Interrupted, Training
from ppl_vae.folder.checkpoint import read
from ppl_vae.nonfinite import NonFiniteError
from ppl_vae.staging.inductor import has_compiler
from ppl_vae.svi import SVI

SMALL = [
    *("--latent", "2", "--batch_size", "500"),  # 3 steps an epoch, the last a shorter batch
    *("--encoder", "mlp", "--encoder.hidden", "[16]"),
    *("--decoder", "mlp", "--decoder.hidden", "[16]"),
]

VARIANTS: dict[str, list[str]] = {
    "plain": [],
    "eager": ["--compile", "off"],
    "replayed": ["--compile", "fx"],
    "warm-up": ["--warmup", "3"],
    "particles": ["--objective", "IWAE", "--objective.particles", "3"],
    "multiplier": ["--objective", "GECO", "--objective.target", "-90"],
    "baseline": ["--objective", "NVIL", "--prior", "Bernoulli", "--posterior", "Bernoulli"],
    # Stopped before the model's first turn, then in the middle of the guide's second.
    "turns": ["--objective", "MonteCarloEM", "--objective.guide_steps", "6"],
    "hooks": ["--objective", "DReG", "--objective.particles", "3"],
    "capacity": [
        *("--objective", "Capacity", "--objective.capacity", "LinearWarmup"),
        *("--objective.capacity.steps", "9", "--objective.capacity.end", "5.0"),
    ],
    "vamp": ["--prior", "Vamp", "--prior.components", "5"],
    "flow": ["--prior", "Flow"],
    "clip": ["--clip", "1.0"],
    "step": ["--scheduler", "StepLR", "--scheduler.step_size", "2"],
    "milestones": ["--scheduler", "MultiStepLR", "--scheduler.milestones", "[3, 4]"],
    "plateau": ["--scheduler", "ReduceLROnPlateau", "--scheduler.patience", "0"],
    "cosine": ["--scheduler", "CosineAnnealingLR", "--scheduler.T_max", "5"],
    "momentum": ["--optimizer", "SGD", "--optimizer.lr", "1e-4", "--optimizer.momentum", "0.9"],
    "adamw": ["--optimizer", "AdamW", "--optimizer.amsgrad", "true"],
    "everything": [
        *("--warmup", "2", "--prior", "Vamp", "--prior.components", "5", "--patience", "2"),
        *("--objective", "ELBO", "--objective.particles", "2"),
        *("--scheduler", "ExponentialLR", "--scheduler.gamma", "0.5"),
    ],
    "early stop": [
        *("--patience", "2", "--optimizer", "SGD", "--optimizer.lr", "1e-4"),
        *("--optimizer.maximize", "true"),
    ],
}


def state(folder: Path) -> dict[str, Any]:
    r"""All that two equal trainings share: tensors and numbers, but no seconds."""
    found: dict[str, Any] = {}

    for name in ("last", "best"):
        tensors, rest = read(folder / "checkpoints" / f"{name}.safetensors")
        for row in [*rest.get("history", []), rest.get("best") or {}]:
            row.pop("seconds", None)
        found |= {f"{name}.{k}": t for k, t in tensors.items()}
        found |= {f"{name}:{k}": v for k, v in rest.items()}

    found["metrics"] = [
        {k: v for k, v in row.items() if k != "seconds"} for row in Run(folder).history
    ]
    return found


def assert_equal(folder: Path, other: Path) -> None:
    mine, theirs = state(folder), state(other)
    assert mine.keys() == theirs.keys()
    for name, value in mine.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, theirs[name]), name
        else:
            assert value == theirs[name], name


@pytest.fixture
def stopping(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    r"""Sends this process a signal during a step, counted from now."""
    plain = SVI.run

    def stop_at(step: int, signum: int = signal.SIGTERM) -> None:
        left = [step]

        def counting(self: SVI, *given: Any) -> dict[str, torch.Tensor]:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signum)
            return plain(self, *given)

        monkeypatch.setattr(SVI, "run", counting)

    return stop_at


def assert_resumes(folder: Path, stopping: Callable[[int], None], options: list[str]) -> Path:
    r"""A training of digits that is interrupted at its fifth step ends as one that is not.

    Returns:
        The folder of the one that is not.
    """
    whole, parts = folder / "whole", folder / "parts"
    train("digits", whole, options, progress=False)
    stopping(5)
    with pytest.raises(Interrupted):
        train("digits", parts, options, progress=False)
    torch.manual_seed(99)
    Run(parts).resume(progress=False)
    assert_equal(whole, parts)
    return whole


# A plain one, one with a state of its own, and one of all; the others take as long each.
QUICK = ("plain", "everything", "multiplier")


@pytest.mark.parametrize(
    "name", [pytest.param(v, marks=() if v in QUICK else pytest.mark.slow) for v in VARIANTS]
)
def test_a_resumed_training_equals_an_uninterrupted_one(
    tmp_path: Path, stopping: Callable[[int], None], name: str
) -> None:
    options = [*SMALL, "--epochs", "5", *VARIANTS[name]]
    train("digits", tmp_path / "whole", options, progress=False)

    # In the middle of the second epoch, then at the end of an epoch, then to the end.
    stopping(5)
    with pytest.raises(Interrupted):
        train("digits", tmp_path / "parts", options, progress=False)
    torch.manual_seed(99)  # a new process would have another random state
    stopping(4)
    with pytest.raises(Interrupted):
        Run(tmp_path / "parts").resume(progress=False)
    Run(tmp_path / "parts").resume(progress=False)

    assert_equal(tmp_path / "whole", tmp_path / "parts")
    lasts = {"early stop": 3, "everything": None}
    if lasts.get(name, 5) is not None:
        assert len(Run(tmp_path / "parts").history) == lasts.get(name, 5)


@pytest.mark.slow
@pytest.mark.skipif(
    not has_compiler(torch.device("cpu")), reason="Inductor needs a C++ compiler, such as g++"
)
def test_a_compiled_training_resumes_to_the_same_bits(
    tmp_path: Path, stopping: Callable[[int], None]
) -> None:
    r"""The steps of an epoch are taken in one call, and its short last batch in another."""
    options = [*SMALL, "--epochs", "5", "--compile", "inductor"]
    train("digits", tmp_path / "whole", options, progress=False)

    for calls in (3, 2):  # after the steps of the second epoch, then after a whole epoch
        stopping(calls)
        with pytest.raises(Interrupted):
            if calls == 3:
                train("digits", tmp_path / "parts", options, progress=False)
            else:
                Run(tmp_path / "parts").resume(progress=False)

    Run(tmp_path / "parts").resume(progress=False)
    assert_equal(tmp_path / "whole", tmp_path / "parts")
    assert Run(tmp_path / "parts").provenance["compile"] == "inductor"


def test_a_loaded_run_resumes_like_any_other(
    tmp_path: Path, stopping: Callable[[int], None]
) -> None:
    # `load` puts programs into evaluation mode, where dropout drops nothing.
    source = tmp_path / "dropout.py"
    source.write_text(DROPOUT)
    options = ["--epochs", "3"]
    train(str(source), tmp_path / "whole", options, progress=False)
    stopping(5)
    with pytest.raises(Interrupted):
        train(str(source), tmp_path / "parts", options, progress=False)
    run = load(tmp_path / "parts", weights="last")
    run.sample(3)
    run.resume(progress=False)
    assert_equal(tmp_path / "whole", tmp_path / "parts")
    assert run.experiment.model.training is True
    run.sample(3)


DROPOUT = """
import torch
from torch import nn

from ppl_vae import Conditional, Experiment
from ppl_vae.data import digits
from ppl_vae.families import Binomial, Normal
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE
from ppl_vae.networks import Network
from ppl_vae.priors import StandardNormal


class dropout(Network):
    def __call__(self, in_shape, out_shape):
        return nn.Sequential(
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(in_shape.numel(), out_shape.numel()),
            nn.Unflatten(1, tuple(out_shape)),
        )


def experiment() -> Experiment:
    data = digits()
    q = Conditional(data.event_shape, Normal((2,)), dropout(), in_scale=data.maximum)
    p = Conditional((2,), Binomial(data.event_shape, 16), dropout(), mean=data.mean)
    guide = Amortized(q)
    return Experiment(data=data, model=VAE(StandardNormal((2,)), p), guide=guide, batch_size=500)
"""


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    run = train("digits", tmp_path / "run", [*SMALL, "--epochs", "2"], progress=False)
    run.evaluate("test", particles=5, limit=10)
    before = {p: p.read_bytes() for p in run.dir.rglob("*") if p.is_file()}
    load(run.dir).resume(progress=False)
    assert before == {p: p.read_bytes() for p in run.dir.rglob("*") if p.is_file()}


def test_resuming_forgets_evaluations_of_replaced_weights(
    tmp_path: Path, stopping: Callable[[int], None]
) -> None:
    stopping(4)
    with pytest.raises(Interrupted):
        train("digits", tmp_path / "run", [*SMALL, "--epochs", "2"], progress=False)
    load(tmp_path / "run").evaluate("test", particles=5, limit=10)
    Run(tmp_path / "run").resume(progress=False)
    assert Run(tmp_path / "run").evidence == []


def test_a_run_that_saved_nothing_yet_starts_at_its_start(tmp_path: Path) -> None:
    options = [*SMALL, "--epochs", "2", *VARIANTS["vamp"]]
    whole = train("digits", tmp_path / "whole", options, progress=False)

    class Killed(BaseException):
        pass

    def kill(_: Training) -> None:
        raise Killed

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Training, "run", kill)
        train("digits", tmp_path / "killed", options, progress=False)
    with pytest.raises(ValueError, match="ppl-vae resume"):
        load(tmp_path / "killed")
    Run(tmp_path / "killed").resume(progress=False)
    assert_equal(whole.dir, tmp_path / "killed")


def test_temporary_files_of_a_killed_process_are_swept(tmp_path: Path) -> None:
    run = train("digits", tmp_path / "run", [*SMALL, "--epochs", "1"], progress=False)
    left = run.dir / "checkpoints" / ".last.safetensors.0123abcd.tmp"
    left.write_bytes(b"half")
    Run(run.dir).resume(progress=False)
    assert not left.exists()


# Damage


def test_a_truncated_checkpoint_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = train("digits", tmp_path / "run", [*SMALL, "--epochs", "1"], progress=False)
    path = run.dir / "checkpoints" / "last.safetensors"
    whole = path.read_bytes()

    for size in (0, 4, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match="truncated or damaged"):
            Run(run.dir).resume(progress=False)
        assert main(["resume", str(run.dir)]) == 2
        error = capsys.readouterr().err
        assert error.startswith("ppl-vae:") and error.count("\n") == 1

    path.unlink()
    with pytest.raises(ValueError, match="There is no checkpoint"):
        Run(run.dir).resume(progress=False)
    shutil.copy(path.with_name("best.safetensors"), path)
    with pytest.raises(ValueError, match="weights alone"):
        Run(run.dir).resume(progress=False)


@pytest.fixture
def saving_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ppl_vae.folder.saver.SAVE_EVERY", -1.0)


def test_a_full_disk_keeps_the_last_checkpoint(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    saving_always: None,
) -> None:
    options = [*SMALL, "--epochs", "4"]
    whole = train("digits", tmp_path / "whole", options, progress=False)
    plain, written = os.fsync, [0]

    def full(handle: int) -> None:
        written[0] += 1
        # config, data, provenance, the first checkpoint; then four files for each epoch
        if written[0] > 4 + 4 * 2:
            raise OSError(28, "No space left on device")
        plain(handle)

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        assert main(["train", "digits", "--out", str(tmp_path / "run"), *options, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "No space left on device" in error
    assert f"ppl-vae resume {tmp_path / 'run'}" in error

    assert read(tmp_path / "run" / "checkpoints" / "last.safetensors")[1]["epoch"] == 2
    assert not list((tmp_path / "run").rglob(".*"))
    Run(tmp_path / "run").resume(progress=False)
    assert_equal(whole.dir, tmp_path / "run")


# Losses that are not finite


def test_a_loss_that_is_not_finite_stops_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wild = [*SMALL, "--epochs", "3", "--optimizer", "SGD", "--optimizer.lr", "1e30"]
    arguments = ["train", "digits", "--out", str(tmp_path / "run"), *wild, "--quiet"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and re.search(r"not finite (at|after) step \d", error)
    assert re.search(r"parameter '|site '", error) and "learning rate" in error
    tensors, rest = read(tmp_path / "run" / "checkpoints" / "last.safetensors")
    assert rest["epoch"] == 0 and all(t.isfinite().all() for t in tensors.values())


def test_a_last_step_that_is_not_finite_is_noticed_too(tmp_path: Path) -> None:
    wild = [*SMALL[:2], "--batch_size", "1297", *SMALL[4:], "--epochs", "1"]
    wild += ["--optimizer", "SGD", "--optimizer.lr", "1e38"]
    with pytest.raises(NonFiniteError, match=r"after step 1: (parameter|the mean) .* is not"):
        train("digits", tmp_path / "run", wild, progress=False)
    tensors, _ = read(tmp_path / "run" / "checkpoints" / "last.safetensors")
    assert all(t.isfinite().all() for t in tensors.values())


def test_the_term_and_the_site_are_named_and_the_best_is_kept(tmp_path: Path) -> None:
    source = tmp_path / "bad.py"
    source.write_text(BAD)
    with pytest.raises(NonFiniteError, match=r"step 8: .* of site 'x'"):
        train(str(source), tmp_path / "run", ["--epochs", "5"], progress=False)
    assert read(tmp_path / "run" / "checkpoints" / "best.safetensors")[1]["epoch"] == 2
    assert load(tmp_path / "run").sample(3)[0].shape == (3, 64)


BAD = """
import pyro
import pyro.distributions as dist
import torch
from torch import nn

from ppl_vae import Experiment
from ppl_vae.data import Data, Split, digits


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.loc = nn.Parameter(torch.zeros(64))
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x=None, *, n=1):
        pyro.module("bad", self)
        n = n if x is None else len(x)
        if self.training and torch.is_grad_enabled():
            self.calls += 1
        # The scale underflows at the eighth step.
        scale = torch.where(self.calls > 7, 1e-30, 1.0)
        with pyro.plate("data", n, dim=-1):
            z = pyro.sample("z", dist.Normal(torch.zeros(()), torch.ones(())))
            pyro.sample("x", dist.Normal(self.loc + z[..., None], scale).to_event(1), obs=x)


class Guide(nn.Module):
    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(0 * x.mean(-1), torch.ones(())))


def rows():
    data = digits()
    return {k: Split({"x": data[k].sites["x"].flatten(1)}) for k in data}


def experiment() -> Experiment:
    data = Data("flat", rows)
    return Experiment(data=data, model=Model(), guide=Guide(), batch_size=500)
"""


# Real processes

LONG = [*SMALL, "--epochs", "60"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    train("digits", out, LONG, progress=False)
    return out


def start(*arguments: str, code: str | None = None) -> subprocess.Popen[str]:
    command = ["-m", "ppl_vae"] if code is None else ["-c", code]
    # Threads as in this process: their number decides how sums are rounded.
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    return subprocess.Popen(
        [sys.executable, *command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline, "the process never got there"
        time.sleep(0.005)


# Saves after each epoch, and slows steps so that there is a moment to interrupt.
SLOW = """
import sys, time
import ppl_vae.folder.saver
from ppl_vae.cli import main
from ppl_vae.staging.inductor import has_compiler
from ppl_vae.svi import SVI
ppl_vae.folder.saver.SAVE_EVERY = -1.0
run = SVI.run
def slow(self, *given):
    time.sleep(0.002)
    return run(self, *given)
SVI.run = slow
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow  # as the next, which goes on to the end
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_finishes_the_step_and_saves(tmp_path: Path, signum: int) -> None:
    out = tmp_path / "run"
    endless = [*SMALL, "--epochs", "100000"]
    process = start("train", "digits", "--out", str(out), *endless)
    wait_for(lambda: (out / "config.yaml").exists(), process)
    time.sleep(0.5)
    process.send_signal(signum)
    _, error = process.communicate(timeout=60)

    assert process.returncode == 128 + signum
    assert "Traceback" not in error and f"ppl-vae resume {out}" in error.splitlines()[-1]
    _, rest = read(out / "checkpoints" / "last.safetensors")
    assert 0 < rest["steps"] == 3 * rest["epoch"] + rest["position"]
    assert not list(out.rglob(".*"))


@pytest.mark.parametrize(
    "signum", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_a_process_resumes_to_the_bits_of_an_uninterrupted_one(
    whole: Path, tmp_path: Path, signum: int
) -> None:
    out = tmp_path / "run"
    process = start("train", "digits", "--out", str(out), *LONG, "--quiet", code=SLOW)
    wait_for((out / "metrics.csv").exists, process)
    process.send_signal(signum)
    process.communicate(timeout=60)
    assert process.returncode == 128 + signum
    process = start("resume", str(out), "--quiet")
    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    assert_equal(whole, out)


def moments() -> Iterator[float]:
    generator = random.Random(0)
    while True:
        yield generator.uniform(0.0, 0.25)


@pytest.mark.slow
def test_a_process_killed_at_random_moments_comes_to_the_same_bits(
    whole: Path, tmp_path: Path
) -> None:
    out, delays = tmp_path / "run", moments()
    process = start("train", "digits", "--out", str(out), *LONG, "--quiet", code=SLOW)
    wait_for((out / "config.yaml").exists, process)
    epochs = [0]

    for _ in range(2):
        # Counted from the first checkpoint that this process writes.
        path = out / "checkpoints" / "last.safetensors"
        before = path.stat().st_mtime_ns
        wait_for(lambda p=path, t=before: p.stat().st_mtime_ns != t, process)  # type: ignore[misc]
        time.sleep(next(delays))
        process.kill()
        process.communicate()
        assert process.returncode in (-signal.SIGKILL, 0)
        _, rest = read(path)
        epochs.append(rest["epoch"])
        assert epochs[-1] > epochs[-2] or epochs[-1] == 60
        process = start("resume", str(out), "--quiet", code=SLOW)

    _, error = process.communicate(timeout=60)
    assert (process.returncode, error) == (0, "")
    assert_equal(whole, out)
    assert not list(out.rglob(".*"))
    assert json.loads((out / "provenance.json").read_text())["steps"] == 180


def test_another_device_is_refused(tmp_path: Path) -> None:
    run = train("digits", tmp_path / "run", SMALL, progress=False)
    path = run.dir / "provenance.json"
    path.write_text(path.read_text().replace('"device": "cpu', '"device": "cuda:0'))

    with pytest.raises(ValueError, match=r"began on cuda.*resume it there"):
        Run(run.dir).resume(progress=False)
