"""The README does what it says: its Python runs, its command lines parse."""

import re
import shlex
from pathlib import Path

import numpy as np
import pytest

from ppl_vae import load
from ppl_vae.catalogue import find_experiment
from ppl_vae.options import Options
from ppl_vae.run import train

README = (Path(__file__).parent.parent / "README.md").read_text()
PYTHON = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
LINES = re.sub(r"\\\n\s*", "", README)
COMMANDS = re.findall(r"^ppl-vae train (\w+) (--.*)$", LINES, re.MULTILINE)


def test_python_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    train("digits", "runs/digits", ["--epochs", "1"], progress=False)
    namespace = {}

    for block in PYTHON:
        # Few epochs and particles: that it runs is the point here, not how well.
        block = block.replace("epochs=30", "epochs=1").replace("particles=1000", "particles=10")
        block = block.replace("few, particles=100", "few, refinement=2, particles=30")
        block = block.replace('data.batch("train"))', 'data.batch("train"), limit=40)')
        block = block.replace("steps=20", "steps=2").replace("simulations=100", "simulations=20")
        if block.lstrip().startswith("import ppl_vae"):
            namespace["x"] = namespace["data"].batch("test")["x"]
        exec(compile(block, "README.md", "exec"), namespace)

    assert "log_evidence" in capsys.readouterr().out
    assert namespace["z"].shape == (300, 8)


def test_first_example_is_short():
    assert len([line for line in PYTHON[0].splitlines() if line.strip()]) <= 15


def test_a_network_of_one_s_own_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    own = next(block for block in PYTHON if "class normed" in block)
    Path("mine.py").write_text(own.partition("posterior =")[0])
    option = re.search(r"`(--encoder mine\.py:normed.*?)`", README)
    run = train("digits", "run", [*option[1].split(), "--epochs", "1"], progress=False)
    assert run.guide.posterior.net[1].out_features == 32
    assert load("run").encode(run.batch("test")["x"])["z"]["mean"].shape == (300, 8)


def test_stored_weights_and_objectives_of_pyro_are_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    few = ["--epochs", "1", "--batch_size", "512"]
    first = train("digits", "runs/digits", few, progress=False)
    weights = {k: v.clone() for k, v in first.guide.posterior.net.state_dict().items()}
    lines = [line for _, line in COMMANDS if "pretrained" in line or "PyroObjective" in line]
    second, third = [
        train("digits", f"run-{i}", [*shlex.split(line), *few], progress=False)
        for i, line in enumerate(lines)
    ]
    assert all(v.equal(weights[k]) for k, v in second.guide.posterior.net.net.state_dict().items())
    assert type(third.svi.objective.elbo).__name__ == "TraceMeanField_ELBO"


ARRAY = [options for name, options in COMMANDS if name == "array" and "mine.csv" not in options]


@pytest.mark.parametrize("options", ARRAY)
def test_what_data_ask_for_is_trained(options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = np.random.default_rng(0).poisson(3.0, (40, 2))
    np.save("counts.npy", rows)
    lines = [f"{0.1 * a:.1f},{b}" for a, b in rows]
    Path("table.csv").write_text("\n".join(lines))
    Path("gaps.csv").write_text("\n".join([*lines[:-1], ",2"]))
    run = train(
        "array", "run", [*shlex.split(options), "--epochs=1", "--batch_size=16"], progress=False
    )
    assert len(run.history) == 1


@pytest.mark.parametrize("name, options", COMMANDS)
def test_commands_parse(name, options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wide = next(block for block in PYTHON if "class Wide" in block)
    Path("mine.py").write_text(wide)
    tokens = shlex.split(options.split(";")[0])

    if "--help" in tokens or any(token.endswith(".help") for token in tokens):
        return

    for option in ("--seeds", "--out"):  # those of the command, not of the experiment
        if option in tokens:
            i = tokens.index(option)
            del tokens[i : i + 2]

    assert Options(find_experiment(name)).parse(tokens)
