r"""Public picture sets: from files that are there already, else through torchvision."""

from __future__ import annotations

__all__ = ["SETS", "idx_files", "pictures"]

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .files import find
from .idx import idx

SETS = ("MNIST", "FashionMNIST", "KMNIST", "EMNIST", "Omniglot", "CIFAR10", "SVHN")


def pictures(
    name: str, root: Path, *, train: bool, download: bool = True, subset: str = "balanced"
) -> tuple[Tensor, Tensor]:
    r"""The training or test pictures of a set, uint8, :math:`(n, C, H, W)`, and their labels.

    MNIST and its relatives are read from their idx files, packed or not, without torchvision.

    Raises:
        ValueError: if the files are absent and cannot be had.

    Example:
        >>> pictures("MNIST", Path("absent"), train=True, download=False)  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        ValueError: the files of MNIST are not in 'absent'...
    """

    files = idx_files(name, root, train=train, subset=subset)

    if files is not None:
        images, labels = (idx(file) for file in files)
    else:
        source = _torchvision(name, root, train=train, download=download, subset=subset)
        images, labels = _omniglot(source) if name == "Omniglot" else _tensors(source)

    if images.dim() == 3:
        images = images.unsqueeze(1)
    elif images.shape[-1] == 3:
        images = images.permute(0, 3, 1, 2)

    if name == "EMNIST":
        images = images.transpose(2, 3)  # its files hold each picture transposed

    if len(images) != len(labels):
        raise ValueError(
            f"the files of {name} hold {len(images)} pictures and {len(labels)} labels: get them "
            f"again."
        )

    return images.contiguous(), labels.long()


def idx_files(
    name: str, root: Path, *, train: bool, subset: str = "balanced"
) -> tuple[Path, Path] | None:
    r"""The idx files of pictures and labels of MNIST or a relative, if they are there.

    Example:
        >>> idx_files("MNIST", Path("absent"), train=True) is None
        True
    """

    if "MNIST" not in name:
        return None

    folders = [root / name / "raw", root / name]

    # All relatives name their files alike: a folder that names another of them is not ours.
    if not any(other in root.resolve().parts for other in SETS if other != name):
        folders += [root, root / "raw"]

    prefix = "train" if train else "t10k"

    if name == "EMNIST":
        prefix = f"emnist-{subset}-{'train' if train else 'test'}"

    images = find(folders, f"{prefix}-images-idx3-ubyte")
    labels = find(folders, f"{prefix}-labels-idx1-ubyte")

    return None if images is None or labels is None else (images, labels)


def _torchvision(name: str, root: Path, *, train: bool, download: bool, subset: str) -> Any:
    try:
        from torchvision import datasets
    except (ImportError, RuntimeError, OSError) as error:
        raise ValueError(
            f"the files of {name} are not in '{root}' and torchvision, which would get them, "
            f"cannot be loaded ({error}): install torch and torchvision together, from the same "
            f"registry and for the same device."
        ) from error

    special: dict[str, dict[str, Any]] = {
        "EMNIST": {"train": train, "split": subset},
        "SVHN": {"split": "train" if train else "test"},
        "Omniglot": {"background": train},
    }
    options = special.get(name, {"train": train})

    try:
        return getattr(datasets, name)(str(root), download=download, **options)
    except (RuntimeError, OSError) as error:
        reason = " ".join(str(error).split())
        cure = "check the network, or" if download else "allow the download, or"
        raise ValueError(
            f"the files of {name} are not in '{root}' and torchvision did not get them ({reason}): "
            f"{cure} put them there in torchvision's layout, or name the folder that holds them "
            f"as root."
        ) from error


def _tensors(source: Any) -> tuple[Tensor, Tensor]:
    labels = source.targets if hasattr(source, "targets") else source.labels

    return torch.as_tensor(source.data), torch.as_tensor(labels)


def _omniglot(source: Any) -> tuple[Tensor, Tensor]:
    # white paper, black ink: turned over, so that ink is large as in MNIST
    images, labels = zip(*(source[i] for i in range(len(source))), strict=True)
    stack = np.stack([255 - np.asarray(image.convert("L")) for image in images])

    return torch.from_numpy(stack), torch.tensor(labels)
