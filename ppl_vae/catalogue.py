r"""Experiments and parts by name: what there is to choose from, read off the classes themselves."""

from __future__ import annotations

import difflib
import importlib
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from .folder.userfile import load_module

__all__ = ["base_of", "choices", "experiments", "find_experiment", "first_line", "nearest"]

FOLDER = Path(__file__).parent / "experiments"


def experiments() -> dict[str, Callable[..., Any]]:
    r"""The experiments of the library by name; a file without such a function is skipped."""
    found = {}

    for path in sorted(FOLDER.glob("*.py")):
        if "\ndef experiment(" in path.read_text():
            module = importlib.import_module(f"ppl_vae.experiments.{path.stem}")
            found[path.stem] = module.experiment

    return found


def find_experiment(reference: str, folder: Path | None = None) -> Callable[..., Any]:
    r"""Returns an experiment by name, or by the path of a file.

    Arguments:
        reference: A name in ``experiments/``, or the path of a Python file.
        folder: The folder that a relative path starts from.

    Raises:
        ValueError: If there is no such experiment; the message tells the nearest name.
    """
    if not reference.endswith(".py"):
        known = experiments()
        if reference not in known:
            raise ValueError(
                f"There is no experiment {reference!r}{nearest(reference, known)}; there are "
                f"{', '.join(known)}, or give the path of a Python file."
            )
        return known[reference]

    module = load_module((folder or Path()) / reference)
    if not callable(getattr(module, "experiment", None)):
        raise ValueError(f"The file {reference} has no function experiment(...).")

    function: Callable[..., Any] = module.experiment
    return function


def nearest(name: str, known: Iterable[str]) -> str:
    r"""The words ``(did you mean 'x'?)`` for the nearest known name, or nothing.

    Example:
        >>> nearest("Vampp", ["Vamp", "Flow"])
        " (did you mean 'Vamp'?)"
    """
    lower = {k.lower(): k for k in known}
    close = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    return f" (did you mean {lower[close[0]]!r}?)" if close else ""


def base_of(hint: Any) -> type | None:
    r"""The class whose subclasses a type hint offers: of a part, or of what builds a part.

    Example:
        >>> from ppl_vae.priors import Prior
        >>> base_of(Callable[[int], Prior] | None) is Prior, base_of(int) is None
        (True, True)
    """
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)

    if origin in (typing.Union, types.UnionType):
        return next((b for b in map(base_of, arguments) if b is not None), None)
    if origin is not None and inspect.isclass(origin) and issubclass(origin, Callable):  # type: ignore[arg-type]
        return base_of(arguments[1])
    if inspect.isclass(hint) and hint.__module__ not in ("builtins", "pathlib", "types"):
        return hint

    return None


def choices(base: type) -> dict[str, type]:
    r"""The concrete public subclasses of a class, and itself, by name.

    A name that this library has is this library's, whatever others define.
    """
    every = [base, *_descendants(base)]
    every.sort(key=lambda cls: cls.__module__.startswith("ppl_vae."))
    return {
        cls.__name__: cls
        for cls in every
        if not inspect.isabstract(cls) and not cls.__name__.startswith("_") and _offered(cls)
    }


def first_line(thing: Any) -> str:
    r"""The first line of a docstring, without markup."""
    line = next(iter((inspect.getdoc(thing) or "").splitlines()), "")
    line = re.sub(r":\w+:`(.*?)`", r"\1", line).replace("\\mid", "|").replace("``", "")
    return line.replace("\\dots", "...").replace("\\", "")


def _offered(cls: type) -> bool:
    # Of this library, what a package exports; what parts have in common is not.
    package = sys.modules.get(cls.__module__.rpartition(".")[0])
    return not cls.__module__.startswith("ppl_vae.") or hasattr(package, cls.__name__)


def _descendants(base: type) -> Iterator[type]:
    below: list[type] = type.__subclasses__(base)

    for cls in below:
        yield cls
        yield from _descendants(cls)
