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

__all__ = [
    "base_of",
    "choices",
    "experiments",
    "find_experiment",
    "first_line",
    "nearest",
    "of_role",
    "public_name",
    "without_markup",
]

PLAIN = {"mid": "|", "dots": "...", "ge": ">=", "le": "<=", "times": "x", "sim": "~", "to": "->"}
r"""Commands of LaTeX that are not the words they stand for."""
AROUND = ("mathbb", "mathrm", "mathcal", "text", "operatorname", "hat", "tilde", "bar")
r"""Those that only change the looks of what they are around."""

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


def nearest(name: str, known: Iterable[str], mark: str = "") -> str:
    r"""The words ``(did you mean 'x'?)`` for the nearest known name, or nothing.

    Arguments:
        name: The name.
        known: The names that there are.
        mark: What stands before all of them, which makes none nearer to another.

    Example:
        >>> nearest("Vampp", ["Vamp", "Flow"])
        " (did you mean 'Vamp'?)"
    """
    lower = {k.removeprefix(mark).lower(): k for k in known}
    name = name.removeprefix(mark).lower()
    close = difflib.get_close_matches(name, lower, n=1)
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


def choices(base: type, role: str = "") -> dict[str, type]:
    r"""The concrete public subclasses of a class, and itself, by name.

    A name that this library has is this library's, whatever others define.

    Arguments:
        base: The class.
        role: The name of the option that they are for; see :func:`of_role`.
    """
    every = [base, *_descendants(base)]
    every.sort(key=lambda cls: cls.__module__.startswith("ppl_vae."))
    found = {
        cls.__name__: cls
        for cls in every
        if not inspect.isabstract(cls) and not cls.__name__.startswith("_") and _offered(cls)
    }
    fitting = of_role(map(public_name, found.values()), role)
    return {name: cls for name, cls in found.items() if public_name(cls) in fitting}


def of_role(paths: Iterable[str], role: str) -> list[str]:
    r"""Of classes by their paths, those that an option of a name is for.

    Models and guides are programs alike; an option ``guide`` takes those of ``ppl_vae.guides``, and
    of course whatever others define.

    Example:
        >>> of_role(["ppl_vae.models.VAE", "ppl_vae.guides.Ladder", "mine.Guide"], "guide")
        ['ppl_vae.guides.Ladder', 'mine.Guide']
    """
    paths, package = list(paths), f"ppl_vae.{role}s."

    if not any(path.startswith(package) for path in paths):
        return paths

    return [path for path in paths if path.startswith(package) or not path.startswith("ppl_vae.")]


def first_line(thing: Any) -> str:
    r"""The first line of a docstring, without markup."""
    line = next(iter((inspect.getdoc(thing) or "").splitlines()), "")
    return without_markup(line)


def without_markup(text: str) -> str:
    r"""Text of a docstring as plain text: no roles of Sphinx, and little of LaTeX.

    Example:
        >>> print(without_markup(r"The :math:`K \ge 1` of :class:`~torch.Tensor`, or ``3``."))
        The K >= 1 of Tensor, or 3.
    """
    text = re.sub(r":\w+:`~[\w.]*?(\w+)`", r"\1", text)
    text = re.sub(r":\w+:`(.*?)`", r"\1", text, flags=re.DOTALL).replace("``", "")
    text = re.sub(
        r"\\(?:mathbb|mathrm|mathcal|text|operatorname|hat|tilde|bar)\{(.*?)\}", r"\1", text
    )

    for tex, plain in PLAIN.items():
        text = re.sub(rf"\\{tex}(?![a-z])", plain, text)

    return text.replace("\\", "")


def public_name(cls: type) -> str:
    r"""The name that a class is imported by: that of its package, where the package has it.

    Example:
        >>> from ppl_vae.priors import Prior
        >>> public_name(Prior)
        'ppl_vae.priors.Prior'
    """
    package = cls.__module__.rpartition(".")[0]
    exported = getattr(sys.modules.get(package), cls.__name__, None) is cls
    return f"{package if exported else cls.__module__}.{cls.__qualname__}"


def _offered(cls: type) -> bool:
    # Of this library, what a package exports; what parts have in common is not.
    package = sys.modules.get(cls.__module__.rpartition(".")[0])
    return not cls.__module__.startswith("ppl_vae.") or hasattr(package, cls.__name__)


def _descendants(base: type) -> Iterator[type]:
    below: list[type] = type.__subclasses__(base)

    for cls in below:
        yield cls
        yield from _descendants(cls)
