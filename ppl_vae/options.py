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
from typing import Any, Literal

import torch
import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace
from torch.optim.lr_scheduler import LRScheduler

from .catalogue import base_of, choices, nearest
from .folder.userfile import load_module, module_name
from .networks import Network
from .precision import Precision
from .staging import Backend

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
        patience: The number of epochs without a better validation ELBO after which to stop.
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
        self.parser = ArgumentParser(exit_on_error=False, add_help=False)
        self.parser.add_function_arguments(function, fail_untyped=False)
        self.parser.add_function_arguments(training, skip=set(self.own), fail_untyped=False)

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
            raise ValueError(self._sentence(str(error))) from error

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
            raise ValueError(self._sentence(str(error))) from error

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

    def _user_class(self, reference: str) -> str:
        file, name = reference.rsplit(":", 1)
        path = self.folder / file
        module = load_module(path)
        self.files[module_name(path)] = path

        if not inspect.isclass(getattr(module, name, None)):
            classes = ((k, v) for k, v in vars(module).items() if inspect.isclass(v))
            known = [k for k, v in classes if v.__module__ == module.__name__]
            raise ValueError(f"The file {file} has no class {name!r}{nearest(name, known)}.")

        return f"{module.__name__}.{name}"

    def _translate(self, tokens: list[str]) -> list[str]:
        chosen: dict[str, type | None] = {}
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
            if new == value:
                out.append(token)
            elif equals:
                out.append(f"--{option}={new}")
            else:
                out.append(token)
                tokens[i + 1] = new

        return out

    def _check(self, option: str, value: str, chosen: dict[str, type | None]) -> str:
        name, _, inner = option.partition(".")

        if name not in self.hints:
            names = [f"--{k}" for k in (*self.own, *self.hints, *OF_TRAIN) if k != "return"]
            raise ValueError(
                f"There is no option --{name}{nearest(f'--{name}', names)}; there are "
                f"{', '.join(dict.fromkeys(names))}."
            )

        base = base_of(self._inner_hint(option, chosen) if inner else self.hints[name])

        if base is None or (inner and not base.__module__.startswith("ppl_vae.")):
            return self._user_class(value) if ".py:" in value else value
        if value[:1] == "{":
            chosen[option] = None
        elif ".py:" in value:
            value = self._user_class(value)
            module, _, last = value.rpartition(".")
            cls = chosen[option] = getattr(sys.modules[module], last)
            if not issubclass(cls, base):
                raise ValueError(f"{last} is no {base.__name__}, which --{option} takes.")
        elif "." in value:
            chosen[option] = choices(base).get(value.rpartition(".")[2])
        elif value and value not in ("null", "None"):
            known = choices(base)
            if value not in known:
                raise ValueError(
                    f"There is no {option} {value!r}{nearest(value, known)}; there are "
                    f"{', '.join(sorted(known))}, or give file.py:Class."
                )
            chosen[option] = known[value]

        if name in chosen and chosen[name] is not self._default_class(name):
            # jsonargparse would hand options of the default on to any class with such names.
            self.parser.set_defaults({name: None})

        return value

    def _inner_hint(self, option: str, chosen: Mapping[str, type | None]) -> Any:
        # The type that an option of a part has; None where that is not known.
        path, *names = option.split(".")
        cls = chosen[path] if path in chosen else self._default_class(path)
        hint = None

        if cls is None and path not in chosen:
            raise ValueError(f"Name the class before its options: --{path} CLASS --{option}.")

        for name in names:
            if cls is None or name in ("help", "init_args", "class_path"):
                return None
            accepted = _accepted(cls)
            if name not in accepted:
                has = ", ".join(f"--{path}.{k}" for k in accepted) or "none"
                raise ValueError(
                    f"{cls.__name__} has no option {name!r}{nearest(name, accepted)}; it has {has}."
                )
            hint = _hint(cls, name)
            path = f"{path}.{name}"
            cls = chosen.get(path)

        return hint

    def _default_class(self, name: str) -> type | None:
        default = self.parser.get_default(name)
        path = default.get("class_path", "") if isinstance(default, (Mapping, Namespace)) else ""
        base = base_of(self.hints[name])
        return None if base is None else choices(base).get(path.rpartition(".")[2])

    def _sentence(self, message: str) -> str:
        # jsonargparse tells the chain of what failed, a line each; the last says what is wrong.
        lines = [line.strip(" -") for line in message.splitlines() if line.strip()]
        keys = re.findall(r'Parser key "([\w.]+)"', message)
        option = ".".join(keys) if keys else None
        part = re.search(r"class_path='([\w.]+)'", message)
        cls = part.group(1).rpartition(".")[2] if part else "The class"

        if rejected := re.search(r"Option '(\w+)' is not accepted", message):
            return f"{cls} has no option {rejected.group(1)!r} (at --{option})."
        if inner := re.search(r"NestedArg\(key='([\w.]+)', val='?(.*?)'?\)", message):
            return f"Option --{keys[0]}.{inner.group(1)} does not take {inner.group(2)!r}."
        if needed := re.search(r"the following arguments are required: ([\w, ]+)", message):
            return f"{cls} does not fit --{option} as it stands: it needs {needed.group(1)}."
        if bare := re.search(r"argument (--[\w.]+): expected one argument", message):
            return f"Option {bare.group(1)} needs a value."
        if loose := re.search(r"unrecognized arguments: (.*)", message, re.IGNORECASE):
            return f"There is no place for {loose.group(1)!r}: options are given as --NAME VALUE."

        got = re.search(r"(?:Given|Got) value: (.*?)\.?$", lines[-1])
        if got and option in self.hints and "class_path" not in got.group(1):
            hint = self.hints[option]
            if words := _words(hint):
                return f"Option --{option} is one of {', '.join(words)}, got {got.group(1)!r}."
            base = base_of(hint)
            kind = base.__name__ if base else hint.__name__ if inspect.isclass(hint) else hint
            return f"Option --{option} takes {kind}, got {got.group(1)!r}."
        if got and option and "class_path" not in got.group(1):
            return f"Option --{option} does not take {got.group(1)!r}."

        return f"Option --{option}: {lines[-1]}" if option else f"{lines[-1].rstrip('.')}."


def _hint(cls: type, name: str) -> Any:
    init: Any = inspect.getattr_static(cls, "__init__")
    try:
        return typing.get_type_hints(init).get(name)
    except NameError:
        return None  # some of torch's classes name types that they import for checkers alone


def _described(value: Any) -> Any:
    # Networks keep their arguments as attributes, which tell how to build them again.
    if isinstance(value, Network):
        arguments = {k: _described(getattr(value, k)) for k in _accepted(type(value))}
        path = f"{type(value).__module__}.{type(value).__qualname__}"
        return {"class_path": path, "init_args": arguments}

    return list(value) if isinstance(value, tuple) else value


def _words(hint: Any) -> list[str]:
    # The values of a Literal, which may be optional.
    parts = [part for part in (hint, *typing.get_args(hint)) if typing.get_origin(part) is Literal]
    return [str(word) for part in parts for word in typing.get_args(part)]


def _accepted(cls: type) -> list[str]:
    # The experiment itself gives the first arguments of a part, such as its shape.
    given = ("event_shape", "params", "optimizer")
    return [k for k in inspect.signature(cls).parameters if k not in given]


def _is_plain(value: Any) -> bool:
    if isinstance(value, Namespace):
        value = value.as_dict()
    if isinstance(value, Mapping):
        return all(_is_plain(v) for v in value.values())
    if isinstance(value, (list, tuple)):
        return all(_is_plain(v) for v in value)

    return value is None or isinstance(value, (bool, int, float, str, Path, Enum))
