r"""Programs as Pyro's own objectives call them."""

from __future__ import annotations

from typing import Any

from ..weights import Arguments, Program, call

__all__ = ["bare"]


def bare(program: Program) -> Program:
    r"""Leaves the entry ``index`` of a batch to programs that take it."""

    def run(*args: Any, **kwargs: Any) -> Any:
        return call(program, Arguments(args, kwargs))

    return run
