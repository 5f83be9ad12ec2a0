r"""Parsers of options whose help is for people: no markup, and no classes that do not fit."""

from __future__ import annotations

import re
from typing import Any

from jsonargparse import ArgumentParser, DefaultHelpFormatter

from ..catalogue import of_role, without_markup
from .hints import GIVEN

__all__ = ["Help", "Parser"]


class Help(DefaultHelpFormatter):
    r"""The help of options, from docstrings and types."""

    def start_section(self, heading: str | None) -> None:
        super().start_section(heading and without_markup(heading))

    def add_text(self, text: str | None) -> None:
        super().add_text(text and without_markup(text))

    def add_usage(self, usage: Any, actions: Any, *args: Any, **kwargs: Any) -> None:
        super().add_usage(usage, [a for a in actions if not _is_given(a)], *args, **kwargs)

    def add_argument(self, action: Any) -> None:
        if not _is_given(action):
            super().add_argument(action)

    def _expand_help(self, action: Any) -> str:
        # It is here that argparse has the whole text, before it breaks it into lines.
        text = without_markup(super()._expand_help(action))
        text = re.sub(r"<class '([\w.]+)'>", r"\1", text)
        role = action.dest.rpartition(".")[2]
        return re.sub(r", known subclasses: ([^)]*)", lambda m: _known(m[1], role), text)


class Parser(ArgumentParser):
    r"""A parser with that help, and the program's own name, however it was started."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{"prog": "ppl-vae train", "formatter_class": Help, **kwargs})


def _is_given(action: Any) -> bool:
    # Whether it is an argument of a part that the experiment gives.
    return bool(set(GIVEN) & set(action.dest.split(".")[1:]))


def _known(listed: str, role: str) -> str:
    paths = listed.split(", ")

    # Where any module of torch fits, as for an activation, a list of hundreds is no help.
    if {"torch.nn.Module", "torch.Tensor"} & set(paths):
        return ""

    return f", known subclasses: {', '.join(of_role(paths, role))}"
