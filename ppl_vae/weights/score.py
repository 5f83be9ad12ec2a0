r"""Drawing from guides, and scoring draws under both programs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial

from pyro import poutine
from torch import Tensor

from .base import Weights, stack
from .checks import blaming, check_density, check_match
from .layout import Layout
from .total import Total, read
from .traces import (
    Batch,
    Detached,
    Program,
    as_trace,
    batch_size,
    latent_sites,
    named,
    particle_plate,
    plate_depth,
    replay_model,
    run_traced,
    sites_of,
)

__all__ = ["draw_guide", "log_joint", "log_weights", "rescore", "score_guide"]


def log_weights(
    model: Program,
    guide: Program,
    batch: Batch,
    particles: int = 1,
    *,
    vectorized: bool = True,
    depth: int | None = None,
    lenient: bool = False,
    detached: bool = False,
    implicit: bool = False,
) -> Weights:
    r"""Draws from the guide and scores the draws under both programs.

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`.
        batch: What both programs are called with: keyword arguments by name, positional ones in
            a tuple, or one tensor. The entry ``index`` is handed only to programs that take it.
        particles: The number :math:`K` of draws.
        vectorized: Whether the draws are made at once, in a plate outside of the programs' own.
            Programs that reshape their draws need ``False``, which loops.
        depth: The number of nested plates, which one dry run finds out if None.
        lenient: Whether data outside of the support of a likelihood that was built with
            ``validate_args=False`` are let through, with a warning.
        detached: Whether the draws carry no gradient; the densities of both programs do.
        implicit: Whether sites of the guide are let through that have no density: those drawn
            from :class:`~ppl_vae.distributions.Implicit`, or with ``infer={"implicit": True}``.

    Raises:
        ValueError: If a latent site is in one program only or has no density, a site's shape is
            not explained by its plates, ``poutine.scale`` changes a density, or the data lie
            outside of the likelihood's support or are NaN. Values are checked unless Pyro's
            validation is off.
    """
    if particles < 1:
        raise ValueError(f"The number of particles must be positive, got {particles}.")

    if particles > 1 and not vectorized:
        options = {"lenient": lenient, "detached": detached, "implicit": implicit}
        one = partial(log_weights, model, guide, batch, **options)
        return stack([one() for _ in range(particles)])

    with blaming(named(batch)):
        if particles > 1 and depth is None:
            depth = plate_depth(model, guide, batch)

        with particle_plate(particles, depth), Detached() if detached else nullcontext():
            q = run_traced(guide, batch)

        p = replay_model(model, batch, q, particles, depth)

    return read(p, q, batch, particles, depth, lenient, implicit)


def draw_guide(
    guide: Program, batch: Batch, particles: int, *, depth: int
) -> tuple[dict[str, Tensor], Tensor]:
    r"""Draws from the guide alone, as :func:`log_weights` does under the same seed.

    Arguments:
        guide: The program :math:`q(z \mid x)`.
        batch: What the program is called with.
        particles: The number :math:`K` of draws.
        depth: The number of nested plates of both programs.

    Returns:
        The value of each site, as in :attr:`Site.value`, and :math:`\log q(z \mid x)`, with shape
        ``(K, n)``.
    """
    with particle_plate(particles, depth):
        q = run_traced(guide, batch)

    return _read_guide(q, batch, particles, depth)


def score_guide(
    guide: Program, batch: Batch, values: Mapping[str, Tensor], *, depth: int
) -> Tensor:
    r"""Scores given values of the latent sites under the guide alone.

    Arguments:
        guide: The program :math:`q(z \mid x)`.
        batch: What the program is called with.
        values: The values of all latent sites, as in :attr:`Site.value`.
        depth: The number of nested plates of both programs.

    Returns:
        :math:`\log q(z \mid x)`, with shape ``(K, n)``.
    """
    particles = count_particles(values)

    with particle_plate(particles, depth):
        q = run_traced(guide, batch, replay=as_trace(values, particles))

    check_match(values, [name for name, node in sites_of(q).items() if not node["is_observed"]])
    return _read_guide(q, batch, particles, depth)[1]


def _read_guide(
    q: poutine.Trace, batch: Batch, particles: int, depth: int
) -> tuple[dict[str, Tensor], Tensor]:
    nodes = sites_of(q)
    layout = Layout.of(list(nodes.values()), batch_size(batch), particles, depth)
    total = Total(layout)
    values = {}

    for name, node in nodes.items():
        check_density(node)
        total.add("guide", node, layout.reduce(layout.log_prob(node), node))
        values[name] = layout.value(node)

    return values, total.weights({}, ()).guide


def rescore(
    model: Program,
    guide: Program,
    batch: Batch,
    values: Mapping[str, Tensor],
    *,
    vectorized: bool = True,
    depth: int | None = None,
) -> Weights:
    r"""Scores given values of the latent sites under both programs.

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`.
        batch: What both programs are called with.
        values: The values of all latent sites, as in :attr:`Site.value`.
        vectorized: As in :func:`log_weights`.
        depth: As in :func:`log_weights`.

    Raises:
        ValueError: As :func:`log_weights`, and if the values have different numbers of particles.
    """
    particles = count_particles(values)

    if particles > 1 and not vectorized:
        each = [{k: v[i : i + 1] for k, v in values.items()} for i in range(particles)]
        return stack([rescore(model, guide, batch, part) for part in each])

    if particles > 1 and depth is None:
        depth = plate_depth(model, guide, batch)

    given = as_trace(values, particles)

    with particle_plate(particles, depth):
        q = run_traced(guide, batch, replay=given)

    check_match([name for name, node in sites_of(q).items() if not node["is_observed"]], values)
    p = replay_model(model, batch, q, particles, depth)
    return read(p, q, batch, particles, depth)


def log_joint(
    model: Program, batch: Batch, values: Mapping[str, Tensor], *, depth: int | None = None
) -> tuple[Tensor, Tensor]:
    r"""Scores given values of the latent sites under the model alone.

    Arguments:
        model: The program :math:`p(x, z)`.
        batch: What the program is called with.
        values: The values of all latent sites, as in :attr:`Site.value`.
        depth: The number of nested plates, which one dry run finds out if None.

    Returns:
        :math:`\log p(x \mid z)` and :math:`\log p(z)`, each with shape ``(K, n)``.

    Raises:
        ValueError: As :func:`log_weights`.
    """
    particles = count_particles(values)

    if particles > 1 and depth is None:
        depth = plate_depth(model, None, batch)

    p = replay_model(model, batch, as_trace(values, particles), particles, depth)
    nodes = sites_of(p)
    check_match(latent_sites(nodes), values)
    total = Total(Layout.of(list(nodes.values()), batch_size(batch), particles, depth))
    total.model(nodes)
    weights = total.weights({}, ())
    return weights.likelihood, weights.prior


def count_particles(values: Mapping[str, Tensor]) -> int:
    counts = {name: len(value) for name, value in values.items()}

    if len(set(counts.values())) != 1:
        raise ValueError(f"The values need one number of particles for all sites, got {counts}.")

    return next(iter(counts.values()))
