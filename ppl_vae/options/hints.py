r"""The types of arguments, in words for people."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from ..catalogue import base_of

__all__ = ["GIVEN", "accepted", "hint_of", "told", "words"]

NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
EXAMPLES = {"a whole number": ("8", "4"), "a number": ("0.8", "0.1")}

GIVEN = ("event_shape", "params", "optimizer")
r"""The arguments of parts that the experiment itself gives, such as their shape."""


def accepted(cls: type) -> list[str]:
    r"""The names of the arguments of a part, but for those that the experiment gives."""
    return [k for k in inspect.signature(cls).parameters if k not in GIVEN]


def hint_of(cls: type, name: str) -> Any:
    r"""The type of an argument of a class; None if it is not known."""
    init: Any = inspect.getattr_static(cls, "__init__")
    try:
        return typing.get_type_hints(init).get(name)
    except NameError:
        return None  # some of torch's classes name types that they import for checkers alone


def words(hint: Any) -> list[str]:
    r"""The values of a Literal, which may be optional."""
    parts = [part for part in (hint, *typing.get_args(hint)) if typing.get_origin(part) is Literal]
    return [str(word) for part in parts for word in typing.get_args(part)]


def told(hint: Any) -> str:
    r"""What a type asks for.

    Example:
        >>> told(int | None), told(Sequence[int]), told(str | float)
        ('a whole number', 'a list of whole numbers, such as [8,4]', 'a text or a number')
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)

    if hint in NAMES:
        return NAMES[hint]
    if origin in (typing.Union, types.UnionType):
        names = dict.fromkeys(told(a) for a in arguments if a is not type(None))
        return " or ".join(name for name in names if name != "Tensor")  # nobody types one
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if base := base_of(hint):
        return base.__name__
    if inspect.isclass(origin) and issubclass(origin, Sequence):
        fixed = origin is tuple and Ellipsis not in arguments
        return _list_of(told(arguments[0]), len(arguments) if fixed else None)
    if hint is Path:
        return "a path"

    return hint.__name__ if inspect.isclass(hint) else str(hint).replace("typing.", "")


def _list_of(one: str, count: int | None) -> str:
    if one not in EXAMPLES:
        return "a list in brackets"

    first, other = EXAMPLES[one]
    example = ",".join([first, *[other] * ((count or 2) - 1)])
    return f"a list of {f'{count} ' if count else ''}{one.removeprefix('a ')}s, such as [{example}]"
