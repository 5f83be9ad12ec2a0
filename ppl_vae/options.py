r"""Options of an experiment, from the signature of its function.

jsonargparse turns typed arguments into options and classes into choices with options of their
own. Two things are added before it sees them: a class in a file of the user, ``file.py:Class``, and
the nearest name for one that is not known.
"""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import ArgumentError, ArgumentParser, Namespace
from torch.optim.lr_scheduler import LRScheduler

from .catalogue import base_of, choices, nearest
from .networks import Network
from .userfile import load_module, module_name

__all__ = ["Options", "training"]


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

        self._describe_defaults()

    def _describe_defaults(self) -> None:
        # A default such as mlp(hidden=[200, 200]) is an instance, which no file can hold; parts
        # keep their arguments as attributes, which tell how to build it again.
        for name, parameter in inspect.signature(self.function).parameters.items():
            part = parameter.default
            if isinstance(self.parser.get_default(name), type(part)) and isinstance(part, Network):
                arguments = {k: getattr(part, k) for k in inspect.signature(type(part)).parameters}
                arguments = {
                    k: list(v) if isinstance(v, tuple) else v for k, v in arguments.items()
                }
                path = f"{type(part).__module__}.{type(part).__qualname__}"
                self.parser.set_defaults({name: {"class_path": path, "init_args": arguments}})

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

        given = {k: v for k, v in values.items() if k in self.own}
        return given, {k: v for k, v in values.items() if k not in self.own}

    def _plain(self, parsed: Namespace) -> dict[str, Any]:
        text = self.parser.dump(parsed)
        for name, path in self.files.items():
            text = text.replace(f"{name}.", f"{path}:")
        plain: dict[str, Any] = yaml.safe_load(text)
        # Versions differ in whether what is None is dumped.
        return {name: plain.get(name) for name in self.hints if name != "return"}

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
            known = [
                k for k, v in vars(module).items() if v.__class__ is type or inspect.isclass(v)
            ]
            raise ValueError(f"The file {file} has no class {name!r}{nearest(name, known)}.")

        return f"{module.__name__}.{name}"

    def _translate(self, tokens: list[str]) -> list[str]:
        chosen: dict[str, type] = {}
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

    def _check(self, option: str, value: str, chosen: dict[str, type]) -> str:
        name, _, inner = option.partition(".")

        if name not in self.hints:
            raise ValueError(
                f"There is no option --{name}{nearest(name, self.hints)}; there are "
                f"{', '.join(f'--{k}' for k in self.hints if k != 'return')}."
            )

        base = base_of(self.hints[name])

        if base is None or value[:1] in "{[":
            return value
        if inner:
            self._check_inner(name, inner, chosen.get(name))
            return self._user_class(value) if ".py:" in value else value
        if ".py:" in value:
            value = self._user_class(value)
        elif "." not in value and value not in ("null", "None"):
            known = choices(base)
            if value not in known:
                raise ValueError(
                    f"There is no {name} {value!r}{nearest(value, known)}; there are "
                    f"{', '.join(sorted(known))}, or give file.py:Class."
                )
            chosen[name] = known[value]

        return value

    def _check_inner(self, name: str, inner: str, cls: type | None) -> None:
        first = inner.partition(".")[0]

        if cls is None or first in ("help", "init_args", "class_path"):
            return

        accepted = list(inspect.signature(cls).parameters)
        if first not in accepted:
            raise ValueError(
                f"{cls.__name__} has no option {first!r}{nearest(first, accepted)}; it has "
                f"{', '.join(f'--{name}.{k}' for k in accepted if k != 'event_shape')}."
            )

    def _sentence(self, message: str) -> str:
        # jsonargparse tells the chain of what failed, a line each; the last says what is wrong.
        lines = [line.strip(" -") for line in message.splitlines() if line.strip()]
        where = re.search(r'Parser key "([\w.]+)"', message)
        rejected = re.search(r"Option '(\w+)' is not accepted", message)
        part = re.search(r"class_path='([\w.]+)'", message)
        got = re.search(r"(?:Given|Got) value: (.*?)\.?$", lines[-1])
        option = where.group(1) if where else None

        if rejected and part:
            name = part.group(1).rpartition(".")[2]
            return f"{name} has no option {rejected.group(1)!r} (at --{option})."
        if got and option in self.hints and "class_path" not in got.group(1):
            hint = self.hints[option]
            kind = getattr(hint, "__name__", str(hint)) if inspect.isclass(hint) else str(hint)
            return f"Option --{option} takes {kind}, got {got.group(1)!r}."

        return f"Option --{option}: {lines[-1]}" if option else f"{lines[-1].rstrip('.')}."
