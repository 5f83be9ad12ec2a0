r"""Where programs find what they read."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from functools import partial
from types import CodeType, FunctionType, MethodType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from .errors import in_library

__all__ = ["MISSING", "Cells", "Place", "Places", "places_of", "plain"]

Place = tuple[Any, Any]
r"""A mapping, or a list, and a key under which a program finds something."""

INTERNAL = frozenset(nn.Module().__dict__) - {"training"}
HOOKS = "_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks"
PLAIN = int, float, complex, bool, str, bytes, type(None), torch.dtype, torch.device, torch.Size
LARGE = 256
r"""The length from which on a container is data, and not looked into."""
MISSING = object()


class Cells:
    r"""The variables that a function closes over, as a mapping that can be written to."""

    def __init__(self, function: FunctionType) -> None:
        names = function.__code__.co_freevars
        self.cells = dict(zip(names, function.__closure__ or (), strict=True))

    def __getitem__(self, name: str) -> Any:
        try:
            return self.cells[name].cell_contents
        except ValueError as error:  # nothing was assigned yet
            raise KeyError(name) from error

    def __setitem__(self, name: str, value: Any) -> None:
        self.cells[name].cell_contents = value

    def __iter__(self) -> Iterator[str]:
        for name, cell in self.cells.items():
            try:
                cell.cell_contents  # noqa: B018
            except ValueError:
                continue
            yield name


class Attributes:
    r"""The attributes of a class, as a mapping that can be written to."""

    def __init__(self, kind: type) -> None:
        self.kind = kind

    def __getitem__(self, name: str) -> Any:
        return vars(self.kind)[name]

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self.kind, name, value)


class Places:
    r"""Places of some programs, and the containers whose length matters.

    It follows modules, closures, the globals that a function names, lists and dictionaries, and
    objects of the user's own classes; not those of libraries, nor of classes with the attribute
    ``__watched__ = False``.
    """

    def __init__(self) -> None:
        self.found: dict[tuple[int, Any], Place] = {}
        self.sized: dict[int, Any] = {}
        self.seen: dict[int, Any] = {}

    def add(self, mapping: Any, keys: Iterable[Any]) -> None:
        for key in keys:
            self.found.setdefault((id(mapping), key), (mapping, key))

    def visit(self, value: Any) -> None:
        r"""Adds what a program, or anything that it holds, reads."""
        if id(value) in self.seen or isinstance(value, (Tensor, type, *PLAIN)):
            return

        self.seen[id(value)] = value

        if isinstance(value, nn.Module):
            self.module(value)
        elif isinstance(value, partial):
            self.all([value.func, *value.args, *value.keywords.values()])
        elif isinstance(value, MethodType):
            self.all([value.__self__, value.__func__])
        elif isinstance(value, FunctionType):
            self.function(value)
        elif isinstance(value, property):
            self.visit(value.fget)
        elif isinstance(value, (staticmethod, classmethod)):
            self.visit(value.__func__)
        elif isinstance(value, (list, dict)) and len(value) < LARGE:
            self.container(value, range(len(value)) if isinstance(value, list) else list(value))
        elif isinstance(value, tuple) and len(value) < LARGE:
            self.all(value)
        elif isinstance(value, SimpleNamespace):
            self.container(value.__dict__, list(value.__dict__))
        elif own(type(value)) and hasattr(value, "__dict__"):
            self.container(value.__dict__, list(value.__dict__))
            self.classes(type(value))

    def all(self, values: Iterable[Any]) -> None:
        for value in values:
            self.visit(value)

    def container(self, mapping: Any, keys: Iterable[Any]) -> None:
        keys = list(keys)
        self.sized[id(mapping)] = mapping
        self.add(mapping, keys)
        self.all([mapping[key] for key in keys])

    def module(self, module: nn.Module) -> None:
        for name in ("_parameters", "_buffers", "_modules"):
            self.container(module.__dict__[name], list(module.__dict__[name]))
        for name in HOOKS:
            self.sized[id(module.__dict__[name])] = module.__dict__[name]
        self.container(module.__dict__, module.__dict__.keys() - INTERNAL)
        self.classes(type(module))

    def classes(self, kind: type) -> None:
        r"""Adds what the methods of the user's classes read, and what the classes hold."""
        for base in kind.__mro__:
            if id(base) in self.seen or not _users(base):
                continue
            self.seen[id(base)] = base
            held = {k: v for k, v in vars(base).items() if not k.startswith("__")}
            self.add(Attributes(base), [k for k, v in held.items() if _watched(v)])
            self.all([*held.values(), vars(base).get("__call__")])

    def function(self, function: FunctionType) -> None:
        if in_library(function.__code__.co_filename):
            return

        self.container(function.__dict__, list(function.__dict__))
        self.all([*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()])

        cells = Cells(function)
        self.add(cells, cells)
        self.all(cells[name] for name in cells)

        for name in _names(function.__code__):
            value = function.__globals__.get(name, MISSING)
            if _watched(value):
                self.add(function.__globals__, [name])
            if value is not MISSING:
                self.visit(value)


def places_of(*programs: Any) -> Places:
    r"""Where programs find what they read.

    Arguments:
        programs: Modules, their methods, functions, or any callables.
    """
    places = Places()
    places.all(programs)
    return places


def plain(value: Any) -> bool:
    r"""Whether a value is a number, a name, or a tuple of these: it can be compared, and kept."""
    return isinstance(value, PLAIN) or (
        isinstance(value, tuple) and len(value) < LARGE and all(map(plain, value))
    )


def own(kind: type) -> bool:
    r"""Whether a class is the user's, or a part of programs, and not a library's."""
    if not getattr(kind, "__watched__", True):
        return False

    root, _, rest = kind.__module__.partition(".")
    if root == __name__.partition(".")[0]:
        return not rest.startswith("data")

    return _users(kind)


def _users(kind: type) -> bool:
    file = getattr(sys.modules.get(kind.__module__), "__file__", None) or "<frozen"
    here = kind.__module__.partition(".")[0] == __name__.partition(".")[0]
    return not here and (kind.__module__ == "__main__" or not in_library(file))


def _watched(value: Any) -> bool:
    # What may be put in the place of another under a name: not modules and classes of libraries.
    kinds = Tensor, nn.Module, list, dict, FunctionType, SimpleNamespace
    return plain(value) or isinstance(value, kinds) or own(type(value))


def _names(code: CodeType) -> set[str]:
    # Comprehensions and inner functions have a code of their own.
    inner = [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*map(_names, inner))
