r"""From the user's files to the rows of splits."""

from __future__ import annotations

__all__ = ["gather"]

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from .classes import encode
from .exposure import take
from .source import Source, read
from .split import Split, refuse_nonfinite


def gather(
    sources: Mapping[str, Source],
    event_shape: Sequence[int] | None,
    *,
    allow_nan: bool = False,
    exposure: str | int | None = None,
) -> dict[str, Split]:
    r"""Reads all sources to splits of one event shape and one numbering of classes.

    Arguments:
        sources: The source of each split.
        event_shape: The shape of one datum, by default that of the rows.
        allow_nan: Whether values may be missing.
        exposure: The column of exposures, if there is one.

    Raises:
        ValueError: if rows are missing, not finite or do not fit the event shape.

    Example:
        >>> gather({"": Source("absent.csv", None, None)}, None)
        Traceback (most recent call last):
            ...
        ValueError: there is no file 'absent.csv': check the path.
    """

    tables = {name: read(source) for name, source in sources.items()}
    marks = {k: t.labels for k, t in tables.items() if t.labels is not None}
    files = ", ".join(dict.fromkeys(f"'{source.file}'" for source in sources.values()))
    codes, classes = encode(marks, files)
    out = {}

    for name, table in tables.items():
        where = f"'{sources[name].file}'"
        sites = {}

        if exposure is not None:
            table, column = take(table, exposure, where)
            sites["exposure"] = _tensor(column, where)

        x = _tensor(table.values, where)
        refuse_nonfinite(x, where, allow_nan=allow_nan, columns=table.columns)
        x = _shape(x, event_shape, where)
        labels = codes.get(name)

        if labels is not None and len(labels) != len(x):
            raise ValueError(f"{where} has {len(x)} rows and {len(labels)} labels: match them.")

        out[name] = Split({"x": x, **sites}, labels, classes)

    return out


def _tensor(values: NDArray[Any], where: str) -> Tensor:
    if values.ndim == 0 or values.size == 0:
        raise ValueError(f"{where} is empty, of shape {values.shape}: it needs at least one value.")

    if values.dtype.kind in "iu" and values.dtype != np.uint8:
        values = values.astype(np.int64)
    elif values.dtype.kind == "f":
        values = values.astype(np.float32 if values.dtype.itemsize <= 4 else np.float64)

    # a copy, for arrays that came from a file may be read-only
    return torch.from_numpy(np.array(values, order="C"))


def _shape(x: Tensor, event_shape: Sequence[int] | None, where: str) -> Tensor:
    if event_shape is None:
        return x if x.dim() > 1 else x.unsqueeze(1)

    width = math.prod(x.shape[1:])

    if min(event_shape, default=1) < 1 or math.prod(event_shape) != width:
        raise ValueError(
            f"event_shape {tuple(event_shape)} has {math.prod(event_shape)} values and a row of "
            f"{where} has {width}: make them agree."
        )

    return x.reshape(len(x), *event_shape)
