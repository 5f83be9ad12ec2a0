r"""One clear sentence for each bad file, label and option."""

from __future__ import annotations

import gzip
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from data_cases import reals, write

from ppl_vae.data import array


@pytest.fixture
def table(tmp_path: Path) -> Path:
    np.save(tmp_path / "table.npy", reals())

    return tmp_path / "table.npy"


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
