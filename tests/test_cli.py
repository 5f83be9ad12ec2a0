r"""The command line: every command on a tiny run, and the nearest name for a wrong one."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ppl_vae import Run
from ppl_vae.catalogue import experiments
from ppl_vae.cli import COMMANDS, main
from ppl_vae.listing import listed

SMALL = (
    "--latent 2 --epochs 2 --batch_size 512 --encoder mlp --encoder.hidden [16] "
    "--decoder mlp --decoder.hidden [16]"
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "run"
    assert main(shlex.split(f"train digits --out {out} {SMALL} --quiet")) == 0
    return out


def call(capsys: pytest.CaptureFixture[str], line: str, status: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert main(shlex.split(line)) == status, capsys.readouterr().err
    out, err = capsys.readouterr()
    return out, err


def test_train_tells_the_run_and_what_is_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out, err = call(capsys, f"train digits {SMALL}")
    assert re.fullmatch(
        r"runs/digits: ELBO -\d+\.\d\d nats per datum at epoch \d\. "
        r"Next: ppl-vae evaluate runs/digits\n",
        out,
    )
    assert err.splitlines()[0] == "steps: replayed from a captured graph"
    assert err.splitlines()[1].startswith("epoch 1/2: train loss")
    assert "nats per datum" in err and "data/s" in err and "s left" in err
    assert call(capsys, f"train digits {SMALL} --overwrite --quiet")[1] == ""


def test_seeds_train_that_many_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"train digits --out {tmp_path / 'many'} {SMALL} --epochs 1 --quiet --seeds 3"
    call(capsys, f"{line} --seed 5")
    found = sorted(path.name for path in (tmp_path / "many").iterdir())
    assert found == ["seed-5", "seed-6", "seed-7"]
    assert {Run(tmp_path / "many" / name).config["seed"] for name in found} == {5, 6, 7}
    elbos = {Run(tmp_path / "many" / name).history[0]["train_elbo"] for name in found}
    assert len(elbos) == 3

    # One that is there already is seen before any is trained.
    _, err = call(capsys, f"{line} --seed 4", status=2)
    assert "seed-5" in err and not (tmp_path / "many" / "seed-4").exists()
    _, err = call(capsys, f"{line} --out {tmp_path / 'many' / 'seed-5'}", status=2)


def test_a_run_holds_no_others(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, err = call(capsys, f"train digits --out {trained} {SMALL} --seeds 2 --overwrite", status=2)
    assert "which can hold no others" in err


def test_evaluate_prints_its_record(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = f"evaluate {trained} --particles 30 --limit 60 --split validation"
    out, err = call(capsys, f"{line} --json")
    record = json.loads(out)
    assert record in Run(trained).evidence
    assert record["n"] == 60 and record["particles"] == 30 and record["split"] == "validation"
    *counted, told = err.splitlines()
    assert counted[-1] == "evaluated 60 of 60"
    assert told.startswith(f"log p(x) = {record['log_evidence']:.2f} ± ")

    out, _ = call(capsys, line)
    first, *_, sentences, _, then = out.rstrip().splitlines()
    assert first in told and sentences in told
    assert then == f"Filed in {trained}/evidence.json. Next: ppl-vae report {trained}"
    assert "verdict" in record and record["verdict"] == sentences
    assert f"{record['elbo']:.2f}" in out and "bits per dimension" in out


def test_encode_writes_codes(
    trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, _ = call(capsys, f"encode {trained}")
    with np.load(out.strip(), allow_pickle=False) as codes:
        assert {k: codes[k].shape for k in codes} == {
            **dict.fromkeys(("z", "z_mean", "z_scale"), (300, 2)),
            **dict.fromkeys(("labels", "index"), (300,)),
        }
        expected = codes["z_mean"]

    test = Run(trained).data["test"].sites["x"].numpy()
    np.save(tmp_path / "rows.npy", test)
    target = tmp_path / "codes.npz"
    assert call(capsys, f"encode {trained} --file {tmp_path / 'rows.npy'} --out {target}")[0] == (
        f"{target}\n"
    )
    with np.load(target, allow_pickle=False) as codes:
        assert np.allclose(codes["z_mean"], expected, atol=1e-5)

    np.save(tmp_path / "narrow.npy", test[..., :3])
    _, err = call(capsys, f"encode {trained} --file {tmp_path / 'narrow.npy'}", status=2)
    assert "shape" in err


@pytest.mark.parametrize(
    ("line", "files"),
    {
        "sample {run} --n 5": ["samples.npz", "figures/samples.png"],
        "reconstruct {run} --n 5 --split validation": [
            "reconstructions-validation.npz",
            "figures/reconstructions.png",
        ],
        "report {run}": ["figures/learning_curves.png", "report.html"],
    }.items(),
)
def test_commands_write_what_they_name(
    trained: Path, capsys: pytest.CaptureFixture[str], line: str, files: list[str]
) -> None:
    named = call(capsys, line.format(run=trained))[0].splitlines()
    assert {str(trained / name) for name in files} <= set(named)
    for name in named:
        content = Path(name).read_bytes()
        if name.endswith(".npz"):
            with np.load(name, allow_pickle=False) as arrays:
                assert len(arrays["x"]) == len(arrays["mean"]) == 5
        elif name.endswith(".png"):
            assert content.startswith(b"\x89PNG")
        else:
            assert content.lstrip().startswith(b"<!")


def test_resume_continues(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for quiet in ("--quiet", "--quiet true", "--quiet=true"):
        out, err = call(capsys, f"resume {trained} {quiet}")
        assert out.startswith(f"{trained}: ELBO") and err == ""
    assert call(capsys, f"resume --quiet {trained}")[1] == ""
    assert "steps: " in call(capsys, f"resume {trained} --quiet false")[1]
    _, err = call(capsys, f"resume {trained} --quiet=maybe", status=2)
    assert "--quiet is true or false, got 'maybe'" in err


def test_list_names_experiments_and_parts(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = call(capsys, "list")
    for name in (*experiments(), "Vamp", "Binomial", "resnet", "IWAE"):
        assert re.search(rf"^{name} +\S", out, re.MULTILINE), name
    assert "demo" not in out.split("priors")[0]


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_names_every_option(capsys: pytest.CaptureFixture[str], command: str) -> None:
    out, err = call(capsys, f"{command} --help")
    assert out.startswith(f"usage: ppl-vae {command or 'COMMAND'}") and err == ""
    assert "<function" not in out and "object at 0x" not in out
    if not command:
        assert all(f"  {name} " in out for name in COMMANDS)


@pytest.mark.parametrize("experiment", ["array", "digits", "layers", "mnist", "vision"])
def test_help_of_an_experiment_names_its_options(
    capsys: pytest.CaptureFixture[str], experiment: str
) -> None:
    out, _ = call(capsys, f"train {experiment} --help")
    for option in ("--latent", "--prior", "--objective", "--epochs", "--out DIR", "--seeds N"):
        assert option in out
    assert "ppl_vae.priors.Vamp" in out and "object at 0x" not in out


def test_help_of_a_part_names_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = call(capsys, "train digits --prior.help Vamp")
    assert "--prior.components" in out


HELP = {
    "digits --encoder.help mlp": ("--encoder.hidden", "torch.nn, such as"),
    "digits --encoder.help mlp --encoder.hidden [3] --epochs 1": ("--encoder.hidden",),
    "digits --optimizer.help Adam": ("--optimizer.lr", "--optimizer.weight_decay"),
    "digits --scheduler.help=CosineAnnealingLR": ("--scheduler.T_max",),
    "digits --likelihood Masked --likelihood.family.help Binomial": ("family.total",),
    "layers --guide.help Ladder": ("--guide.up",),
}


@pytest.mark.parametrize("line", HELP)
def test_help_of_a_part_is_for_people(capsys: pytest.CaptureFixture[str], line: str) -> None:
    out, _ = call(capsys, f"train {line}")
    assert out.startswith("usage: ppl-vae train") and len(out.splitlines()) < 100
    assert all(told in out for told in HELP[line])
    assert not re.search(r":\w+:`|``|\\|<class|torch\.nn\.\w+,|optimizer\.params|r\.optimizer", out)


@pytest.mark.parametrize("kind", ["priors", "families", "guides", "networks", "objectives"])
def test_help_of_every_part_has_no_markup(capsys: pytest.CaptureFixture[str], kind: str) -> None:
    role = {"families": "likelihood", "networks": "encoder"}.get(kind, kind.removesuffix("s"))
    # Other tests may have imported parts of their own.
    for name in [k for k, part in listed(kind).items() if part.__module__.startswith("ppl_vae.")]:
        out, _ = call(capsys, f"train digits --{role}.help {name}")
        assert out.startswith("usage: ppl-vae train")
        assert not re.search(r":\w+:`|``|\\|<class|ppl_vae\.models|Shape\]", out), out


def test_a_guide_is_chosen_among_guides(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = call(capsys, "train digits --help")
    (block,) = re.findall(r"  --guide GUIDE(.*?)\n  --", out, re.DOTALL)
    assert set(re.findall(r"ppl_vae\.\s*(\w+\.\s*\w+)", block)) == {
        f"guides.{name}" for name in listed("guides")
    }


NEAREST = {
    "trian digits": "'train'",
    "train digit": "'digits'",
    "train digits --prior vmp": "'Vamp'",
    "train digits --likelihood Binomal": "'Binomial'",
    "train digits --optimizer Adm": "'Adam'",
    "train digits --epoch 3": "'--epochs'",
    "train digits --overwite": "'--overwrite'",
    "train digits --prior Vamp --prior.componets 3": "'components'",
    "train digits --encoder.hiden [3]": "'hidden'",
    "evaluate {run} --particels 3": "'--particles'",
    "resume {run} --quite": "'--quiet'",
    "list prior": "'priors'",
    "list family": "'families'",
    "list likelihoods": "'families'",
    "list posterior": "'families'",
    "list decoders --legal": "'networks'",
}


@pytest.mark.parametrize("line", NEAREST)
def test_the_nearest_name_is_told(
    trained: Path, capsys: pytest.CaptureFixture[str], line: str
) -> None:
    _, err = call(capsys, line.format(run=trained), status=2)
    assert f"(did you mean {NEAREST[line]}?)" in err and err.count("\n") == 1


def test_options_may_be_joined_by_an_equals_sign(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = (
        f"train digits --out={tmp_path / 'run'} {SMALL} --prior=Vamp --prior.components=3 --quiet"
    )
    call(capsys, line)
    assert Run(tmp_path / "run").config["options"]["prior"]["init_args"] == {"components": 3}


def test_classes_may_be_given_by_their_path(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    adam = "--optimizer torch.optim.AdamW --optimizer.lr 0.01"
    call(capsys, f"train digits --out {tmp_path / 'run'} {SMALL} {adam} --quiet")
    assert {row["lr"] for row in Run(tmp_path / "run").history} == {0.01}


def process(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "ppl_vae", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
    )


def test_a_process_tells_its_status(tmp_path: Path) -> None:
    done = process("list")
    assert done.returncode == 0 and done.stderr == ""
    done = process("train", "digits", "--out", str(tmp_path / "run"), "--latent", "0")
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("ppl-vae: ") and done.stderr.count("\n") == 1


@pytest.mark.parametrize("line", ["list", "train digits --help", "list guides"])
def test_a_pipe_that_is_closed_ends_it_silently(line: str) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "ppl_vae", *line.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None and running.stderr is not None
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 141


def test_an_unforeseen_error_is_one_line_unless_its_traceback_is_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: list[str]) -> None:
        raise RuntimeError("first\nsecond")

    monkeypatch.setitem(COMMANDS, "list", fail)
    _, err = call(capsys, "list", status=1)
    assert err == "ppl-vae: RuntimeError: first (PPL_VAE_TRACEBACK=1 shows where)\n"
    monkeypatch.setenv("PPL_VAE_TRACEBACK", "1")
    with pytest.raises(RuntimeError, match="second"):
        main(["list"])
