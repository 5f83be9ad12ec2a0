r"""Laws of data sets."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from data_cases import reals, toy

from ppl_vae.data import Data, Split, array, digits, stored


@pytest.fixture
def table(tmp_path: Path) -> Path:
    np.save(tmp_path / "table.npy", reals())

    return tmp_path / "table.npy"


@pytest.fixture(scope="session")
def named(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Callable[[], Data]]:
    r"""A constructor of each kind of data set: a new kind is one more line."""

    file = tmp_path_factory.mktemp("data") / "reals.npy"
    np.save(file, reals())

    return {
        "digits": digits,
        "none": toy,
        "threshold": lambda: toy(binarization="threshold"),
        "static": lambda: toy(binarization="static"),
        "dynamic": lambda: toy(binarization="dynamic"),
        "array": lambda: array(file),
        "standardize": lambda: array(file, scaling="standardize"),
        "unit": lambda: array(file, scaling="unit", event_shape=(2, 2)),
    }


KINDS = ["digits", "none", "threshold", "static", "dynamic", "array", "standardize", "unit"]


# Laws of every data set


@pytest.mark.parametrize("kind", KINDS)
def test_batch(named: Any, kind: str) -> None:
    data = named[kind]()

    for split, count in data.counts.items():
        index = torch.tensor([count - 1, 0])
        batch = data.batch(split, index)

        assert list(batch) == ["x", "index"]
        assert batch["x"].dtype == torch.float32
        assert batch["x"].shape == (2, *data.event_shape)
        assert batch["index"].equal(index)
        assert len(data.batch(split)["x"]) == len(data[split]) == count

        if kind != "dynamic":
            assert batch["x"].equal(data[split].sites["x"][index].float())
            assert batch["x"].equal(data.draw(data[split].select(index).sites)["x"])


@pytest.mark.parametrize("kind", KINDS)
def test_storage(named: Any, kind: str) -> None:
    data = named[kind]()
    dtypes = {data[split].sites["x"].dtype for split in data}

    assert dtypes <= {torch.uint8, torch.float32} and len(dtypes) == 1


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "dynamic"])
def test_mean_and_maximum(named: Any, kind: str) -> None:
    data = named[kind]()
    x = data.batch("train")["x"].double()

    # float32 rounding of values up to 255
    assert torch.allclose(data.mean.double(), x.mean(0), rtol=1e-6, atol=1e-7)
    assert data.maximum == x.max().item()


@pytest.mark.parametrize("kind", KINDS)
def test_hash_is_stable(named: Any, kind: str) -> None:
    assert named[kind]().hash == named[kind]().hash
    assert len({named[kind]().hash for kind in KINDS}) == len(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_stored_answers_alike_without_loading(named: Any, kind: str) -> None:
    data = named[kind]()
    summary = json.loads(json.dumps(data.summary()))

    def absent() -> dict[str, Split]:
        raise ValueError("there is no file 'x'.")

    with stored(summary):
        copy = Data(data.name, absent, binarization=data.binarization)

    assert copy.event_shape == data.event_shape
    assert copy.mean.equal(data.mean)
    assert copy.counts == data.counts and list(copy) == list(data) and "train" in copy
    assert copy.hash == data.hash
    assert copy.log_volume == data.log_volume
    assert copy.maximum == data.maximum
    assert copy.class_names == data.class_names
    assert copy.summary() == data.summary()

    with pytest.raises(ValueError, match=r"'x'.*restore its source"):
        copy["train"]


# Loading


def test_stored_refuses_other_data(table: Path) -> None:
    summary = array(table).summary()

    with stored(summary):
        same = array(table)

    assert len(same["train"]) == 40

    np.save(table, reals(seed=1))

    with stored(summary):
        other = array(table)

    with pytest.raises(ValueError, match="hash differs"):
        other["train"]

    assert summary.pop("hash") == same.hash

    with pytest.raises(ValueError, match=r"lacks \['hash'\]"), stored(summary):
        pass

    assert array(table).hash != same.hash  # outside, nothing is remembered


def test_loads_once_and_late() -> None:
    calls = []

    def load() -> dict[str, Split]:
        calls.append(1)
        return {"train": Split({"x": torch.ones(3, 2), "y": torch.zeros(3)})}

    data = Data("once", load)
    assert not calls
    assert data.mean.tolist() == [1.0, 1.0]
    assert list(data.batch("train", torch.tensor([2]))) == ["x", "y", "index"]
    assert len(calls) == 1

    with pytest.raises(ValueError, match="no split 'valid': there are train"):
        data["valid"]


def test_import_is_light() -> None:
    # under an empty parent package, for other parts may import more than data does
    code = (
        "import sys, types; p = types.ModuleType('ppl_vae'); p.__path__ = ['ppl_vae'];"
        "sys.modules['ppl_vae'] = p; import ppl_vae.data;"
        "print({'torchvision', 'sklearn', 'scipy', 'PIL'} & set(sys.modules))"
    )
    root = Path(__file__).parents[1]
    out = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )

    assert out.stdout.strip() == "set()"


def test_bad_splits() -> None:
    one = torch.ones(2, 3)
    infinite = torch.ones(2, 3, 1)
    infinite[1, 2] = math.inf
    bad = {
        "no split 'train'": {"test": Split({"x": one})},
        "'test' .* is empty": {"train": Split({"x": one}), "test": Split({"x": one[:0]})},
        "events of shape": {"train": Split({"x": one}), "test": Split({"x": one[:, :2]})},
        "without a value": {"train": Split({"x": one[:, :0]})},
        "holds inf at row 1, column 2, 0": {"train": Split({"x": infinite})},
        "range of float32": {"train": Split({"x": one.double() * 1e39 + 0.5})},
    }
    for message, splits in bad.items():
        with pytest.raises(ValueError, match=message):
            Data("bad", lambda splits=splits: splits)["train"]

    with pytest.raises(ValueError, match="must be named 'x'"):
        Split({"y": one})

    with pytest.raises(ValueError, match="equally many rows"):
        Split({"x": one}, labels=torch.zeros(3))
