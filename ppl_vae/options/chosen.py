r"""The classes that options name, and the options that these have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jsonargparse import ArgumentParser, Namespace

from ..catalogue import base_of, choices, nearest
from .hints import accepted, hint_of

__all__ = ["Chosen"]


class Chosen(dict[str, type | None]):
    r"""Classes by option, such as ``prior``; None where one is named that is not known.

    Arguments:
        hints: The types of the options.
        parser: The parser, which knows the defaults.
    """

    def __init__(self, hints: Mapping[str, Any], parser: ArgumentParser) -> None:
        super().__init__()
        self.hints = {name: hint for name, hint in hints.items() if name != "return"}
        self.parser = parser

    def default(self, name: str) -> type | None:
        r"""The class of an option that is not given."""
        default = self.parser.get_default(name)
        path = default.get("class_path", "") if isinstance(default, (Mapping, Namespace)) else ""
        base = base_of(self.hints[name])
        return None if base is None else choices(base).get(path.rpartition(".")[2])

    def hint(self, option: str, value: str = "VALUE") -> Any:
        r"""The type of an option, also of one of a part; None where that is not known.

        Arguments:
            option: The option, such as ``prior.components``.
            value: What it is given, for the message.

        Raises:
            ValueError: If there is no class yet, or it has no such option.
        """
        path, *names = option.split(".")
        cls = self[path] if path in self else self.default(path)
        hint = self.hints[path]

        if names and cls is None and path not in self:
            example = self.example(names[0], value, [path])
            raise ValueError(
                "Name the class before its options, as in "
                f"{example or f'--{path} CLASS --{option} {value}'}."
            )

        for name in names:
            if cls is None or name in ("init_args", "class_path"):
                return None
            if name not in accepted(cls):
                raise ValueError(self._lacking(cls, path, name, value))
            hint = hint_of(cls, name)
            path = f"{path}.{name}"
            cls = self.get(path)

        return hint

    def example(self, name: str, value: str, parts: Iterable[str] | None = None) -> str | None:
        r"""How an option of a part is given.

        Arguments:
            name: Its name, such as ``components``.
            value: What it is given.
            parts: The options whose classes may have it; all by default.

        Returns:
            The words of the command line, with a class that is named already, the one by default,
            Adam, or else the first that has it; None if there is none.
        """
        for part, cls in self._likely(list(self.hints if parts is None else parts)):
            if name in accepted(cls):
                return f"--{part} {cls.__name__} --{part}.{name} {value}".strip()

        return None

    def _likely(self, parts: list[str]) -> Iterator[tuple[str, type]]:
        found = {part: base for part in parts if (base := base_of(self.hints[part]))}

        for part in found:
            if cls := self.get(part) or self.default(part):
                yield part, cls

        known = {part: choices(base, part) for part, base in found.items()}
        yield from ((part, named["Adam"]) for part, named in known.items() if "Adam" in named)
        yield from ((part, named[name]) for part, named in known.items() for name in sorted(named))

    def _lacking(self, cls: type, path: str, name: str, value: str) -> str:
        known = accepted(cls)
        has = ", ".join(f"--{path}.{k}" for k in known) or "none"
        near = nearest(name, known)
        other = None if near or "." in path else self.example(name, value, [path])
        cure = f": name a class that does, as in {other}" if other else ""
        return f"{cls.__name__} has no option {name!r}{near}; it has {has}{cure}."
