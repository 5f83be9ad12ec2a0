r"""The exposure of each row of counts: a time, a volume, or the total of the row."""

from __future__ import annotations

__all__ = ["check_exposure", "take", "total", "with_totals"]

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from .split import Split
from .table import Table, column


def total(x: Tensor) -> Tensor:
    r"""The sum of each row, missing values left out, with shape :math:`(n,)`.

    Example:
        >>> import torch
        >>> total(torch.tensor([[1, 2], [0, 4]]))
        tensor([3, 4])
    """

    x = x.flatten(1)

    # in double precision, for single holds whole numbers up to 16 million only
    return x.double().nansum(1).to(x.dtype) if x.is_floating_point() else x.sum(1)


def with_totals(split: Split) -> Split:
    r"""The same split with a site `exposure`, the totals of its rows."""

    sites = {**split.sites, "exposure": total(split.sites["x"])}

    return Split(sites, split.labels, split.class_names)


def take(table: Table, name: str | int, where: str) -> tuple[Table, NDArray[Any]]:
    r"""Takes the column of exposures out of a table.

    Arguments:
        table: The table, without its labels.
        name: The column, by name or number.
        where: What the table is, for messages.

    Raises:
        ValueError: if there is no such column.

    Example:
        >>> table = Table(np.array([[1, 2, 9], [3, 4, 8]]), columns=("a", "b", "time"))
        >>> rest, exposure = take(table, "time", "t.csv")
        >>> rest.columns, exposure.tolist()
        (('a', 'b'), [9, 8])
    """

    if table.values.ndim != 2:
        raise ValueError(
            f"{where} has rows of shape {table.values.shape[1:]}: an exposure by column needs a "
            f"table; 'total' takes any rows."
        )

    at = column(name, table.columns, table.values.shape[1], where)
    names = table.columns and table.columns[:at] + table.columns[at + 1 :]
    rest = Table(np.delete(table.values, at, axis=1), table.labels, names)

    return rest, table.values[:, at]


def check_exposure(name: str, splits: Mapping[str, Split]) -> None:
    r"""Raises a ValueError if a row has a negative exposure, or none and counts all the same.

    Example:
        >>> import torch
        >>> rows = Split({"x": torch.tensor([[0, 1]]), "exposure": torch.tensor([0])})
        >>> check_exposure("toy", {"train": rows})
        Traceback (most recent call last):
            ...
        ValueError: row 0 of split 'train' of data set 'toy' has exposure 0: it must be positive.
    """

    for split, rows in splits.items():
        if "exposure" not in rows.sites:
            continue

        e = rows.sites["exposure"]
        empty = (rows.sites["x"].flatten(1) == 0).all(1)
        # written so that NaN fails
        bad = ~((e > 0) | ((e == 0) & empty))

        if bad.any():
            row = int(bad.int().argmax())
            raise ValueError(
                f"row {row} of split {split!r} of data set {name!r} has exposure "
                f"{e[row].item():g}: it must be positive."
            )
