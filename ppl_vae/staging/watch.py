r"""Noticing that what a captured function reads was replaced."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator
from operator import attrgetter, getitem, is_
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Place", "Watch", "places_of"]

Place = tuple[Any, Any]
r"""A mapping and a key, under which a function finds something that it reads."""

INTERNAL = frozenset(nn.Module().__dict__) - {"training"}
PLAIN = int, float, complex, bool, str, bytes, type(None), torch.dtype, torch.device, torch.Size


class Watch:
    r"""Remembers parameters, buffers, training flags and attributes, and tells if one changed.

    A captured graph holds the numbers of Python as constants, and the tensors as inputs. In-place
    changes of tensors reach it; a tensor that is put in the place of another, or a number that is
    changed, does not, but is noticed here.

    Arguments:
        places: Where the function finds what it reads; see :func:`places_of`.
    """

    def __init__(self, places: Iterable[Place]) -> None:
        self.places = list(places)
        self._mappings = [mapping for mapping, _ in self.places]
        self._keys = [key for _, key in self.places]
        self._values: list[Any] = [mapping[key] for mapping, key in self.places]
        # Of containers, the contents as well; only `changes` looks at them.
        self._contents = {i: _copy(v) for i, v in enumerate(self._values) if _copy(v) is not None}
        self.tensors: list[Tensor] = list(
            {id(t): t for t in self._values if isinstance(t, Tensor)}.values()
        )
        self._addresses = list(map(Tensor.data_ptr, self.tensors))
        self._trained = list(map(_TRAINED, self.tensors))

    def holds(self) -> bool:
        r"""Whether all is as it was; it takes some microseconds."""
        try:
            same = all(map(is_, map(getitem, self._mappings, self._keys), self._values))
        except (KeyError, IndexError):
            return False

        if not same and any(True for _ in self._differences()):
            return False

        return (
            list(map(Tensor.data_ptr, self.tensors)) == self._addresses
            and list(map(_TRAINED, self.tensors)) == self._trained
        )

    def changes(self) -> list[str]:
        r"""The names of the numbers that changed, in containers as well."""
        found = [
            str(self._keys[i])
            for i in self._differences()
            if _number(self._values[i]) or _number(self._now(i))
        ]
        found += [
            str(self._keys[i]) for i, old in self._contents.items() if _copy(self._values[i]) != old
        ]
        return found

    def forget_changed(self) -> None:
        r"""Puts back what was there, and stops watching what changed.

        Programs keep what they computed last as attributes, as invertible transforms do.
        """
        volatile = set(self._differences())
        self.restore()
        self.__init__([p for i, p in enumerate(self.places) if i not in volatile])  # type: ignore[misc]

    def restore(self) -> None:
        r"""Puts back what was there."""
        for (mapping, key), value in zip(self.places, self._values, strict=True):
            if mapping.get(key) is not value:
                mapping[key] = value

        for i, old in self._contents.items():
            held = self._values[i]
            if _copy(held) != old:
                held.clear()
                held.extend(old) if isinstance(held, list) else held.update(old)

    def _now(self, i: int) -> Any:
        mapping, key = self.places[i]
        return mapping.get(key, _MISSING)

    def _differences(self) -> Iterator[int]:
        for i, old in enumerate(self._values):
            new = self._now(i)
            if new is old:
                continue
            if type(new) is type(old) and _plain(new) and new == old:
                self._values[i] = new
            else:
                yield i


class _Cells(dict[Any, Any]):
    r"""The variables that a function closes over, as a mapping that can be written to."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        names = function.__code__.co_freevars
        self.cells = dict(zip(names, function.__closure__ or (), strict=True))

    def __getitem__(self, name: Any) -> Any:
        try:
            return self.cells[name].cell_contents
        except ValueError as error:  # the cell is empty
            raise KeyError(name) from error

    def get(self, name: Any, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default

    def __setitem__(self, name: Any, value: Any) -> None:
        self.cells[name].cell_contents = value


def places_of(*programs: Any) -> list[Place]:
    r"""Where programs find what they read: modules, attributes, closures and globals.

    Arguments:
        programs: Modules, their methods, functions, or any callables.
    """
    found: dict[tuple[int, Any], Place] = {}
    seen: set[int] = set()

    def add(mapping: Any, keys: Iterable[Any]) -> None:
        for key in keys:
            found.setdefault((id(mapping), key), (mapping, key))

    def visit(program: Any) -> None:
        if id(program) in seen:
            return
        seen.add(id(program))

        if isinstance(program, nn.Module):
            for module in program.modules():
                seen.add(id(module))
                for mapping in (module._parameters, module._buffers, module._modules):
                    add(mapping, mapping)
                add(module.__dict__, module.__dict__.keys() - INTERNAL)
        elif isinstance(program, functools.partial):
            for part in (program.func, *program.args, *program.keywords.values()):
                visit(part)
        elif isinstance(program, MethodType):
            _visit_owner(program.__self__, add, visit)
            visit(program.__func__)
        elif isinstance(program, FunctionType):
            _visit_function(program, add, visit)
        elif callable(program) and hasattr(program, "__dict__") and not isinstance(program, type):
            add(program.__dict__, program.__dict__)

    for program in programs:
        visit(program)

    return list(found.values())


def _visit_owner(owner: Any, add: Callable[..., None], visit: Callable[[Any], None]) -> None:
    if isinstance(owner, nn.Module):
        visit(owner)
    elif hasattr(owner, "__dict__") and not isinstance(owner, type):
        add(owner.__dict__, owner.__dict__)


def _visit_function(function: Any, add: Callable[..., None], visit: Callable[[Any], None]) -> None:
    cells = _Cells(function)
    filled = [name for name in cells.cells if cells.get(name, _MISSING) is not _MISSING]
    add(cells, filled)
    names = [n for n in function.__code__.co_names if n in function.__globals__]
    read = {name: function.__globals__[name] for name in names}
    add(function.__globals__, [n for n, v in read.items() if _watchable(v)])

    for value in [*(cells[name] for name in filled), *read.values()]:
        if isinstance(value, nn.Module) or _is_users(value, function):
            visit(value)


def _watchable(value: Any) -> bool:
    return _plain(value) or isinstance(value, Tensor) or _copy(value) is not None


def _is_users(value: Any, function: Any) -> bool:
    # Functions beside it, in the same file: not those of libraries.
    code = getattr(getattr(value, "__func__", value), "__code__", None)
    return code is not None and code.co_filename == function.__code__.co_filename


def _plain(value: Any) -> bool:
    return isinstance(value, PLAIN) or (
        isinstance(value, tuple) and all(_plain(item) for item in value)
    )


def _copy(value: Any) -> Any:
    # Shallow copies of containers whose contents can be compared.
    if isinstance(value, list) and all(map(_plain, value)):
        return list(value)
    if type(value) in (dict, set) and all(map(_plain, value)):
        return type(value)(value) if _comparable(value) else None

    return None


def _comparable(value: Any) -> bool:
    return isinstance(value, set) or all(map(_plain, value.values()))


def _number(value: Any) -> bool:
    # None, alone or in a tuple, is what a cache holds before the first call.
    if isinstance(value, tuple):
        return _plain(value) and any(map(_number, value))

    return value is not None and _plain(value)


_MISSING = object()
_TRAINED = attrgetter("requires_grad")
