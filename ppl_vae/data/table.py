r"""A table: the rows of one file, before they are split."""

from __future__ import annotations

__all__ = ["Table", "column"]


from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Table:
    r"""The rows of one file.

    Arguments:
        values: Numbers of shape :math:`(n, *)`.
        labels: Words or whole numbers of shape :math:`(n,)`, where there are labels.
        columns: The names of the columns, where they have names.

    Example:
        >>> import numpy as np
        >>> Table(np.zeros((2, 3)), columns=("a", "b", "c")).values.shape
        (2, 3)
    """

    values: NDArray[Any]
    labels: NDArray[Any] | None = None
    columns: tuple[str, ...] | None = None


def column(name: str | int, names: Sequence[str] | None, count: int, where: str) -> int:
    r"""The position of a column given by name or number; negative numbers count from the end.

    Raises:
        ValueError: if there is none.

    Example:
        >>> column("b", ["a", "b"], 2, "t.csv"), column(-1, None, 5, "t.csv")
        (1, 4)
    """

    if isinstance(name, str) and names and name in names:
        return list(names).index(name)

    try:
        position = int(name)
    except ValueError:
        there = f"there are {', '.join(names)}" if names else "it has no header, give a number"
        raise ValueError(f"{where} has no column {name!r}: {there}.") from None

    if not -count <= position < count:
        raise ValueError(f"{where} has no column {position}: it has {count}, counted from 0.")

    return position % count
