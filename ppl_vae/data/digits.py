r"""The handwritten digits embedded in scikit-learn, with nothing to download."""

from __future__ import annotations

__all__ = ["digits"]

import torch
from torch import Tensor

from .base import Data
from .split import Split


def digits(seed: int = 0, *, validation: int = 200, test: int = 300) -> Data:
    r"""1797 digits: counts 0..16 of black pixels in 4x4 blocks, of shape :math:`(1, 8, 8)`.

    A count out of 16 asks for a binomial likelihood with 16 trials. The split is a seeded
    permutation in which every class is spread evenly.

    Arguments:
        seed: The seed of the split.
        validation: The number of validation digits.
        test: The number of test digits.

    Raises:
        ValueError: if a split would be empty.

    References:
        | Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, 1998)
        | https://archive.ics.uci.edu/dataset/80

    Example:
        >>> data = digits()
        >>> data.event_shape, data.counts, data.maximum
        (torch.Size([1, 8, 8]), {'train': 1297, 'validation': 200, 'test': 300}, 16.0)
    """

    train = 1797 - validation - test

    if min(train, validation, test) <= 0:
        raise ValueError(
            f"{validation} validation and {test} test digits leave {train} of 1797 to train: each "
            f"split needs at least one."
        )

    def load() -> dict[str, Split]:
        from sklearn.datasets import load_digits

        x, y = load_digits(return_X_y=True)
        rows = Split(
            {"x": torch.from_numpy(x).to(torch.uint8).reshape(-1, 1, 8, 8)},
            torch.from_numpy(y).long(),
        )
        sizes = {"train": train, "validation": validation, "test": test}
        parts = stratified(y, seed).split(list(sizes.values()))

        return {name: rows.select(part) for name, part in zip(sizes, parts, strict=True)}

    return Data("digits", load, class_names=[str(i) for i in range(10)])


def stratified(labels: Tensor, seed: int) -> Tensor:
    r"""A seeded permutation of which every stretch holds each class in proportion.

    Example:
        >>> order = stratified(torch.tensor([0, 0, 0, 0, 1, 1]), seed=0)
        >>> torch.tensor([0, 0, 0, 0, 1, 1])[order][:3].sum().item()
        1
    """

    y = torch.as_tensor(labels)
    order = torch.randperm(len(y), generator=torch.Generator().manual_seed(seed))
    place = torch.empty(len(y), dtype=torch.float64)

    for label in y.unique():
        rows = order[y[order] == label]
        # the k-th of m members stands at the fraction (k + 1/2) / m of the whole
        place[rows] = (torch.arange(len(rows), dtype=torch.float64) + 0.5) / len(rows)

    return order[place[order].argsort(stable=True)]
