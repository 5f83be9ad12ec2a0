r"""Public sets of pictures, embedded, from files and from torchvision."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ppl_vae.data import digits, mnist, vision
from ppl_vae.data.vision import carve


def test_digits() -> None:
    data = digits()
    x = torch.cat([data[split].sites["x"] for split in data])
    y = torch.cat([data[split].labels for split in data])

    assert data.counts == {"train": 1297, "validation": 200, "test": 300}
    assert data.event_shape == (1, 8, 8) and data.class_names == [str(i) for i in range(10)]
    assert x.max() == 16 and x.sum().item() == 561718

    for split in data:  # each class in proportion, up to one at either end
        expected = y.bincount() * len(data[split]) / len(y)
        assert ((data[split].labels.bincount() - expected).abs() <= 2).all()

    assert digits(seed=1).hash != digits(seed=0).hash

    with pytest.raises(ValueError, match="leave -3 of 1797"):
        digits(validation=1500)


def write_idx(folder: Path, counts: dict[str, int]) -> None:
    folder.mkdir(parents=True)

    for part, count in counts.items():
        image = np.random.default_rng(count).integers(0, 256, (count, 28, 28), dtype=np.uint8)
        label = (np.arange(count) % 10).astype(np.uint8)

        for kind, x in (("images-idx3", image), ("labels-idx1", label)):
            head = bytes([0, 0, 8, x.ndim]) + np.array(x.shape, ">u4").tobytes()
            (folder / f"{part}-{kind}-ubyte").write_bytes(head + x.tobytes())


def test_idx_relatives(tmp_path: Path) -> None:
    write_idx(tmp_path / "MNIST" / "raw", {"train": 30, "t10k": 10})
    write_idx(tmp_path / "EMNIST" / "raw", {"emnist-digits-train": 30, "emnist-digits-test": 10})
    a = vision("MNIST", tmp_path, validation=5)
    b = vision("EMNIST", tmp_path, validation=5, subset="digits", size=14)

    assert a.counts == b.counts == {"train": 25, "validation": 5, "test": 10}
    assert a.event_shape == (1, 28, 28) and b.event_shape == (1, 14, 14)
    assert vision("MNIST", tmp_path / "MNIST", validation=5).hash == a.hash
    assert vision("MNIST", tmp_path / "MNIST" / "raw", validation=5).hash == a.hash

    upright = vision("EMNIST", tmp_path, validation=5, subset="digits")
    assert upright["train"].sites["x"].equal(a["train"].sites["x"].transpose(2, 3))

    # MNIST's files are not FashionMNIST's, although they have the same names
    with pytest.raises(ValueError, match="files of FashionMNIST are not in"):
        vision("FashionMNIST", tmp_path / "MNIST", download=False)["train"]

    with pytest.raises(ValueError, match="25 validation rows leave none of 10"):
        carve(a["test"], 25)

    file = tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte"
    file.write_bytes(file.read_bytes()[:-1])

    with pytest.raises(ValueError, match="get the file again"):
        vision("MNIST", tmp_path)["train"]


def fake(monkeypatch: pytest.MonkeyPatch, **sets: Any) -> None:
    module = types.ModuleType("torchvision")
    module.datasets = types.SimpleNamespace(**sets)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torchvision", module)


def test_torchvision_layouts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    paper = image.fromarray(np.array([[255, 0, 255]] * 2, np.uint8))

    def cifar(root: str, train: bool, download: bool) -> Any:
        return types.SimpleNamespace(data=np.ones((9, 4, 5, 3), np.uint8), targets=[1] * 9)

    def svhn(root: str, split: str, download: bool) -> Any:
        return types.SimpleNamespace(data=np.ones((9, 3, 4, 5), np.uint8), labels=np.ones(9))

    def omniglot(root: str, background: bool, download: bool) -> Any:
        return [(paper, 1)] * 9

    fake(monkeypatch, CIFAR10=cifar, SVHN=svhn, Omniglot=omniglot)
    shapes = {"CIFAR10": (3, 4, 5), "SVHN": (3, 4, 5), "Omniglot": (1, 2, 3)}

    for name, shape in shapes.items():
        data = vision(name, tmp_path, validation=2)
        assert data.event_shape == shape and data.counts["validation"] == 2
        assert data["test"].labels.tolist() == [1] * 9

    assert data["train"].sites["x"][0, 0, 0].tolist() == [0, 255, 0]


def test_torchvision_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("operator torchvision::nms does not exist")

    for broken, reason in ((Broken(), "nms does not exist"), (None, "torchvision")):
        monkeypatch.setitem(sys.modules, "torchvision", broken)

        with pytest.raises(ValueError, match=f"{reason}.*install torch and torchvision together"):
            vision("CIFAR10", tmp_path)["train"]

    assert digits().counts["train"] == 1297  # everything else works

    def offline(*args: Any, **options: Any) -> Any:
        raise OSError("<urlopen error no route>\nTried again")

    fake(monkeypatch, KMNIST=offline)

    for download, cure in ((True, "check the network"), (False, "allow the download")):
        with pytest.raises(ValueError, match=f"files of KMNIST .*no route.*{cure}") as error:
            vision("KMNIST", tmp_path, download=download)["train"]

        assert "\n" not in str(error.value) and str(tmp_path) in str(error.value)


def test_bad_names() -> None:
    for call, message in {
        lambda: vision("MNISt"): "did you mean 'MNIST'",
        lambda: vision("EMNIST", subset="capitals"): "unknown subset 'capitals'",
        lambda: vision("MNIST", validation=-1): "must not be negative",
        lambda: mnist(protocol="D"): "there are A, B, C and none",
        lambda: mnist(protocol="A", binarization="static"): "protocol A fixes",
        lambda: mnist(protocol="none", validation=-1): "must not be negative",
    }.items():
        with pytest.raises(ValueError, match=message):
            call()
