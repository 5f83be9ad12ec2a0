r"""Noticing that what a captured function reads was replaced."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from operator import attrgetter, eq, getitem, is_
from typing import Any

from torch import Tensor

from .places import MISSING, Place, Places, plain

__all__ = ["Watch"]

TRAINED = attrgetter("requires_grad")


class Watch:
    r"""Remembers parameters, buffers, training flags and attributes, and tells if one changed.

    A captured graph holds the numbers of Python as constants, and the tensors as inputs. In-place
    changes of tensors reach it; a tensor that is put in the place of another, or a number that is
    changed, does not, but is noticed here.

    Arguments:
        places: Where the function finds what it reads.
        more: Other places, such as the state of an optimizer.
    """

    def __init__(self, places: Places, more: Iterable[Place] = ()) -> None:
        self.places = [*places.found.values(), *more]
        self._mappings = [mapping for mapping, _ in self.places]
        self._keys = [key for _, key in self.places]
        self._values: list[Any] = [mapping[key] for mapping, key in self.places]
        self._sized = list(places.sized.values())
        self._sizes = list(map(len, self._sized))
        self._known = [set(m) if isinstance(m, dict) else set() for m in self._sized]
        tensors = {id(t): t for t in self._values if isinstance(t, Tensor)}
        self.tensors: list[Tensor] = list(tensors.values())
        self._addresses = list(map(Tensor.data_ptr, self.tensors))
        self._trained = list(map(TRAINED, self.tensors))

    def holds(self) -> bool:
        r"""Whether all is as it was; it takes some microseconds."""
        try:
            same = all(map(is_, map(getitem, self._mappings, self._keys), self._values))
        except (KeyError, IndexError):
            return False

        return (
            (same or not any(True for _ in self._differences()))
            and all(map(eq, map(len, self._sized), self._sizes))
            and list(map(Tensor.data_ptr, self.tensors)) == self._addresses
            and list(map(TRAINED, self.tensors)) == self._trained
        )

    def changes(self) -> list[str]:
        r"""The names of the numbers that changed, and of those that are new."""
        found = [
            self._name(i)
            for i in self._differences()
            if _number(self._values[i]) or _number(self._now(i))
        ]

        for mapping, size, known in self._containers():
            if isinstance(mapping, list):
                found += [self._holder(mapping) or "a list"] * (len(mapping) != size)
            else:
                found += [str(k) for k in mapping if k not in known and _number(mapping[k])]

        return found

    def restore(self) -> None:
        r"""Puts back what was there, and removes what was not."""
        for mapping, size, known in self._containers():
            if isinstance(mapping, list):
                del mapping[size:]
            else:
                for key in [key for key in mapping if key not in known]:
                    del mapping[key]

        for i, (mapping, key) in enumerate(self.places):
            if self._now(i) is not self._values[i]:
                if isinstance(mapping, list) and key >= len(mapping):
                    mapping.append(self._values[i])
                else:
                    mapping[key] = self._values[i]

    def without_caches(self) -> Watch:
        r"""A watch of what did not change since this one was made.

        Programs keep what they computed last as attributes, as invertible transforms do; this
        says nothing about what they compute next.
        """
        volatile = set(self._differences())
        steady = Places()
        steady.sized = {id(m): m for m, size, _ in self._containers() if len(m) == size}
        return Watch(steady, [p for i, p in enumerate(self.places) if i not in volatile])

    def _name(self, i: int) -> str:
        mapping, key = self.places[i]
        holder = self._holder(mapping)
        return f"{holder}[{key!r}]" if holder else str(key)

    def _holder(self, mapping: Any) -> str | None:
        # The name under which a list or a dictionary is held.
        pairs = zip(self._keys, self._values, strict=True)
        return next((str(key) for key, value in pairs if value is mapping), None)

    def _now(self, i: int) -> Any:
        mapping, key = self.places[i]
        try:
            return mapping[key]
        except (KeyError, IndexError):
            return MISSING

    def _containers(self) -> list[tuple[Any, int, set[Any]]]:
        return list(zip(self._sized, self._sizes, self._known, strict=True))

    def _differences(self) -> Iterator[int]:
        for i, old in enumerate(self._values):
            new = self._now(i)
            if new is old:
                continue
            if type(new) is type(old) and plain(new) and new == old:
                self._values[i] = new
            else:
                yield i


def _number(value: Any) -> bool:
    # None, alone or in a tuple, is what a cache holds before the first call.
    if isinstance(value, tuple):
        return plain(value) and any(map(_number, value))

    return value is not None and plain(value)
