r"""Why a program cannot be staged, in one sentence."""

from __future__ import annotations

import re
import sys
import sysconfig
import traceback
import warnings
from pathlib import Path

__all__ = ["StagingError", "in_library", "reason_of", "warn"]

PACKAGE = Path(__file__).resolve().parent.parent
LIBRARIES = tuple(sysconfig.get_paths()[key] for key in ("purelib", "platlib", "stdlib"))


class StagingError(RuntimeError):
    r"""A program cannot be captured or compiled; the message says what in it cannot."""


def reason_of(error: BaseException) -> str:
    r"""Says what in a program made its capture fail, and in which line of it.

    Example:
        >>> reason_of(StagingError("it reads the clock"))
        'it reads the clock'
    """
    # Pyro adds a table of all shapes to what goes wrong in a program.
    text = " ".join(str(error).split()).partition(" Trace Shapes:")[0]

    if isinstance(error, StagingError):
        reason = text
    elif "data-dependent control flow" in text or "Cannot call item()" in text:
        reason = "it reads a value of a tensor in Python, as a data-dependent branch does"
    else:
        reason = f"{type(error).__name__}: {_first_sentence(text)}"

    return reason + _where(error)


def warn(message: str) -> None:
    r"""Warns at the line, outside of this library, that led here."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(str(PACKAGE)):
        frame, level = frame.f_back, level + 1

    warnings.warn(message, stacklevel=level)


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.!?])\s", text, maxsplit=1)[0][:200].rstrip(".")


def _where(error: BaseException) -> str:
    # The innermost line of the user's, else of the programs'; not of the machinery.
    frames = [frame for frame in traceback.extract_tb(error.__traceback__)]
    own = [frame for frame in frames if _is_program(frame.filename)]

    if not own:
        return ""

    return f" ({Path(own[-1].filename).name}, line {own[-1].lineno}: {own[-1].line})"


def in_library(filename: str) -> bool:
    r"""Whether code of a file is that of an installed library, and not the user's."""
    return filename.startswith((*LIBRARIES, "<frozen", "<eval_"))


def _is_program(filename: str) -> bool:
    path = str(Path(filename).resolve()) if not filename.startswith("<") else filename
    return not in_library(path) and not path.startswith(f"{PACKAGE}/")
