r"""Reading what stands on the command line."""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature

from jsonargparse import ArgumentParser

from ..catalogue import nearest


def run_function(function: Callable[..., None], tokens: list[str]) -> None:
    parser = ArgumentParser(exit_on_error=False, prog=f"ppl-vae {function.__name__}")
    parser.add_function_arguments(function, as_positional=True)
    known = [s for action in parser._actions for s in action.option_strings]

    flags = [f"--{k}" for k, v in signature(function).parameters.items() if v.default is False]
    tokens = [f"{token}=true" if token in flags else token for token in tokens]

    for token in tokens:
        option = token.partition("=")[0]
        if option.startswith("--") and option not in known:
            raise ValueError(
                f"{function.__name__} has no option {option}{nearest(option, known)}; see "
                f"ppl-vae {function.__name__} --help."
            )

    function(**parser.parse_args(tokens).as_dict())


def flag(tokens: list[str], name: str) -> bool:
    there = name in tokens
    while name in tokens:
        tokens.remove(name)
    return there


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
