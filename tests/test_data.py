r"""Laws of data sets, and one clear sentence for each bad input."""

from __future__ import annotations

import gzip
import json
import math
import subprocess
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ppl_vae.data import Data, Split, array, digits, mnist, stored, vision
from ppl_vae.data.amat import amat
from ppl_vae.data.vision import carve

REAL = Path(__file__).parents[1].parent / "shared" / "data"
real = pytest.mark.skipif(not REAL.is_dir(), reason="real data sets are not in ../shared/data")


def toy(**options: Any) -> Data:
    r"""Grey pictures: 60 to train, 20 each to validate and test."""

    x = torch.arange(100 * 6).reshape(100, 1, 2, 3).remainder(256).to(torch.uint8)
    parts = {"train": x[:60], "validation": x[60:80], "test": x[80:]}

    return Data("toy", lambda: {k: Split({"x": v}) for k, v in parts.items()}, **options)


def reals(seed: int = 0, n: int = 50) -> np.ndarray:
    return np.random.default_rng(seed).normal(3.0, 2.0, (n, 4))


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


# Binarization


def test_threshold() -> None:
    data, grey = toy(binarization="threshold"), toy()
    top = grey["train"].sites["x"].max()

    assert data["test"].sites["x"].bool().equal(grey["test"].sites["x"] > top / 2)


def test_static_is_reproducible() -> None:
    first, again, other = (toy(binarization="static", seed=seed) for seed in (0, 0, 1))

    assert set(first["train"].sites["x"].unique().tolist()) == {0, 1}
    assert first.hash == again.hash != other.hash
    assert first.batch("train")["x"].equal(first.batch("train")["x"])


def test_dynamic_redraws_the_training_split_only() -> None:
    data = toy(binarization="dynamic")
    torch.manual_seed(0)
    a, b = data.batch("train")["x"], data.batch("train")["x"]

    assert not a.equal(b)
    assert a.unique().tolist() == [0.0, 1.0]
    assert data.batch("test")["x"].equal(data.batch("test")["x"])
    assert data["test"].sites["x"].unique().tolist() == [0, 1]

    torch.manual_seed(0)
    assert a.equal(data.draw(data["train"].sites)["x"])

    g = torch.Generator()
    c, d = (data.batch("train", generator=g.manual_seed(1))["x"] for _ in range(2))
    assert c.equal(d)


@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_draws_have_the_right_mean(kind: str) -> None:
    p = torch.linspace(0, 1, 50).expand(4000, 50)
    data = Data("grey", lambda: {"train": Split({"x": p})}, binarization=kind, seed=3)
    torch.manual_seed(0)
    x = data.batch("train")["x"].double()
    inner = slice(1, -1)
    z = (x.mean(0) - p[0])[inner] * math.sqrt(4000) / (p[0] * (1 - p[0]))[inner].sqrt()

    # sum of 48 squared z-scores: a correct sampler exceeds 93 with probability 1e-4
    assert z.square().sum() < 93
    assert x[:, 0].max() == 0 and x[:, -1].min() == 1


def test_draw_can_be_captured() -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    data = toy(binarization="dynamic")
    x = data["train"].sites["x"]
    graph = make_fx(lambda x: data.draw({"x": x})["x"])(x)

    assert not graph(x).equal(graph(x))


def test_bytes_and_unit_reals_draw_alike() -> None:
    bits = torch.tensor([[0, 1], [1, 1]], dtype=torch.uint8)

    for x in (bits, bits * 255, bits.float(), bits.double() * 255):
        for kind in ("threshold", "static", "dynamic"):
            data = Data("bits", lambda x=x: {"train": Split({"x": x})}, binarization=kind)
            assert data.batch("train")["x"].equal(bits.float())
            assert data.mean.equal(torch.tensor([0.5, 1.0])) and data.maximum == 1.0


@pytest.mark.parametrize("value", [-1.0, 300.0, math.nan])
def test_binarization_refuses_what_is_not_grey(value: float) -> None:
    rows = {"train": Split({"x": torch.tensor([[0.5], [value]])})}

    for kind in ("threshold", "static", "dynamic"):
        with pytest.raises(ValueError, match=r"0\.\.1 or 0\.\.255"):
            Data("bad", lambda: rows, binarization=kind, allow_nan=True)["train"]


# Digits


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


# The user's own files


def write(folder: Path, name: str, content: str) -> Path:
    file = folder / name
    file.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())

    return file


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


BAD_TEXT = {
    "": "is empty",
    "a,b\n": "is empty below its header",
    "a,b\n1,2\n3,x\n": r"line 3, column 'b' of .* holds 'x', not a number",
    "1,2\n\n3,x\n": r"line 3, column 1 of .* holds 'x'",
    "1,2\n3\n": r"line 2 of .* has 1 cells where 2 are expected",
    "a,b\n1,2\n3,\n": r"holds nan at row 1, column 'b'.*remove or replace it",
    "1,2\n3,inf\n": r"holds inf at row 1, column 1",
}


@pytest.mark.parametrize("content", BAD_TEXT)
def test_bad_text(tmp_path: Path, content: str) -> None:
    with pytest.raises(ValueError, match=BAD_TEXT[content]):
        array(write(tmp_path, "t.csv", content))["train"]


BAD_OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "sum": ({"splits": (0.8, 0.2, 0.1)}, "sum to at most 1"),
    "negative": ({"splits": (1.2, -0.1, -0.1)}, "sum to at most 1"),
    "untrained": ({"splits": (0.0, 0.5, 0.5)}, "some for train"),
    "empty": ({"splits": (0.9, 0.001, 0.099)}, "leaves the split 'validation' empty"),
    "shape": ({"event_shape": (3, 2)}, r"event_shape \(3, 2\) has 6 values and a row .* has 4"),
    "zero": ({"event_shape": (4, 1, 0)}, "has 0 values"),
    "scaling": ({"scaling": "whiten"}, "unknown scaling 'whiten': there are none"),
    "binarization": ({"binarization": "dynamical"}, "unknown binarization 'dynamical'"),
    "both": ({"binarization": "static", "scaling": "unit"}, "binary data has no scale"),
    "column": ({"labels": 9}, "no column 9: it has 4"),
    "name": ({"labels": "kind"}, "no labels 'kind'"),
    "regression": ({"labels": 0}, "not whole numbers or words"),
    "key": ({"key": "x"}, "no array 'x'"),
    "keys": ({"key": ("x",)}, "two or three keys"),
    "grey": ({"binarization": "static"}, r"0\.\.1 or 0\.\.255"),
    "two": ({"train_file": "b.npy"}, "give either file, or train_file"),
}


@pytest.mark.parametrize("name", BAD_OPTIONS)
def test_bad_options(table: Path, name: str) -> None:
    options, message = BAD_OPTIONS[name]

    with pytest.raises(ValueError, match=message):
        array(table, **options)["train"]


def test_bad_labels(tmp_path: Path) -> None:
    headed = write(tmp_path, "t.csv", "a,b,kind\n1,2,cat\n3,4,\n")

    with pytest.raises(ValueError, match="no column 'sort': there are a, b, kind"):
        array(headed, labels="sort")["train"]

    with pytest.raises(ValueError, match="it has no header"):
        array(write(tmp_path, "u.csv", "1,2\n3,4\n"), labels="kind")["train"]

    with pytest.raises(ValueError, match=r"row 1 .* has no label"):
        array(headed, labels="kind")["train"]

    np.savez(tmp_path / "t.npz", x=np.ones((3, 2)), y=np.ones(2))

    with pytest.raises(ValueError, match="3 rows and 2 labels"):
        array(tmp_path / "t.npz", labels="y")["train"]


def test_bad_files(tmp_path: Path) -> None:
    np.save(tmp_path / "objects.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    np.save(tmp_path / "words.npy", np.array(["a", "b"]))
    np.save(tmp_path / "empty.npy", np.ones((0, 4)))
    np.save(tmp_path / "nan.npy", np.array([[0.0, 1.0], [2.0, math.nan]]))
    np.savez(tmp_path / "two.npz", a=np.ones(2), b=np.ones(2))
    write(tmp_path, "t.xls", "1,2")
    (tmp_path / "cut.npy").write_bytes(b"\x93NUMPY")
    (tmp_path / "cut.npz").write_bytes(b"PK\x03\x04no")
    (tmp_path / "cut.mat").write_bytes(b"no matlab")
    (tmp_path / "cut.csv.gz").write_bytes(gzip.compress(b"1,2\n" * 99)[:-9])
    (tmp_path / "latin.csv").write_bytes(b"\xe9,1\n")
    (tmp_path / "none").mkdir()

    bad = {
        "absent.csv": "there is no file",
        "absent.npy": "there is no file",
        "absent": "no file or folder",
        "objects.npy": "pickled objects",
        "words.npy": "where numbers are expected",
        "empty.npy": "is empty, of shape",
        "nan.npy": "nan at row 1, column 1",
        "two.npz": "holds a, b: say which as key",
        "t.xls": r"unknown kind.*\.npy, \.npz, \.mat, \.csv",
        "cut.npy": "cannot be read",
        "cut.npz": "cannot be read",
        "cut.mat": "cannot be read",
        "cut.csv.gz": "cannot be read",
        "latin.csv": "not UTF-8",
        "none": "holds no image",
    }

    for name, message in bad.items():
        with pytest.raises(ValueError, match=message) as error:
            array(tmp_path / name)["train"]

        assert "\n" not in str(error.value) and name in str(error.value)


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


# Public picture sets


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


# MNIST's protocols


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
