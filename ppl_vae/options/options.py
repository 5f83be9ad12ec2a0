r"""Options of an experiment, from the signature of its function.

jsonargparse turns typed arguments into options and classes into choices with options of their
own. Two things are added before it sees them: a class in a file of the user, ``file.py:Class``, and
the nearest name for one that is not known.
"""

from __future__ import annotations

import copy
import inspect
import re
import sys
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentError, Namespace
from torch.optim.lr_scheduler import LRScheduler

from ..catalogue import base_of, choices, nearest, public_name
from ..folder.userfile import load_module, module_name
from ..networks import Network
from ..precision import Precision
from ..staging import Backend
from .chosen import Chosen
from .hints import accepted
from .parser import Parser
from .refusal import sentence

__all__ = ["Options", "training"]

OF_TRAIN = ("out", "overwrite", "seeds", "quiet")
r"""Options of the command `train` itself."""


def training(
    seed: int = 0,
    epochs: int | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    optimizer: Callable[[Iterable[torch.nn.Parameter]], torch.optim.Optimizer] | None = None,
    scheduler: Callable[[torch.optim.Optimizer], LRScheduler] | None = None,
    warmup: int | None = None,
    patience: int | None = None,
    signal: int | None = None,
    clip: float | None = None,
    compile: Backend | None = None,
    precision: Precision | None = None,
) -> None:
    r"""How an experiment is trained; what is not given is the experiment's own.

    Arguments:
        seed: The seed of the initial parameters, the order of the data, and all draws.
        epochs: The number of epochs.
        batch_size: The number of rows of a minibatch.
        device: auto, cuda, mps or cpu.
        optimizer: The optimizer, a class of torch.optim.
        scheduler: The scheduler of the learning rate, stepped once per epoch.
        warmup: The number of epochs over which the KL weight rises from 0 to 1.
        patience: The number of epochs without a better validation bound after which to stop.
        signal: The number of gradients by which each epoch's signal-to-noise ratio is estimated.
        clip: The largest norm of the gradient.
        compile: How steps are taken: off (through Pyro each time), fx (its operations replayed),
            inductor (compiled), cudagraph (one launch a step), or auto (by the number of steps).
        precision: The precision of matrix products: float32, tf32 (CUDA) or bf16.
    """


class Options:
    r"""The options of an experiment, and of its training.

    Arguments:
        function: The function ``experiment(...)``.
        folder: The folder that files of the user are looked for in.
    """

    def __init__(self, function: Callable[..., Any], folder: Path | None = None) -> None:
        self.function = function
        self.folder = folder or Path()
        self.files: dict[str, Path] = {}
        r"""The files of the user that options refer to, by module name."""
        self.own = list(inspect.signature(function).parameters)
        self.hints = {**typing.get_type_hints(training), **typing.get_type_hints(function)}
        self.parser = Parser(exit_on_error=False, add_help=False)
        self.parser.add_function_arguments(function, fail_untyped=False)
        self.parser.add_function_arguments(training, skip=set(self.own), fail_untyped=False)
        self.chosen = Chosen(self.hints, self.parser)
        r"""The classes that the options at hand name."""

        self.kept: dict[str, Any] = {}
        r"""The defaults that no file can hold, such as a lambda: they stay in the function."""

        self._describe_defaults()

    def _describe_defaults(self) -> None:
        for name, parameter in inspect.signature(self.function).parameters.items():
            default = self.parser.get_default(name)

            if default is parameter.empty or _is_plain(default):
                continue
            if isinstance(default, Network):
                self.parser.set_defaults({name: _described(default)})
            else:
                self.kept[name] = default
                self.parser.set_defaults({name: None})

    def parse(self, tokens: Sequence[str]) -> dict[str, Any]:
        r"""Resolves options, given as on the command line, to plain values.

        Raises:
            ValueError: For an unknown option, part or value; the message tells the nearest name.
        """
        tokens = self._translate(list(tokens))

        try:
            return self._plain(self.parser.parse_args(tokens))
        except ArgumentError as error:
            raise ValueError(sentence(str(error), self.chosen.hint)) from error

    def build(self, config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        r"""Instantiates plain values.

        Returns:
            The arguments of the experiment, and those of :func:`training`.

        Raises:
            ValueError: For an unknown option, part or value.
        """
        try:
            parsed = self.parser.parse_object(self._import(config))
            values = self.parser.instantiate(parsed).as_dict()
        except ArgumentError as error:
            raise ValueError(sentence(str(error), self.chosen.hint)) from error

        # A training changes its parts: the function's own stay as they are.
        values |= {k: copy.deepcopy(v) for k, v in self.kept.items() if values.get(k) is None}
        given = {k: v for k, v in values.items() if k in self.own}
        return given, {k: v for k, v in values.items() if k not in self.own}

    def _plain(self, parsed: Namespace) -> dict[str, Any]:
        plain = self._export(yaml.safe_load(self.parser.dump(parsed)))
        # Versions of jsonargparse differ in whether what is None is dumped.
        names = [name for name in (*self.own, *self.hints) if name != "return"]
        return {k: plain.get(k) for k in names if k in plain or k not in self.kept}

    def _export(self, value: Any) -> Any:
        # The inverse of _import.
        if isinstance(value, Mapping):
            return {k: self._export(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self._export(v) for v in value]

        module, _, name = value.rpartition(".") if isinstance(value, str) else ("", "", "")
        return f"{self.files[module]}:{name}" if module in self.files else value

    def _import(self, value: Any) -> Any:
        # Class paths of the form file.py:Class become those of the module that the file is.
        if isinstance(value, Mapping):
            return {k: self._import(v) for k, v in value.items()}
        if isinstance(value, list):
            return [self._import(v) for v in value]
        if isinstance(value, str) and re.search(r"\.py:\w+$", value):
            return self._user_class(value)

        return value

    def _user_class(self, reference: str, base: type | None = None) -> str:
        file, name = reference.rsplit(":", 1)
        path = self.folder / file
        module = load_module(path)
        self.files[module_name(path)] = path

        found = getattr(module, name, None)

        if found is None:
            classes = ((k, v) for k, v in vars(module).items() if inspect.isclass(v))
            known = [k for k, v in classes if v.__module__ == module.__name__]
            raise ValueError(f"The file {file} has no class {name!r}{nearest(name, known)}.")
        if not inspect.isclass(found):
            kind = "a function" if inspect.isroutine(found) else f"of type {type(found).__name__}"
            wanted = "a class" if base is None else f"a class, a subclass of {public_name(base)}"
            raise ValueError(f"In the file {file}, {name!r} is {kind}; the option takes {wanted}.")

        return f"{module.__name__}.{name}"

    def _translate(self, tokens: list[str]) -> list[str]:
        chosen = self.chosen = Chosen(self.hints, self.parser)
        out = []

        for i, token in enumerate(tokens):
            if not token.startswith("--"):
                out.append(token)
                continue

            option, equals, value = token[2:].partition("=")
            following = tokens[i + 1 : i + 2]
            if not equals and following and not following[0].startswith("--"):
                value = following[0]

            new = self._check(option, value, chosen)
            if option.endswith(".help"):
                # Help is all that it gives.
                return [*out, f"--{option}={new}" if new else token]
            if new == value:
                out.append(token)
            elif equals:
                out.append(f"--{option}={new}")
            else:
                out.append(token)
                tokens[i + 1] = new

        return out

    def _check(self, option: str, value: str, chosen: Chosen) -> str:
        name, _, inner = option.partition(".")

        if name not in chosen.hints:
            raise ValueError(self._unknown(name, value, chosen))
        if option.endswith(".help"):
            # It names a class, too.
            option = option.removesuffix(".help")
            known = choices(base_of(chosen.hint(option, value)) or object)
            value = self._check(option, value, chosen)
            found = known.get(value)
            # By its path: others may have given a class of theirs the name of one of this library.
            return value if found is None else f"{found.__module__}.{found.__name__}"

        base = base_of(chosen.hint(option, value))

        if base is None or (inner and not base.__module__.startswith("ppl_vae.")):
            return self._user_class(value, base) if ".py:" in value else value
        if value[:1] == "{":
            chosen[option] = None
        elif ".py:" in value:
            value = self._user_class(value, base)
            module, _, last = value.rpartition(".")
            cls = chosen[option] = getattr(sys.modules[module], last)
            if not issubclass(cls, base):
                raise ValueError(f"{last} is no {base.__name__}, which --{option} takes.")
        elif "." in value:
            chosen[option] = choices(base).get(value.rpartition(".")[2])
        elif value and value not in ("null", "None"):
            known = choices(base, option.rpartition(".")[2])
            if value not in known:
                head = f"There is no {option} {value!r}{nearest(value, known)}"
                if value in choices(base):
                    head = f"{value} does not fit --{option}"
                raise ValueError(
                    f"{head}; there are {', '.join(sorted(known))}, or give file.py:Class."
                )
            chosen[option] = known[value]

        if name in chosen and chosen[name] is not chosen.default(name):
            # jsonargparse would hand options of the default on to any class with such names.
            self.parser.set_defaults({name: None})

        return value

    def _unknown(self, name: str, value: str, chosen: Chosen) -> str:
        if example := chosen.example(name, value):
            return f"There is no option --{name}; it is one of a part, as in {example}."

        names = [f"--{k}" for k in dict.fromkeys((*self.own, *chosen.hints, *OF_TRAIN))]
        return (
            f"There is no option --{name}{nearest(f'--{name}', names, '--')}; there are "
            f"{', '.join(names)}."
        )


def _described(value: Any) -> Any:
    # Networks keep their arguments as attributes, which tell how to build them again.
    if isinstance(value, Network):
        arguments = {k: _described(getattr(value, k)) for k in accepted(type(value))}
        path = f"{type(value).__module__}.{type(value).__qualname__}"
        return {"class_path": path, "init_args": arguments}

    return list(value) if isinstance(value, tuple) else value


def _is_plain(value: Any) -> bool:
    if isinstance(value, Namespace):
        value = value.as_dict()
    if isinstance(value, Mapping):
        return all(_is_plain(v) for v in value.values())
    if isinstance(value, (list, tuple)):
        return all(_is_plain(v) for v in value)

    return value is None or isinstance(value, (bool, int, float, str, Path, Enum))
