r"""Data from the user's own files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from data_cases import REAL, real, reals, write

from ppl_vae.data import array


@pytest.fixture
def table(tmp_path: Path) -> Path:
    np.save(tmp_path / "table.npy", reals())

    return tmp_path / "table.npy"


# Reading


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.txt", "t.txt.gz", "t.amat", "t.amat.gz"])
@pytest.mark.parametrize("mark", [" ", ",", ";", "\t", " \t"])
def test_text(tmp_path: Path, name: str, mark: str) -> None:
    lines = "\n".join(mark.join(f"{v:.17g}" for v in row) for row in reals()) + "\n"
    data = array(write(tmp_path, name, lines), splits=(1, 0, 0))
    rows = data["train"].sites["x"]

    assert data.counts == {"train": 50}
    assert rows.sort(0).values.equal(torch.from_numpy(reals()).float().sort(0).values)


def test_splits_do_not_leak(table: Path) -> None:
    data = array(table, splits=(0.5, 0.3, 0.2), seed=4)
    rows = [tuple(row) for split in data for row in data[split].sites["x"].tolist()]

    assert data.counts == {"train": 25, "validation": 15, "test": 10}
    assert len(set(rows)) == 50
    assert array(table, seed=5).hash != array(table, seed=4).hash == array(table, seed=4).hash


@pytest.mark.parametrize("kind", ["npz", "mat", "csv"])
def test_labels(tmp_path: Path, kind: str) -> None:
    x, y = reals(n=6), np.array([7, 9, 7, 9, 9, 7])
    file = tmp_path / f"t.{kind}"

    if kind == "npz":
        np.savez(file, x=x, y=y)
    elif kind == "mat":
        pytest.importorskip("scipy.io").savemat(file, {"x": x, "y": y})
    else:
        rows = [f"{','.join(map(str, a))},{b}" for a, b in zip(x, y, strict=True)]
        file.write_text("\n".join(["a,b,c,d,y", *rows]))

    data = array(file, labels="y", splits=(1, 0, 0))
    split = data["train"]
    order = [x[:, 0].astype("f4").tolist().index(v) for v in split.sites["x"][:, 0].tolist()]

    assert data.event_shape == (4,) and data.class_names == ["7", "9"]
    assert split.labels.tolist() == [int(y[i] == 9) for i in order]
    assert split.labels.dtype == torch.int64


def test_label_column_by_number(tmp_path: Path) -> None:
    np.save(tmp_path / "t.npy", np.array([[1, 5], [2, 6], [3, 5]]))
    csv = write(tmp_path, "t.csv", "1,cat\n2,dog\n3,cat\n")

    for file in (tmp_path / "t.npy", csv):
        data = array(file, labels=-1, splits=(1, 0, 0))
        assert data.event_shape == (1,) and sorted(data["train"].labels.tolist()) == [0, 0, 1]


def test_given_files_and_keys(tmp_path: Path) -> None:
    x = reals()
    np.save(tmp_path / "a.npy", x[:30])
    np.save(tmp_path / "b.npy", x[30:])
    np.savez(tmp_path / "c.npz", tr=x[:30], te=x[30:])

    files = array(train_file=tmp_path / "a.npy", test_file=tmp_path / "b.npy")
    keys = array(tmp_path / "c.npz", key=("tr", "te"))

    assert files.counts == keys.counts == {"train": 30, "test": 20}
    assert files.hash == keys.hash
    assert files["test"].sites["x"].equal(torch.from_numpy(x[30:]).float())


def test_sparse_npz(tmp_path: Path) -> None:
    sparse = pytest.importorskip("scipy.sparse")
    sparse.save_npz(tmp_path / "s.npz", sparse.csr_matrix(np.eye(4, dtype=np.int32) * 300))

    assert array(tmp_path / "s.npz", splits=(1, 0, 0))["train"].sites["x"].dtype == torch.int32


def test_folder_of_images(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")

    for i in range(10):
        file = tmp_path / ("dog" if i % 2 else "cat") / f"{i}.png"
        file.parent.mkdir(exist_ok=True)
        image.fromarray(np.full((3, 5), i, np.uint8)).save(file)

    data = array(tmp_path)
    rows = data["train"]

    assert data.event_shape == (1, 3, 5) and data.class_names == ["cat", "dog"]
    assert (rows.sites["x"][:, 0, 0, 0] % 2).equal(rows.labels.to(torch.uint8))

    image.new("RGB", (5, 3), (1, 2, 3)).save(tmp_path / "colour.png")
    assert array(tmp_path).event_shape == (3, 3, 5) and array(tmp_path).class_names is None

    image.new("L", (9, 9)).save(tmp_path / "large.png")
    with pytest.raises(ValueError, match=r"large.png.* is 9x9 .*one size"):
        array(tmp_path)["train"]

    (tmp_path / "large.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"large.png' is not a readable image"):
        array(tmp_path)["train"]

    image.fromarray(np.zeros((3, 5), np.uint16)).save(tmp_path / "large.png")
    with pytest.raises(ValueError, match="more than 8 bits"):
        array(tmp_path)["train"]


@real
def test_other_real_files() -> None:
    silhouettes = array(
        REAL / "Caltech101Silhouettes" / "caltech101_silhouettes_28_split1.mat",
        key=("train_data", "val_data", "test_data"),
        labels=("train_labels", "val_labels", "test_labels"),
        event_shape=(1, 28, 28),
    )
    assert tuple(silhouettes.counts.values()) == (4100, 2264, 2307)
    assert len(silhouettes.class_names or []) == 101

    concrete = array(REAL / "UCI" / "concrete.txt.gz", scaling="standardize")
    assert concrete.event_shape == (9,) and sum(concrete.counts.values()) == 1030

    news = REAL / "20News"
    assert array(train_file=news / "train.npz", test_file=news / "test.npz").event_shape == (1995,)


# Values


@pytest.mark.parametrize("scaling", ["standardize", "unit"])
@pytest.mark.parametrize("event_shape", [(4,), (2, 2)])
def test_change_of_volume(table: Path, scaling: str, event_shape: tuple[int, ...]) -> None:
    data = array(table, scaling=scaling, event_shape=event_shape)
    f = data.scaling
    assert f is not None
    x = torch.from_numpy(reals()).reshape(-1, *event_shape)
    jacobian = torch.autograd.functional.jacobian(f, x[:1]).reshape(4, 4)

    assert math.isclose(data.log_volume, jacobian.logdet().item(), rel_tol=1e-12)
    assert torch.allclose(f.inv(f(x)), x, rtol=1e-12)

    y = data.batch("train")["x"].double().reshape(40, -1)
    y = y if len(event_shape) == 1 else y.reshape(-1, 1)

    # float32 rounding
    if scaling == "unit":
        assert y.min(0).values.abs().max() == 0 and (y.max(0).values == 1).all()
    else:
        assert y.mean(0).abs().max() < 1e-6 and (y.var(0, unbiased=False) - 1).abs().max() < 1e-6


@pytest.mark.parametrize("scaling", ["standardize", "unit"])
def test_constant_and_large_columns(tmp_path: Path, scaling: str) -> None:
    x = np.stack([np.full(10, 0.1), 1e9 + np.arange(10.0)], 1)
    np.save(tmp_path / "t.npy", x)
    data = array(tmp_path / "t.npy", scaling=scaling, splits=(1, 0, 0))
    y = data.batch("train")["x"]

    assert y.isfinite().all() and math.isfinite(data.log_volume)
    assert y[:, 0].abs().max() < 1e-6  # rounding of the mean of a constant
    assert len(y[:, 1].unique()) == 10  # scaled before float32 would have merged them


def test_missing_values(tmp_path: Path) -> None:
    file = write(tmp_path, "t.csv", "a,b\n1,2\n,4\n3,NA\n5,6\n")
    data = array(file, splits=(1, 0, 0), scaling="standardize", allow_nan=True)
    assert data.scaling is not None
    raw = torch.tensor([[1.0, math.nan], [1.0, 2.0]])
    volumes = data.scaling.log_volume(raw)

    assert data.batch("train")["x"].isnan().sum() == 2
    assert data.mean.abs().max() < 1e-6 and math.isfinite(data.maximum)
    assert volumes[1].item() == data.log_volume
    assert volumes[0].item() == -data.scaling.scale[0].log().item()
