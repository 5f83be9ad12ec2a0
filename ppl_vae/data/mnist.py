r"""MNIST under the protocols that make likelihoods comparable.

===== ========================================= ==================================================
name  splits                                    binarization
===== ========================================= ==================================================
A     first 59600, last 400 of the 60000, 10000 training minibatches redrawn; the rest drawn once
B     first 50000, last 10000, 10000            as A, the rest with `np.random.seed(777)`
C     50000, 10000, 10000                       fixed, in files; never redrawn
===== ========================================= ==================================================

A log-likelihood stands beside another one only under the same protocol: C is about 2 nats worse
than A for the same model.

References:
    | A: Importance Weighted Autoencoders (Burda et al., 2016), https://arxiv.org/abs/1509.00519
    | B: VAE with a VampPrior (Tomczak and Welling, 2018), https://arxiv.org/abs/1705.07120
    | C: The Neural Autoregressive Distribution Estimator (Larochelle and Murray, 2011)
"""

from __future__ import annotations

__all__ = ["mnist"]

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .amat import amat
from .base import Data
from .binarize import bernoulli, legacy_bernoulli
from .files import data_root, find
from .idx import idx
from .pictures import idx_files, pictures
from .split import Split
from .vision import carve

_FILES = {split: f"binarized_mnist_{split}.amat" for split in ("train", "valid", "test")}
_VALIDATION = {"A": 400, "B": 10000, "C": 10000}


def mnist(
    root: str | os.PathLike[str] | None = None,
    protocol: str = "C",
    *,
    binarization: str | None = None,
    validation: int = 0,
    download: bool = True,
    seed: int = 0,
) -> Data:
    r"""Handwritten digits of shape :math:`(1, 28, 28)`.

    Arguments:
        root: The folder of the files or the one above, by default `$PPL_VAE_DATA` or
            `~/.cache/ppl_vae`.
        protocol: A, B or C, which fix splits and binarization; or `none`.
        binarization: Without a protocol, one of `none`, `threshold`, `static` and `dynamic`.
        validation: Without a protocol, the number of last training images that validate.
        download: Whether absent files may be downloaded (not those of C).
        seed: The seed of the binarization (B has its own, C none).

    Raises:
        ValueError: if a protocol is unknown or contradicted; upon loading, if files are absent.

    Example:
        >>> mnist(protocol="B")
        Data('MNIST', binarization='dynamic')
        >>> mnist(protocol="C", binarization="static")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        ValueError: protocol C fixes binarization and validation: leave them out...
    """

    if protocol not in ("A", "B", "C", "none"):
        raise ValueError(f"unknown MNIST protocol {protocol!r}: there are A, B, C and none.")

    if protocol != "none" and (binarization is not None or validation):
        raise ValueError(
            f"protocol {protocol} fixes binarization and validation: leave them out, or use "
            f"protocol 'none'."
        )

    if validation < 0:
        raise ValueError(f"the validation count must not be negative, it is {validation}.")

    held = _VALIDATION.get(protocol, validation)

    def load() -> dict[str, Split]:
        if protocol == "C":
            return _fixed(data_root(root))

        train, test = (
            _rows(*pictures("MNIST", data_root(root), train=part, download=download))
            for part in (True, False)
        )

        return {**carve(train, held), "test": test}

    fixed = {"A": "dynamic", "B": "dynamic", "C": "none", "none": binarization or "none"}

    return Data(
        "MNIST",
        load,
        binarization=fixed[protocol],
        protocol=protocol.removeprefix("none"),
        class_names=[str(i) for i in range(10)],
        seed=777 if protocol == "B" else seed,
        sampler=legacy_bernoulli if protocol == "B" else bernoulli,
    )


def _rows(images: Tensor, labels: Tensor) -> Split:
    return Split({"x": images}, labels)


def _fixed(root: Path) -> dict[str, Split]:
    below = sorted(p for p in root.iterdir() if p.is_dir()) if root.is_dir() else []
    files = {split: find([root, *below], name) for split, name in _FILES.items()}
    absent = [_FILES[split] for split, file in files.items() if file is None]

    if absent:
        raise ValueError(
            f"protocol C needs {', '.join(absent)} (or .amat.gz), which no library downloads: put "
            f"the missing files into '{root}' or a folder in it, or name their folder as root."
        )

    out = {}

    for split, file in files.items():
        assert file is not None
        x = torch.from_numpy(amat(file))

        if x.shape[1] != 784 or x.max() > 1:
            raise ValueError(f"'{file}' does not hold binary 28x28 images: get the file again.")

        labels = _labels(root, file.parent, split)
        labels = labels if labels is not None and len(labels) == len(x) else None
        name = "validation" if split == "valid" else split
        out[name] = Split({"x": x.reshape(-1, 1, 28, 28)}, labels)

    return out


def _labels(root: Path, folder: Path, split: str) -> Tensor | None:
    # The binarized files have none. An index says which MNIST image a row most likely is.
    match = folder / "derived_mnist_match_index.npz"

    if not match.is_file():
        return None

    for near in (root, folder, folder.parent):
        files = idx_files("MNIST", near, train=split != "test")

        if files is not None:
            rows = np.load(match, allow_pickle=False)[split].astype(np.int64)
            return idx(files[1]).long()[rows]

    return None
