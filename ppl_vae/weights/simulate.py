r"""What programs draw, from which distributions."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from pyro import poutine
from torch import Tensor

from ..distributions.measure import measure
from ..modules import preserving
from .checks import lacks_density
from .draws import leaves_out
from .traces import Batch, Program, as_trace, by_name, run_traced, sites_of

__all__ = ["base_measure", "densities", "distributions", "dream", "simulate", "sites_left_out"]


def dream(model: Program, batch: Batch, n: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    r"""Draws data from the model in the place of those of a batch.

    Arguments:
        model: The program :math:`p(x, z)`, which takes the number of data as ``n``.
        batch: What it is called with. Data are what it observes; what else there is, such as
            labels or exposures, stays.
        n: The number of data.

    Returns:
        The batch, by name, and the values of the latent sites, with shape ``(1, n, *event_shape)``.
    """
    given = by_name(model, batch)
    taken = inspect.signature(getattr(model, "forward", model)).parameters
    observed = {k for k, (_, _, seen) in distributions(model, batch).items() if seen} & set(taken)
    drawn = simulate(model, n, {k: v for k, v in given.items() if k not in observed})
    latent = {name: z.unsqueeze(0) for name, z in drawn.items() if name not in observed}
    return {**given, **{name: drawn[name] for name in observed}}, latent


@torch.no_grad()
def simulate(
    model: Program, n: int, given: Mapping[str, Tensor] | None = None
) -> dict[str, Tensor]:
    r"""Draws :math:`n` data, and the latent variables behind them, from the model.

    Arguments:
        model: The program :math:`p(x, z)`, which takes the number of data as ``n``.
        n: The number of data.
        given: What else the model is called with, such as labels or exposures.

    Returns:
        The value of each site by name, with shape ``(n, *event_shape)``.

    Raises:
        ValueError: If ``n`` is not positive, or the program does not take it.
    """
    if n < 1:
        raise ValueError(f"The number of data to simulate must be positive, got {n}.")

    if "n" not in inspect.signature(getattr(model, "forward", model)).parameters:
        raise ValueError(
            "The model takes no n, the number of data to draw; use pyro.infer.Predictive with the "
            "arguments that it does take."
        )

    trace = poutine.trace(model).get_trace(n=n, **(given or {}))
    return {name: node["value"] for name, node in sites_of(trace).items()}


def distributions(
    program: Program,
    batch: Batch,
    *,
    given: Mapping[str, Tensor] | None = None,
    until: Iterable[str] | None = None,
) -> dict[str, tuple[Any, Tensor, bool]]:
    r"""Runs a program once and returns what it drew from, by site.

    Arguments:
        program: Any program.
        batch: What the program is called with.
        given: Values to take instead of draws, each with shape ``(n, *event_shape)``, or with
            particles before, where there is a plate of them.
        until: The sites after the last of which the program is left; None to run it to its end.

    Returns:
        By site, the distribution, the value, and whether it is observed.
    """
    replay = None if given is None else as_trace({k: v[None] for k, v in given.items()}, 1)
    nodes = sites_of(run_traced(program, batch, replay=replay, until=until))
    return {name: (node["fn"], node["value"], node["is_observed"]) for name, node in nodes.items()}


def base_measure(model: Program, batch: Batch) -> str:
    r"""Tells the measure that the likelihood is a density of.

    Log-likelihoods stand side by side only under the same measure.

    Returns:
        ``"counting"`` for discrete data, ``"lebesgue"`` for real ones, or what the distribution
        tells, such as ``"mixed (counting: 0, 2)"`` where columns 0 and 2 alone are discrete;
        ``"mixed"`` if several sites are observed under several measures.
    """
    with preserving(model), torch.no_grad():
        nodes = sites_of(run_traced(model, batch)).values()

    names = {measure(node["fn"]) for node in nodes if node["is_observed"]}
    return names.pop() if len(names) == 1 else "mixed"


def sites_left_out(model: Program, guide: Program, batch: Batch) -> list[str]:
    r"""Tells the latent sites of which the guide never draws a part that the model may draw.

    A guide of positive numbers for a model of real ones is an example: bounds stay bounds, but no
    number of particles closes their gap.

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`.
        batch: What both programs are called with.
    """
    with preserving(model, guide), torch.no_grad():
        q = run_traced(guide, batch)
        nodes, drawn = sites_of(run_traced(model, batch, replay=q)), sites_of(q)
        return [
            name for name, node in drawn.items() if name in nodes and leaves_out(nodes[name], node)
        ]


def densities(model: Program, guide: Program, batch: Batch) -> Iterator[tuple[str, str, Tensor]]:
    r"""Yields each draw and each log density as (term, site, values), in the order of making.

    It looks for the cause of a loss that is not finite.
    """
    q = run_traced(guide, batch)
    p = run_traced(model, batch, replay=q)

    for term, trace in (("log q", q), ("log p", p)):
        for name, node in sites_of(trace).items():
            if not node["is_observed"] and term == "log q":
                yield "the draw", name, node["value"]
            if lacks_density(node):
                continue
            yield term, name, node["fn"].log_prob(node["value"], *node["args"], **node["kwargs"])
