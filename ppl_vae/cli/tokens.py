r"""Reading what stands on the command line."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from inspect import signature
from typing import Any, get_type_hints

from jsonargparse import ArgumentError, ArgumentParser

from ..catalogue import nearest
from ..options.refusal import sentence


def run_function(
    function: Callable[..., None],
    tokens: list[str],
    more: Callable[..., Any] | None = None,
    skip: Collection[str] = (),
    name: str = "",
) -> None:
    r"""Calls a function with what stands on the command line.

    Arguments:
        function: The function, whose parameters become options.
        tokens: The command line after the command.
        more: Another function, whose parameters become options as well, which ``function`` takes.
        skip: The parameters of it that do not.
        name: What it is called in help and errors; the function's own name by default.
    """
    name = name or function.__name__
    parser = _parser(function, more, skip, name)
    known = [s for action in parser._actions for s in action.option_strings]

    switches = [k for k, v in signature(function).parameters.items() if v.default is False]
    on = [name for name in switches if flag(tokens, f"--{name}")]
    tokens += [f"--{name}=true" for name in on]

    for token in tokens:
        option = token.partition("=")[0]
        if option.startswith("--") and option not in known:
            raise ValueError(
                f"{name} has no option {option}{nearest(option, known, '--')}; see "
                f"ppl-vae {name} --help."
            )

    try:
        given = parser.parse_args(tokens).as_dict()
    except ArgumentError as error:
        if re.match("the following arguments are required|unrecognized", str(error), re.I):
            raise
        hints = {**({} if more is None else get_type_hints(more)), **get_type_hints(function)}
        raise ValueError(sentence(str(error), hints.get)) from error

    function(**given)


def _parser(
    function: Callable[..., None], more: Callable[..., Any] | None, skip: Collection[str], name: str
) -> ArgumentParser:
    parser = ArgumentParser(exit_on_error=False, prog=f"ppl-vae {name}")
    parser.add_function_arguments(function, as_positional=True)
    if more is not None:
        parser.add_function_arguments(more, as_positional=False, skip=set(skip))

    command, *chosen = name.split()
    places = [action.dest.upper() for action in parser._actions if not action.option_strings]
    # In one line: all options are listed below it.
    parser.usage = " ".join(["ppl-vae", command, *places, *chosen, "[options]"])
    return parser


def flag(tokens: list[str], name: str) -> bool:
    r"""Takes a switch off the tokens: ``--quiet``, or with its value, ``--quiet true``."""
    told, i = False, 0

    while i < len(tokens):
        option, equals, value = tokens[i].partition("=")
        if option != name:
            i += 1
            continue
        if not equals and tokens[i + 1 : i + 2] and tokens[i + 1].lower() in ("true", "false"):
            value = tokens.pop(i + 1)
        if equals and value.lower() not in ("true", "false"):
            raise ValueError(f"Option {name} is true or false, got {value!r}.")
        told = value.lower() != "false"
        del tokens[i]

    return told


def value_of(tokens: list[str], name: str) -> str | None:
    for i, token in enumerate(tokens):
        if token.startswith(f"{name}="):
            del tokens[i]
            return token.partition("=")[2]
        if token == name:
            if i + 1 == len(tokens):
                raise ValueError(f"Option {name} needs a value.")
            value = tokens[i + 1]
            del tokens[i : i + 2]
            return value

    return None


def seeds_of(first: int, count: str) -> range:
    if not count.isdigit() or int(count) < 1:
        raise ValueError(f"--seeds takes a positive number of runs, got {count!r}.")

    return range(first, first + int(count))
