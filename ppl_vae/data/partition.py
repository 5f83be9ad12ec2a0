r"""Splitting rows at random, by fractions."""

from __future__ import annotations

__all__ = ["fractions", "partition"]

from collections.abc import Sequence

import torch

from .split import Split

_NAMES = ("train", "validation", "test")


def fractions(values: Sequence[float]) -> tuple[float, ...]:
    r"""Checks the fractions of train, validation and test.

    Raises:
        ValueError: if they are not three, one is negative, train is 0 or they sum to more than 1.

    Example:
        >>> fractions((0.8, 0.2, 0.2))  # doctest: +ELLIPSIS
        Traceback (most recent call last):
            ...
        ValueError: the fractions of train, validation and test must be...
    """

    shares = tuple(float(value) for value in values)

    # rounding: ten times 0.1 may exceed 1; written so that NaN fails
    fits = len(shares) == 3 and min(shares) >= 0 and shares[0] > 0 and sum(shares) <= 1 + 1e-9

    if not fits:
        raise ValueError(
            f"the fractions of train, validation and test must be three numbers in 0..1 that sum "
            f"to at most 1, with some for train, they are {list(shares)}."
        )

    return shares


def partition(rows: Split, shares: Sequence[float], seed: int) -> dict[str, Split]:
    r"""Splits rows by a seeded permutation. A share of 0 makes no split.

    Raises:
        ValueError: if a share above 0 is less than one row.

    Example:
        >>> parts = partition(Split({"x": torch.arange(10)[:, None]}), (0.7, 0.0, 0.3), seed=0)
        >>> {name: len(part) for name, part in parts.items()}
        {'train': 7, 'test': 3}
    """

    n = len(rows)
    order = torch.randperm(n, generator=torch.Generator().manual_seed(seed))
    ends = [round(n * sum(shares[: i + 1])) for i in range(len(shares))]
    parts = {}

    for name, share, start, end in zip(_NAMES, shares, [0, *ends], ends, strict=False):
        if share > 0 and start == end:
            raise ValueError(
                f"a fraction of {share:g} leaves the split {name!r} empty, for there are only "
                f"{n} rows: give it more, or 0 to do without."
            )

        if share > 0:
            parts[name] = rows.select(order[start:end])

    return parts
