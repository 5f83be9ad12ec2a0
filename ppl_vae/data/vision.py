r"""Public picture sets as data: MNIST and relatives, Omniglot, CIFAR10, SVHN."""

from __future__ import annotations

__all__ = ["vision"]

import difflib
import os
import string

import torch.nn.functional as F
from torch import Tensor

from .base import Data
from .files import data_root
from .pictures import SETS, pictures
from .split import Split

_DIGITS = tuple(string.digits)
_FASHION = "T-shirt,trouser,pullover,dress,coat,sandal,shirt,sneaker,bag,boot"
_CIFAR10 = "airplane,automobile,bird,cat,deer,dog,frog,horse,ship,truck"

# The small letters that EMNIST merges with their capitals
_MERGED = "cijklmopsuvwxyz"
_ALL = string.digits + string.ascii_uppercase + string.ascii_lowercase
_BALANCED = tuple(sorted(set(_ALL) - set(_MERGED)))

_EMNIST = {
    "balanced": _BALANCED,
    "bymerge": _BALANCED,
    "byclass": tuple(_ALL),
    "letters": ("-", *string.ascii_lowercase),  # its labels count from 1
    "digits": _DIGITS,
    "mnist": _DIGITS,
}

_CLASSES: dict[str, tuple[str, ...]] = {
    "MNIST": _DIGITS,
    "FashionMNIST": tuple(_FASHION.split(",")),
    "KMNIST": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    "CIFAR10": tuple(_CIFAR10.split(",")),
    "SVHN": _DIGITS,
}


def vision(
    name: str,
    root: str | os.PathLike[str] | None = None,
    binarization: str = "none",
    *,
    download: bool = True,
    seed: int = 0,
    validation: int = 5000,
    subset: str = "balanced",
    size: int | None = None,
) -> Data:
    r"""A public picture set: bytes 0..255 of shape :math:`(C, H, W)`.

    Validation takes the last training pictures. Omniglot trains on its background set and tests
    on its evaluation set, ink bright on dark paper.

    Arguments:
        name: MNIST, FashionMNIST, KMNIST, EMNIST, Omniglot, CIFAR10 or SVHN.
        root: The folder of the files, by default `$PPL_VAE_DATA` or `~/.cache/ppl_vae`.
        binarization: One of `none`, `threshold`, `static` and `dynamic`.
        download: Whether absent files may be downloaded.
        seed: The seed of the binarization.
        validation: The number of validation pictures; 0 for no such split.
        subset: The part of EMNIST: balanced, byclass, bymerge, letters, digits or mnist.
        size: The height and width to shrink the pictures to, by averaging. A likelihood of
            shrunk pictures does not compare with published ones.

    Raises:
        ValueError: if a name is unknown; upon loading, if files are absent or torchvision fails.

    Example:
        >>> vision("CIFAR10")
        Data('CIFAR10', binarization='none')
        >>> vision("CIFAR")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        ValueError: unknown picture set 'CIFAR', did you mean 'CIFAR10'? There are MNIST...
    """

    if name not in SETS:
        near = difflib.get_close_matches(name, SETS, n=1, cutoff=0.4)
        hint = f", did you mean '{near[0]}'? There" if near else ": there"
        raise ValueError(f"unknown picture set {name!r}{hint} are {', '.join(SETS)}.")

    if subset not in _EMNIST:
        raise ValueError(f"unknown subset {subset!r} of EMNIST: there are {', '.join(_EMNIST)}.")

    if validation < 0 or (size is not None and size < 1):
        raise ValueError("the validation count must not be negative, and the size at least 1.")

    classes = _EMNIST[subset] if name == "EMNIST" else _CLASSES.get(name)

    def load() -> dict[str, Split]:
        folder = data_root(root)
        train, test = (
            _rows(*pictures(name, folder, train=part, download=download, subset=subset), size)
            for part in (True, False)
        )

        return {**carve(train, validation), "test": test}

    return Data(name, load, binarization=binarization, seed=seed, class_names=classes)


def carve(train: Split, validation: int) -> dict[str, Split]:
    r"""Splits the last `validation` rows off the training rows.

    Raises:
        ValueError: if none would be left to train.

    Example:
        >>> import torch
        >>> {k: len(v) for k, v in carve(Split({"x": torch.zeros(5, 1)}), 2).items()}
        {'train': 3, 'validation': 2}
    """

    if validation >= len(train):
        raise ValueError(
            f"{validation} validation rows leave none of {len(train)} to train: ask for fewer."
        )

    if validation == 0:
        return {"train": train}

    cut = len(train) - validation

    return {"train": train.select(slice(cut)), "validation": train.select(slice(cut, None))}


def _rows(images: Tensor, labels: Tensor, size: int | None) -> Split:
    if size is not None:
        images = F.adaptive_avg_pool2d(images.float(), size).round().byte()

    return Split({"x": images}, labels)
