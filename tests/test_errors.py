r"""Bad input gets one clear sentence, exit status 2 and no traceback; in Python, a ValueError."""

from __future__ import annotations

import re
import shlex
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ppl_vae import load, train
from ppl_vae.cli import main
from ppl_vae.compare import groups

SMALL = (
    "--latent 2 --epochs 1 --encoder mlp --encoder.hidden [8] --decoder mlp --decoder.hidden [8]"
)

GUIDE = """
import pyro
import pyro.distributions as dist
import torch
from torch import nn

from ppl_vae import Conditional, Experiment
from ppl_vae.data import digits
from ppl_vae.families import Binomial
from ppl_vae.models import VAE
from ppl_vae.networks import mlp
from ppl_vae.priors import StandardNormal


class Guide(nn.Module):
    def forward(self, x):
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("NAME", dist.Normal(torch.zeros(2), torch.ones(2)).to_event(1))


def experiment() -> Experiment:
    data = digits()
    p = Conditional((2,), Binomial(data.event_shape, 16), mlp([8]), mean=data.mean)
    return Experiment(data=data, model=VAE(StandardNormal((2,)), p), guide=Guide())
"""

PRIOR = """
import pyro.distributions as dist
import torch

from ppl_vae.priors import Prior


class Loose(Prior):
    def forward(self):
        return dist.Normal(torch.zeros(self.event_shape), 1.0)
"""

EXPERIMENTS = {
    "loose.py": PRIOR,
    "other_site.py": GUIDE.replace("NAME", "latent"),
    "no_function.py": "x = 1\n",
    "no_experiment.py": "def experiment():\n    return 3\n",
    "syntax.py": "def experiment(:\n",
    "fails.py": "import no_such_module\n",
    "two.py": "class Plain:\n    pass\n\n\ndef net(a, b):\n    pass\n\n\nwidth = 3\n",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    r"""A folder with data, experiments and runs, good and bad; tests do not change it."""
    folder = tmp_path_factory.mktemp("place")
    rng = np.random.default_rng(0)
    grey = rng.uniform(0.0, 1.0, (50, 4)).astype(np.float32)
    arrays = {
        "grey": grey,
        "nan": np.where(rng.uniform(size=grey.shape) < 0.1, np.nan, grey),
        "inf": np.where(rng.uniform(size=grey.shape) < 0.1, np.inf, grey),
        "empty": grey[:0],
        "few": grey[:3],
        "flat": grey[:, :3],
        "scalar": np.float32(3.0),
        "words": np.array(["a", "b"]),
        "objects": np.array([{}, []], dtype=object),
        "counts": rng.integers(0, 30, (50, 4)),
    }
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", values)
    for name, text in EXPERIMENTS.items():
        (folder / name).write_text(text)

    header = "a,b,kind\n"
    (folder / "table.csv").write_text(header + "1,2,x\n3,4,y\n" * 20)
    (folder / "unlabelled.csv").write_text(header + "1,2,x\n3,4,\n" * 20)
    (folder / "gaps.csv").write_text("1,0.5,2\n,1.5,3\n" * 20)
    (folder / "ragged.csv").write_text(header + "1,2,x\n3,4\n" * 20)
    (folder / "truncated.npy").write_bytes((folder / "grey.npy").read_bytes()[:300])
    (folder / "truncated.npz").write_bytes(b"PK\x03\x04 and no more")

    options = shlex.split(f"{SMALL} --batch_size 512")
    run = train("digits", folder / "run", options, progress=False)
    run.evaluate("test", particles=5, limit=10)
    for name in ("best", "last"):
        shutil.copytree(run.dir, folder / f"cut-{name}")
        path = folder / f"cut-{name}" / "checkpoints" / f"{name}.safetensors"
        path.write_bytes(path.read_bytes()[:1000])
    shutil.copytree(run.dir, folder / "unevaluated")
    (folder / "unevaluated" / "evidence.json").unlink()
    shutil.copytree(run.dir, folder / "cut-evidence")
    (folder / "cut-evidence" / "evidence.json").write_text('[{"method": "imp')
    shutil.copytree(run.dir, folder / "no-config")
    (folder / "no-config" / "config.yaml").unlink()
    shutil.copytree(run.dir, folder / "no-data")
    (folder / "no-data" / "data.json").unlink()
    return folder


def array(file: str, more: str = "") -> str:
    return f"train array --file {file} --out new {SMALL} --batch_size 16 {more}"


def digits(more: str) -> str:
    return f"train digits --out new {SMALL} --batch_size 512 {more}"


CASES: dict[str, tuple[str, str]] = {
    # Names
    "command": ("trian digits", r"no command 'trian' \(did you mean 'train'"),
    "experiment": ("train digit", r"no experiment 'digit' \(did you mean 'digits'"),
    "no experiment": ("train", "needs the name of an experiment"),
    "option before experiment": ("train --epochs 3 digits", "needs the name of an experiment"),
    "experiment file": ("train nope.py", "no file nope.py"),
    "experiment without function": ("train no_function.py --out new", r"no function experiment"),
    "experiment returns": (
        "train no_experiment.py --out new",
        "must return an Experiment, got int",
    ),
    "experiment syntax": ("train syntax.py --out new", r"syntax\.py fails with SyntaxError"),
    "experiment import": ("train fails.py --out new", "fails with ModuleNotFoundError"),
    "part": (digits("--prior Vmp"), r"no prior 'Vmp' \(did you mean 'Vamp'"),
    "part file": (digits("--prior nope.py:Wide"), "no file nope.py"),
    "part class": (digits("--prior two.py:Wide"), "two.py has no class 'Wide'"),
    "part function": (
        digits("--encoder two.py:net"),
        r"In the file two\.py, 'net' is a function; the option takes a class, a subclass of "
        r"ppl_vae\.networks\.Network\.",
    ),
    "part value": (
        digits("--prior two.py:width"),
        r"'width' is of type int; .* ppl_vae\.priors\.Prior",
    ),
    "inner part function": (
        digits("--likelihood Masked --likelihood.family two.py:net"),
        r"'net' is a function; .* ppl_vae\.families\.Family",
    ),
    "part kind": (digits("--prior two.py:Plain"), "Plain is no Prior"),
    "part path": (digits("--optimizer torch.optim.Nope"), "--optimizer takes Optimizer"),
    "part elsewhere": (digits("--guide VAE"), "VAE does not fit --guide; there are Amortized, B"),
    "part of this shape": (digits("--prior OneHot --latent 1"), "two categories or more"),
    "option": (digits("--epoch 3"), r"no option --epoch \(did you mean '--epochs'"),
    "inner option": (digits("--prior Vamp --prior.component 3"), "did you mean 'components'"),
    "inner option of a default": (digits("--prior.components 3"), "StandardNormal has no option"),
    "inner option of another class": (
        digits("--prior.pseudo 3"),
        "StandardNormal has no option 'pseudo'; it has none\\.",
    ),
    "inner option of no class": (
        digits("--optimizer.lr 0.01"),
        r"Name the class before its options, as in --optimizer Adam --optimizer.lr 0\.01\.",
    ),
    "inner option of one class": (
        digits("--scheduler.T_max=30"),
        r"as in --scheduler CosineAnnealingLR --scheduler.T_max 30\.",
    ),
    "option of a part": (
        digits("--lr 0.1"),
        r"no option --lr; it is one of a part, as in --optimizer Adam --optimizer.lr 0\.1\.",
    ),
    "option of a default": (
        digits("--hidden [3]"),
        r"it is one of a part, as in --encoder mlp --encoder.hidden \[3\]\.",
    ),
    "name of no option": (digits("--return 3"), "no option --return[ ;]"),
    "option of nothing": (digits("--zzz"), "no option --zzz; there are --latent, "),
    "needed inner option": (digits("--scheduler StepLR"), "it needs step_size"),
    "stray argument": (digits("stray"), "no place for 'stray'"),
    "option without value": (digits("--prior"), "--prior needs a value"),
    "out without value": ("train digits --out", "--out needs a value"),
    "option of a command": ("evaluate run --particels 3", "did you mean '--particles'"),
    "argument of a command": ("evaluate", "argument is missing: DIR"),
    "stray argument of a command": ("sample run extra", "no place for 'extra'"),
    "argument of list": (
        "list prior",
        r"has no 'prior' \(did you mean 'priors'\?\); it has experiments, priors",
    ),
    "choice of a command": (
        "evaluate run --method guess",
        "no method 'guess'; there are importance",
    ),
    "split": ("evaluate run --split tset", "no split 'tset': there are train, validation, test"),
    "device": (digits("--device tpu"), "no device 'tpu'"),
    # Values
    "word for a number": (digits("--epochs many"), "--epochs takes a whole number, got 'many'"),
    "fraction for an integer": (digits("--latent 2.5"), "--latent takes a whole number, got '2.5'"),
    "word for an inner number": (
        digits("--optimizer Adam --optimizer.lr fast"),
        "--optimizer.lr takes a number, got 'fast'",
    ),
    "word for a number of a part": (
        digits("--prior Vamp --prior.components many"),
        "--prior.components takes a whole number, got 'many'",
    ),
    "word for a number of a part's part": (
        digits("--likelihood Masked --likelihood.family Binomial --likelihood.family.total x"),
        "--likelihood.family.total takes a whole number, got 'x'",
    ),
    "word of a part": (
        digits("--prior GaussianMixture --prior.covariance tied"),
        "--prior.covariance is one of diagonal, full, got 'tied'",
    ),
    "list without brackets": (
        "train layers --latents 8,4 --out new",
        r"--latents takes a list of whole numbers, such as \[8,4\], got '8,4'",
    ),
    "list of a part without brackets": (
        digits("--encoder.hidden 8,4"),
        r"--encoder.hidden takes a list of whole numbers, such as \[8,4\], got '8,4'",
    ),
    "list of another length": (
        array("grey.npy", "--splits [0.5,0.5]"),
        r"--splits takes a list of 3 numbers, such as \[0.8,0.1,0.1\], got",
    ),
    "flag": (
        digits("--optimizer Adam --optimizer.fused maybe"),
        "--optimizer.fused takes true or false, got 'maybe'",
    ),
    "latent 0": (digits("--latent 0"), r"positive sizes .*\(0,\)"),
    "latent -2": (digits("--latent -2"), r"positive sizes .*\(-2,\)"),
    "hidden 0": (digits("--encoder.hidden [0]"), r"positive sizes, got \[0\]"),
    "components 0": (digits("--prior Vamp --prior.components 0"), "got 0"),
    "particles 0": (digits("--objective IWAE --objective.particles 0"), "got 0"),
    "epochs 0": (digits("--epochs 0"), "epochs must be positive, got 0"),
    "epochs -1": (digits("--epochs -1"), "epochs must be positive, got -1"),
    "batch 0": (digits("--batch_size 0"), "batch_size must be positive, got 0"),
    "batch too large": (digits("--batch_size 1298"), "training set has only 1297 rows"),
    "warm-up too long": (digits("--warmup 5"), "would never reach its end"),
    "warm-up negative": (digits("--warmup -1"), "must not be negative"),
    "patience 0": (digits("--patience 0"), "positive patience"),
    "compile": (digits("--compile jit"), "--compile is one of auto, off, fx, inductor, cudagraph"),
    "cudagraph on a CPU": (
        digits("--compile cudagraph --device cpu"),
        "is for CUDA devices, and the programs are on cpu; take 'auto'",
    ),
    "precision": (digits("--precision half"), "--precision is one of float32, tf32, bf16"),
    "tf32 on a CPU": (digits("--precision tf32 --device cpu"), "take 'float32' or 'bf16'"),
    "clip 0": (digits("--clip 0"), "must be positive, got 0"),
    "learning rate": (digits("--optimizer Adam --optimizer.lr -1"), "Invalid learning rate: -1"),
    "seeds 0": (digits("--seeds 0"), "positive number of runs, got '0'"),
    "seeds word": (digits("--seeds few"), "positive number of runs, got 'few'"),
    "evaluate particles": ("evaluate run --particles 0", "must be positive, got 0"),
    "evaluate limit": ("evaluate run --limit 0", "limit must be positive, got 0"),
    "evaluate memory": ("evaluate run --memory 0", "memory must be positive"),
    "sample 0": ("sample run --n 0", "must be positive, got 0"),
    "sample -3": ("sample run --n -3", "must be positive, got -3"),
    "reconstruct 0": ("reconstruct run --n 0", "must be positive, got 0"),
    # Data
    "no file": ("train array", "give --file, or --train_file"),
    "missing file": (array("nope.npy"), "no file 'nope.npy'"),
    "kind of file": (array("place.parquet"), "unknown kind"),
    "truncated file": (array("truncated.npy"), "truncated.npy"),
    "truncated archive": (array("truncated.npz"), "truncated.npz"),
    "pickled file": (array("objects.npy"), "objects.npy"),
    "words": (array("words.npy"), "words.npy"),
    "scalar": (array("scalar.npy"), "scalar.npy"),
    "ragged": (array("ragged.csv", "--labels kind"), "ragged.csv"),
    "NaN": (array("nan.npy"), "missing entries .*--likelihood Masked"),
    "infinity": (array("inf.npy"), "inf at row"),
    "empty set": (array("empty.npy"), "empty|no rows|at least one row"),
    "empty split": (array("few.npy"), "leaves the split .* empty"),
    "fractions": (array("grey.npy", "--splits [0.9,0.9,0.1]"), "sum to at most 1"),
    "shape": (array("grey.npy", "--event_shape [3,3]"), r"\[3, 3\]|\(3, 3\)"),
    "shapes of two files": (
        f"train array --train_file grey.npy --test_file flat.npy --out new {SMALL}",
        "shape",
    ),
    "scaling": (array("grey.npy", "--scaling log"), "unknown scaling 'log'"),
    "binarization": (array("grey.npy", "--binarization twice"), "unknown binarization 'twice'"),
    "label column": (array("table.csv", "--labels sort"), "no column 'sort'"),
    "labels missing": (array("unlabelled.csv", "--labels kind"), "has no label"),
    "words without a label column": (array("table.csv"), "table.csv"),
    "grey under Bernoulli": (
        array("grey.npy", "--likelihood Bernoulli --scaling none"),
        "outside of the support of Bernoulli.*binariz.*or take a likelihood",
    ),
    "counts over the total": (
        array("counts.npy", "--likelihood Binomial --likelihood.total 16 --scaling none"),
        "outside of the support of Binomial",
    ),
    "counts under Bernoulli": (digits("--likelihood Bernoulli"), "outside of the support"),
    "standardized counts": (
        array("counts.npy", "--likelihood Poisson"),
        "mean 0 and variance 1.*outside of the support of Poisson; give --scaling none, since",
    ),
    "standardized counts over the total": (
        array("counts.npy", "--likelihood Binomial --likelihood.total 16"),
        "outside of the support of Binomial; take a likelihood .* or give --scaling none",
    ),
    "standardized columns": (
        array(
            "table.csv",
            '--labels kind --likelihood Product --likelihood.families "[Normal, Poisson]"',
        ),
        r"support of Product in column 1 \(Poisson\), counted from 0; give --scaling none, since",
    ),
    "columns": (
        array(
            "gaps.csv",
            '--scaling none --likelihood Product --likelihood.families "[Masked, Poisson, Beta]"',
        ),
        r"support of Product in columns 1 \(Poisson\), 2 \(Beta\), counted from 0; take families",
    ),
    "gaps in a column": (
        array("gaps.csv", '--likelihood Product --likelihood.families "[Normal, Normal, Masked]"'),
        "missing entries .*--likelihood Masked",
    ),
    "batch larger than the set": (array("grey.npy", "--batch_size 41"), "has only 40 rows"),
    "encode a missing file": ("encode run --file nope.npy", "no file 'nope.npy'"),
    "encode another shape": ("encode run --file grey.npy", "shape"),
    "encode NaN": ("encode run --file nan.npy", "nan at row|shape"),
    # Programs
    "no event": (
        digits("--prior loose.py:Loose"),
        r"Site 'z' has batch dimension 2 where the plate 'data' has 64 rows.*\.to_event\(1\)",
    ),
    "sites": ("train other_site.py --out new", "guide does not draw latent site 'z'.*'latent'"),
    # Runs
    "run there": (f"train digits --out run {SMALL}", "a run in run already.*--overwrite"),
    "no run in the way": (f"train digits --out . {SMALL} --overwrite", "is no run"),
    "file in the way": (f"train digits --out grey.npy {SMALL}", "is no run"),
    "run among seeds": (f"train digits --out run {SMALL} --seeds 2", "can hold no others"),
    "run missing": ("evaluate nope", "no run folder nope"),
    "run without configuration": ("sample no-config", "has no config.yaml"),
    "run without data facts": ("sample no-data", "incomplete: data.json"),
    "best truncated": ("sample cut-best", "truncated or damaged"),
    "last truncated": ("resume cut-last", "truncated or damaged"),
    "evidence truncated": ("compare cut-evidence", "evidence.json is missing or damaged"),
    "resume missing": ("resume nope", "no run folder nope"),
    "report missing": ("report nope", "no run folder nope"),
    "compare missing": ("compare nope", "no run in nope"),
    "compare unevaluated": ("compare unevaluated", "was not evaluated on test"),
}


@pytest.mark.parametrize("name", CASES)
def test_bad_input_is_one_sentence(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    line, sentence = CASES[name]
    monkeypatch.chdir(place)
    before = sorted(place.rglob("*"))
    assert main(shlex.split(line)) == 2
    out, err = capsys.readouterr()
    assert err.startswith("ppl-vae: ") and err.count("\n") == 1, err
    assert re.search(sentence, err), err
    assert "Traceback" not in err and out == ""
    # Neither a file nor a folder is left behind.
    assert sorted(place.rglob("*")) == before


PYTHON: dict[str, Callable[[str], object]] = {
    "train": lambda line: train(line.split()[1], "new", shlex.split(line)[2:], progress=False),
    "resume": lambda line: load(line.split()[1], weights="last").resume(progress=False),
    "sample": lambda line: load(line.split()[1]).sample(int(line.split()[-1])),
    "compare": lambda line: groups(line.split()[1:]),
}

IN_PYTHON = [
    *("experiment", "experiment file", "experiment syntax", "part", "part class", "option"),
    *("inner option", "stray argument", "word for a number", "latent 0", "epochs 0", "batch 0"),
    *("batch too large", "NaN", "infinity", "empty set", "shape", "labels missing", "sites"),
    *("grey under Bernoulli", "counts over the total", "learning rate", "sample 0"),
    *("resume missing", "last truncated", "compare missing", "compare unevaluated"),
]


@pytest.mark.parametrize("name", IN_PYTHON)
def test_in_python_it_is_a_value_error(
    place: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    line, sentence = CASES[name]
    line = re.sub(r"--out \S+", "", line)
    monkeypatch.chdir(place)
    with pytest.raises(ValueError, match=sentence):
        PYTHON[line.split()[0]](line)
    assert not (place / "new").exists()


def test_errors_are_errors_and_no_warnings(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert main(shlex.split(digits("--prior Vmp"))) == 2
        assert main(shlex.split(array("grey.npy", "--likelihood Bernoulli --scaling none"))) == 2
    assert [str(w.message) for w in caught] == []
