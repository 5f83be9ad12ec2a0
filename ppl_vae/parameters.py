r"""The parameters of a model, a guide and an objective, and whose they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from pyro import poutine
from torch import nn

from .modules import modules_of, preserving
from .objectives import Objective
from .weights import Arguments, Program, call

__all__ = ["Parameters", "find_parameters"]

PARAM = "param."


@dataclass(frozen=True)
class Parameters:
    r"""The parameters by name, and whose they are.

    Arguments:
        named: The parameters that require a gradient. A name begins with ``model.``, ``guide.``
            or ``objective.``, or with ``param.`` for those of Pyro's store. What two programs
            share has the name that the first gives it.
        owners: For each name, which of the model, the guide and the objective hold the parameter.
    """

    named: dict[str, nn.Parameter]
    owners: dict[str, frozenset[str]]

    @property
    def bare(self) -> list[str]:
        r"""The names in Pyro's store of those that no module holds."""
        return [name.removeprefix(PARAM) for name in self.named if name.startswith(PARAM)]

    def shared_out(self, objective: Objective) -> list[dict[str, nn.Parameter]]:
        r"""Gives each player of an objective what it trains, but for what one before it has.

        Raises:
            ValueError: If nothing is left for a player.
        """
        left = dict(self.named)
        parts = []
        for role in objective.players():
            held = {n: p for n, p in left.items() if self.owners[n] & set(role.trains)}
            left = {n: p for n, p in left.items() if n not in held}
            if not held and self.named:
                raise ValueError(
                    f"Player {role.name!r} of {type(objective).__name__} has no parameters of its "
                    f"own: those of {' and '.join(role.trains)} belong to a player before it, or "
                    "none requires a gradient."
                )
            parts.append(held)

        return parts


def find_parameters(
    model: Program, guide: Program, objective: Objective, batch: Arguments
) -> Parameters:
    r"""Finds the parameters by one run of the programs.

    Random states and buffers are left as they were.
    """
    with preserving(model, guide), torch.no_grad(), poutine.trace(param_only=True) as trace:
        objective.estimate(model, guide, *batch.args, **batch.kwargs)

    guided = _guided(guide, batch) if len(objective.players()) > 1 else set()
    found = [
        (f"{role}.{name}", role, parameter)
        for role, program in (("model", model), ("guide", guide), ("objective", objective))
        for module in modules_of(program)
        for name, parameter in module.named_parameters()
    ]
    for name, site in trace.trace.nodes.items():
        value: Any = site["value"]
        value = value.unconstrained() if hasattr(value, "unconstrained") else value
        found.append((PARAM + name, "guide" if name in guided else "model", value))

    names: dict[int, str] = {}
    named: dict[str, nn.Parameter] = {}
    owners: dict[str, frozenset[str]] = {}
    for name, role, parameter in found:
        if parameter.requires_grad:
            name = names.setdefault(id(parameter), name)
            named[name] = parameter
            owners[name] = owners.get(name, frozenset()) | {role}

    return Parameters(named, owners)


def _guided(guide: Program, batch: Arguments) -> set[str]:
    # The names in Pyro's store that are the guide's; one player does not need to know.
    with preserving(guide), torch.no_grad(), poutine.trace(param_only=True) as trace:
        call(guide, batch)

    return set(trace.trace.nodes)
