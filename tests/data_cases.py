r"""Data sets that tests are over, and the real ones where they are there."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ppl_vae.data import Data, Split

REAL = Path(__file__).parents[1].parent / "shared" / "data"

real = pytest.mark.skipif(not REAL.is_dir(), reason="real data sets are not in ../shared/data")


def toy(**options: Any) -> Data:
    r"""Grey pictures: 60 to train, 20 each to validate and test."""

    x = torch.arange(100 * 6).reshape(100, 1, 2, 3).remainder(256).to(torch.uint8)
    parts = {"train": x[:60], "validation": x[60:80], "test": x[80:]}

    return Data("toy", lambda: {k: Split({"x": v}) for k, v in parts.items()}, **options)


def reals(seed: int = 0, n: int = 50) -> np.ndarray:
    return np.random.default_rng(seed).normal(3.0, 2.0, (n, 4))


def write(folder: Path, name: str, content: str) -> Path:
    file = folder / name
    file.write_bytes(gzip.compress(content.encode()) if name.endswith(".gz") else content.encode())

    return file
