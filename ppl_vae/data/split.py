r"""A split of a data set: observed sites by name, and labels for pictures.

Notation: a site is a tensor of shape :math:`(n, *\text{event shape})`, one row per datum.
"""

from __future__ import annotations

__all__ = ["Split", "refuse_nonfinite", "verify"]

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Split:
    r"""The rows of one split.

    Arguments:
        sites: The observed sites by name, `x` first, each of shape :math:`(n, *)`, on the CPU.
        labels: The class of each row, int64, shape :math:`(n,)`. For pictures and probes only.
        class_names: The name of each class, where the source knows them.

    Raises:
        ValueError: if the first site is not `x` or the lengths differ.

    Example:
        >>> split = Split({"x": torch.arange(6).reshape(3, 2)}, labels=torch.tensor([0, 1, 0]))
        >>> len(split), split.select([2]).sites["x"].tolist()
        (3, [[4, 5]])
    """

    sites: Mapping[str, Tensor]
    labels: Tensor | None = None
    class_names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if next(iter(self.sites), None) != "x":
            raise ValueError(f"the first site must be named 'x', the sites are {list(self.sites)}.")

        lengths = {name: len(site) for name, site in self.sites.items()}

        if self.labels is not None:
            lengths["labels"] = len(self.labels)

        if len(set(lengths.values())) > 1:
            raise ValueError(f"sites and labels must have equally many rows, they have {lengths}.")

    def __len__(self) -> int:
        return len(self.sites["x"])

    def select(self, index: Any) -> Split:
        r"""The rows at `index`: integers, a slice or a mask."""

        rows = torch.arange(len(self))[index]
        labels = None if self.labels is None else self.labels[rows]

        return Split({k: v[rows] for k, v in self.sites.items()}, labels, self.class_names)

    def replace(self, x: Tensor) -> Split:
        r"""The same split with another site `x`."""

        return Split({**self.sites, "x": x}, self.labels, self.class_names)


def refuse_nonfinite(
    x: Tensor, where: str, *, allow_nan: bool = False, columns: Sequence[str] | None = None
) -> None:
    r"""Raises a ValueError that names the first infinite (or NaN) entry of `x`.

    Arguments:
        x: Rows of shape :math:`(n, *)`.
        where: What `x` is, for the message.
        allow_nan: Whether NaN, a missing value, is let through; infinity never is.
        columns: The names of the columns, where there are any.

    Example:
        >>> refuse_nonfinite(torch.tensor([[1.0], [torch.inf]]), "table.csv")
        Traceback (most recent call last):
            ...
        ValueError: table.csv holds inf at row 1, column 0 (counted from 0): remove or replace it.
    """

    if not x.is_floating_point():
        return

    bad = x.isinf() if allow_nan else ~x.isfinite()

    if not bad.any():
        return

    # Row by row, for `nonzero` of a whole broken set would be larger than the set.
    row = int(bad.reshape(len(x), -1).any(1).int().argmax())
    place = bad[row].nonzero()[0].tolist()
    value = x[row][tuple(place)].item()
    column = repr(columns[place[0]]) if columns and len(place) == 1 else ", ".join(map(str, place))
    cure = "remove or replace it"

    if value != value:
        cure += ", or let values be missing (allow_nan=True) and take the likelihood Masked"

    raise ValueError(
        f"{where} holds {value} at row {row}, column {column} (counted from 0): {cure}."
    )


def verify(name: str, splits: Mapping[str, Split], *, allow_nan: bool = False) -> None:
    r"""Raises a ValueError unless the splits are non-empty, finite and of one event shape.

    Example:
        >>> verify("toy", {"train": Split({"x": torch.zeros(0, 2)})})
        Traceback (most recent call last):
            ...
        ValueError: split 'train' of data set 'toy' is empty: it needs at least one row.
    """

    if "train" not in splits:
        raise ValueError(f"data set {name!r} has no split 'train', it has {list(splits)}.")

    first = splits["train"].sites

    for split, rows in splits.items():
        where = f"split {split!r} of data set {name!r}"

        if len(rows) == 0:
            raise ValueError(f"{where} is empty: it needs at least one row.")

        shapes = {k: tuple(v.shape[1:]) for k, v in rows.sites.items()}
        expected = {k: tuple(v.shape[1:]) for k, v in first.items()}

        if shapes != expected:
            raise ValueError(f"{where} has events of shape {shapes}, 'train' has {expected}.")

        if rows.sites["x"][0].numel() == 0:
            raise ValueError(f"{where} has rows without a value: their shape is {shapes['x']}.")

        for site, value in rows.sites.items():
            refuse_nonfinite(value, f"site {site!r} of {where}", allow_nan=allow_nan)
