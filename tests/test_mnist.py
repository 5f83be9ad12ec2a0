r"""MNIST's protocols."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import torch
from data_cases import REAL, real, write

from ppl_vae.data import Data, mnist
from ppl_vae.data.amat import amat


def test_protocol_c_names_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = "binarized_mnist_train.amat, binarized_mnist_valid.amat, binarized_mnist_test.amat"

    with pytest.raises(ValueError, match=f"{names}.*{tmp_path}"):
        mnist(tmp_path)["train"]

    monkeypatch.setenv("PPL_VAE_DATA", str(tmp_path / "elsewhere"))

    with pytest.raises(ValueError, match="elsewhere"):
        mnist()["train"]

    for split in ("train", "valid", "test"):
        write(tmp_path, f"binarized_mnist_{split}.amat", "0 1 1\n")

    with pytest.raises(ValueError, match="does not hold binary 28x28 images"):
        mnist(tmp_path)["train"]


@pytest.fixture(scope="module")
def protocols() -> dict[str, Data]:
    return {name: mnist(REAL, name, download=False) for name in ("A", "B", "C")}


@real
def test_protocol_sizes_and_values(protocols: dict[str, Data]) -> None:
    sizes = {"A": (59600, 400, 10000), "B": (50000, 10000, 10000), "C": (50000, 10000, 10000)}

    for name, data in protocols.items():
        assert tuple(data.counts.values()) == sizes[name]
        assert data.event_shape == (1, 28, 28) and data.protocol == name and data.maximum == 1.0
        assert all(data[s].sites["x"].max() == 1 for s in ("validation", "test"))
        assert all(data[s].sites["x"].dtype == torch.uint8 for s in data)
        assert 0.12 < data.mean.mean() < 0.14

    assert protocols["A"]["train"].sites["x"].max() == 255
    assert protocols["C"]["train"].sites["x"].max() == 1


@real
def test_protocols_a_and_b_share_the_images_of_mnist(protocols: dict[str, Data]) -> None:
    a, b = (protocols[name]["train"] for name in "AB")

    assert a.sites["x"][:50000].equal(b.sites["x"])
    assert a.labels is not None and b.labels is not None and a.labels[:50000].equal(b.labels)
    # The paper's code: `np.random.seed(777)`, then validation, then test. That stream of NumPy's
    # is frozen.
    stream = np.random.RandomState(777)
    grey = mnist(REAL, "none", download=False)
    held = {"validation": grey["train"].sites["x"][50000:], "test": grey["test"].sites["x"]}

    for split, x in held.items():
        expected = stream.binomial(1, x.float().numpy() / 255.0)
        assert (protocols["B"][split].sites["x"].numpy() == expected).all()


@real
def test_protocol_c_does_not_leak(protocols: dict[str, Data]) -> None:
    data = protocols["C"]
    images = [{row.tobytes() for row in data[s].sites["x"].numpy()} for s in data]

    assert not images[0] & images[1] and not images[0] & images[2] and not images[1] & images[2]
    assert mnist(REAL / "MNIST_static").hash == data.hash


@real
def test_protocol_c_labels(protocols: dict[str, Data]) -> None:
    data = protocols["C"]

    for split in data:
        labels = data[split].labels
        assert labels is not None and labels.bincount().min() > 0.08 * len(labels)

    # the class means of test classify its own rows far better than chance, 0.1
    x, y = data["test"].sites["x"].flatten(1).float(), data["test"].labels
    means = torch.stack([x[y == k].mean(0) for k in range(10)])

    assert (torch.cdist(x, means).argmin(1) == y).float().mean() > 0.75


@real
def test_amat_is_quick_and_exact() -> None:
    file = REAL / "MNIST_static" / "binarized_mnist_test.amat.gz"
    text = gzip.decompress(file.read_bytes())
    x = amat(file)

    assert x.shape == (10000, 784) and x.dtype == np.uint8
    assert x.sum() == text.count(b"1")
    assert x[17].tolist() == list(map(int, text.splitlines()[17].split()))


@real
def test_mnist_without_protocol() -> None:
    data = mnist(REAL, "none", download=False)

    assert data.counts == {"train": 60000, "test": 10000} and data.maximum == 255.0
    assert "validation" not in data and data.protocol == ""
