r"""Tables in text files: .csv and .txt, with or without a header, also packed by gzip."""

from __future__ import annotations

__all__ = ["text"]

import csv
import io
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .files import read_bytes
from .table import Table, column

_MISSING = ("", "na", "nan", "null", "?")


def text(file: str | os.PathLike[str], labels: str | int | None = None) -> Table:
    r"""Reads a table of numbers between commas, semicolons, tabs or blanks.

    The first line is a header if none of its cells is a number. Empty cells, `NA`, `null` and `?`
    become NaN.

    Arguments:
        file: The file.
        labels: The column of labels, by name or by number; all others must hold numbers.

    Raises:
        ValueError: if the file is missing, lines differ in length or a cell is not a number.

    Example:
        >>> import tempfile, pathlib
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     file = pathlib.Path(folder, "toy.csv")
        ...     _ = file.write_text("a,b,kind\n1,2.5,cat\n3,4.5,dog\n")
        ...     table = text(file, labels="kind")
        >>> table.columns, table.values.tolist(), table.labels.tolist()
        (('a', 'b'), [[1.0, 2.5], [3.0, 4.5]], ['cat', 'dog'])
    """

    lines, numbers = _cells(file)
    names: list[str] | None = None

    if not any(map(_is_number, lines[0])) and any(cell.strip() for cell in lines[0]):
        names = [cell.strip() for cell in lines.pop(0)]
        numbers = numbers[1:]

    if not lines:
        raise ValueError(f"'{file}' is empty below its header: it needs at least one row.")

    width = len(names or lines[0])

    for line, number in zip(lines, numbers, strict=True):
        if len(line) != width:
            raise ValueError(
                f"line {number} of '{file}' has {len(line)} cells where {width} are expected: "
                f"make all lines equally long."
            )

    marks = None

    if labels is not None:
        at = column(labels, names, width, f"'{file}'")
        marks = np.array([line.pop(at).strip() for line in lines])
        names = names and names[:at] + names[at + 1 :]

    values = _numbers(lines, numbers, names, f"'{file}'")

    return Table(values, marks, tuple(names) if names else None)


def _cells(file: str | os.PathLike[str]) -> tuple[list[list[str]], list[int]]:
    try:
        content = read_bytes(file).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"'{file}' is not UTF-8 text ({error.reason}): convert it.") from error

    first = content.lstrip().splitlines()[0]
    # where a blank precedes a tab, tabs are blanks too and may end the line
    mark = next((m for m in ";,\t" if m in first and " \t" not in first), None)

    if mark is None:
        blank = enumerate(map(str.split, content.splitlines()), start=1)
        kept = [(cells, number) for number, cells in blank if cells]
    else:
        reader = csv.reader(io.StringIO(content), delimiter=mark, skipinitialspace=True)

        try:
            kept = [(cells, reader.line_num) for cells in reader if len(cells) > 1 or any(cells)]
        except csv.Error as error:
            raise ValueError(
                f"line {reader.line_num} of '{file}' cannot be read ({error}): correct it."
            ) from error

    return [cells for cells, _ in kept], [number for _, number in kept]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False

    return True


def _numbers(
    lines: Sequence[Sequence[str]], numbers: Sequence[int], names: Sequence[str] | None, where: str
) -> NDArray[Any]:
    values = np.empty((len(lines), len(lines[0])))

    for row, line in enumerate(lines):
        try:
            values[row] = np.array(line, dtype=np.float64)
        except ValueError:
            values[row] = [_number(line, j, numbers[row], names, where) for j in range(len(line))]

    return values


def _number(
    line: Sequence[str], j: int, number: int, names: Sequence[str] | None, where: str
) -> float:
    cell = line[j].strip()

    if cell.lower() in _MISSING:
        return float("nan")

    if not _is_number(cell):
        name = repr(names[j]) if names else str(j)
        raise ValueError(
            f"line {number}, column {name} of {where} holds {cell!r}, not a number: correct it, or "
            f"name the column as labels (a header is a first line without any number)."
        )

    return float(cell)
