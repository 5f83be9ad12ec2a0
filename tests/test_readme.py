"""The README does what it says: its Python runs, its command lines parse."""

import re
import shlex
from pathlib import Path

import pytest

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
        if block.lstrip().startswith("import ppl_vae"):
            namespace["x"] = namespace["data"].batch("test")["x"]
        exec(compile(block, "README.md", "exec"), namespace)

    assert "log_evidence" in capsys.readouterr().out
    assert namespace["z"].shape == (300, 8)


def test_first_example_is_short():
    assert len([line for line in PYTHON[0].splitlines() if line.strip()]) <= 15


@pytest.mark.parametrize("name, options", COMMANDS)
def test_commands_parse(name, options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wide = next(block for block in PYTHON if "class Wide" in block)
    Path("mine.py").write_text(f"import torch\n{wide}")
    tokens = shlex.split(options.split(";")[0])

    if "--help" in tokens or any(token.endswith(".help") for token in tokens):
        return

    for option in ("--seeds", "--out"):  # those of the command, not of the experiment
        if option in tokens:
            i = tokens.index(option)
            del tokens[i : i + 2]

    assert Options(find_experiment(name)).parse(tokens)
