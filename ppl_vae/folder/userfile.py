r"""Python files of the user: experiments, and parts given as ``file.py:Class``."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

__all__ = ["check_unchanged", "digest", "load_module", "module_name"]


def digest(path: Path) -> str:
    r"""The SHA-256 of a file, as hexadecimal digits."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_unchanged(path: Path, known: str) -> None:
    r"""Looks whether a run's copy of a file of the user is what it was.

    Arguments:
        path: The copy.
        known: Its SHA-256 when the run was made.

    Raises:
        ValueError: If it is missing, or was changed.
    """
    if not path.is_file():
        raise ValueError(
            f"The file {path} is missing, which is the run's own copy of a file that its programs "
            f"are built from: put it back (its SHA-256 begins with {known[:12]}), or train the "
            "run anew."
        )
    if digest(path) != known:
        raise ValueError(
            f"The file {path} was changed since the run was made, and the weights belong to what "
            f"it held: undo the change, until its SHA-256 begins with {known[:12]} again, or train "
            "a new run with the changed file."
        )


def module_name(path: Path) -> str:
    r"""The name under which a file is imported; it follows from the content."""
    return f"ppl_vae_user_{path.stem}_{digest(path)[:12]}"


def load_module(path: Path) -> ModuleType:
    r"""Executes a file of the user, once, and returns its module.

    Raises:
        ValueError: If there is no such file, or it fails.
    """
    if not path.is_file():
        raise ValueError(f"There is no file {path}; give the path of a Python file.")

    source = path.read_bytes()
    name = module_name(path)

    if name in sys.modules:
        return sys.modules[name]

    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} is no Python file; its name must end in .py.")

    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module

    try:
        # No bytecode beside the file: Python would take it for that of a file changed since.
        exec(compile(source, str(path), "exec"), module.__dict__)
    except Exception as error:
        del sys.modules[name]
        raise ValueError(f"The file {path} fails with {type(error).__name__}: {error}") from error

    return module
