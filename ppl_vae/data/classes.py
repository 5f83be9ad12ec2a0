r"""Labels as numbers of classes."""

from __future__ import annotations

__all__ = ["encode"]

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def encode(
    marks: Mapping[str, NDArray[Any]], where: str
) -> tuple[dict[str, Tensor], tuple[str, ...] | None]:
    r"""Numbers the labels of all splits jointly.

    Arguments:
        marks: Words or whole numbers by split, each of shape :math:`(n,)`.
        where: The files they come from, for messages.

    Returns:
        The classes as int64 by split, and their names, in order.

    Raises:
        ValueError: if a label is missing or a real number.

    Example:
        >>> encode({"train": np.array(["dog", "cat"]), "test": np.array(["cat"])}, "pets.csv")
        ({'train': tensor([1, 0]), 'test': tensor([0])}, ('cat', 'dog'))
    """

    if not marks:
        return {}, None

    joint = np.concatenate([np.asarray(mark).reshape(-1) for mark in marks.values()])

    try:
        numbers = joint.astype(np.float64)
    except (ValueError, TypeError):
        numbers = None

    if numbers is None and (joint == "").any():
        row = int(np.argmax(joint == ""))
        raise ValueError(f"row {row} of {where} has no label (counted from 0): fill it in.")

    if numbers is not None:
        if not np.isfinite(numbers).all() or (numbers != numbers.round()).any():
            raise ValueError(
                f"the labels of {where} are not whole numbers or words: choose another column."
            )

        joint = numbers.astype(np.int64)

    names, codes = np.unique(joint, return_inverse=True)
    ends = np.cumsum([len(mark) for mark in marks.values()])[:-1]
    parts = np.split(codes.reshape(-1).astype(np.int64), ends)

    return (
        {name: torch.from_numpy(part.copy()) for name, part in zip(marks, parts, strict=True)},
        tuple(str(name) for name in names),
    )
