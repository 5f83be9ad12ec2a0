r"""What jsonargparse refuses, in one sentence for people."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .hints import told, words

__all__ = ["sentence"]


def sentence(message: str, hint: Callable[[str], Any]) -> str:
    r"""One sentence for a message of jsonargparse.

    Arguments:
        message: The message, which tells the chain of what failed, a line each; the last says what
            is wrong.
        hint: Returns the type of an option, such as ``prior.components``; None if not known.
    """
    lines = [line.strip(" -") for line in message.splitlines() if line.strip()]
    keys = re.findall(r'Parser key "([\w.]+)"', message)
    option = ".".join(keys) if keys else None
    part = re.search(r"class_path='([\w.]+)'", message)
    cls = part.group(1).rpartition(".")[2] if part else "The class"

    if rejected := re.search(r"Option '(\w+)' is not accepted", message):
        return f"{cls} has no option {rejected.group(1)!r} (at --{option})."
    if inner := re.search(r"NestedArg\(key='([\w.]+)', val='?(.*?)'?\)", message):
        return _wanted(f"{keys[0]}.{inner.group(1)}", inner.group(2), hint)
    if needed := re.search(r"the following arguments are required: ([\w, ]+)", message):
        return f"{cls} does not fit --{option} as it stands: it needs {needed.group(1)}."
    if bare := re.search(r"argument (--[\w.]+): expected one argument", message):
        return f"Option {bare.group(1)} needs a value."
    if loose := re.search(r"unrecognized arguments: (.*)", message, re.IGNORECASE):
        return f"There is no place for {loose.group(1)!r}: options are given as --NAME VALUE."

    if "instantiatable class" in lines[-1]:
        return f"Name the class of --{option} before its options."

    # Of the values that it tells, the innermost comes first.
    got = re.search(r"(?:Given|Got) value: (.*?)\.?(?: Got value: .*)?$", lines[-1])
    if got and option and "class_path" not in got.group(1):
        return _wanted(option, got.group(1), hint)

    return f"Option --{option}: {lines[-1]}" if option else f"{lines[-1].rstrip('.')}."


def _wanted(option: str, got: str, hint: Callable[[str], Any]) -> str:
    try:
        wanted = hint(option)
    except (ValueError, KeyError):
        wanted = None

    if wanted is None:
        return f"Option --{option} does not take {got!r}."
    if of := words(wanted):
        return f"Option --{option} is one of {', '.join(of)}, got {got!r}."

    return f"Option --{option} takes {told(wanted)}, got {got!r}."
