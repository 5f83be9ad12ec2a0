r"""Codes: the latent variables of each datum as one vector, their draws and their densities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from ..weights import Arguments, Program, Weights, distributions
from ..weights.traces import particle_plate
from .aggregate import vectors

__all__ = ["codes_of", "draw_codes", "joined", "score_codes"]


def codes_of(weights: Weights) -> Tensor:
    r"""The draws of all latent sites as one vector for each datum, with shape ``(K, n, D)``.

    Sites come in the order of their names, whichever program drew them.
    """
    sites = weights.sites
    return joined({name: vectors(sites[name].value, sites[name]) for name in sorted(sites)})


def joined(codes: Mapping[str, Tensor]) -> Tensor:
    r"""The vectors of several sites as one."""
    return torch.cat([*codes.values()], -1)


def draw_codes(
    program: Program,
    batch: Arguments,
    particles: int,
    depth: int | None,
    names: Iterable[str] | None = None,
) -> dict[str, Tensor]:
    r"""Runs a program, and returns what it draws: codes of a guide, or of a prior.

    The latent sites of a model are drawn one after the other, each from its parents, jointly; of
    the batch it takes what it conditions on, such as labels. No density is asked for, and what the
    program does after the last of the sites is left out.

    Arguments:
        program: The model or the guide.
        batch: What it is called with.
        particles: The number :math:`K` of draws for each datum.
        depth: The number of nested plates, where there are several particles.
        names: The sites; all latent ones if None.

    Returns:
        By the name of the site, a tensor with shape ``(K, n, d)``.
    """
    with particle_plate(particles, depth):
        found = distributions(program, batch, until=names)

    latent = [name for name, (_, _, seen) in found.items() if not seen]
    codes = {}
    for name in sorted(latent if names is None else names):
        law, value, _ = found[name]
        codes[name] = value.reshape(particles, -1, law.event_shape.numel())
    return codes


def score_codes(
    model: Program, batch: Arguments, values: Mapping[str, Tensor], depth: int | None
) -> Tensor:
    r"""Scores given values of the latent sites under the prior; the likelihood is not asked.

    Arguments:
        model: The program :math:`p(x, z)`.
        batch: What it is called with.
        values: The values of all latent sites, as in :attr:`~ppl_vae.weights.Site.value`.
        depth: The number of nested plates, where there are several particles.

    Returns:
        :math:`\log p(z)`, with shape ``(K, n)``.
    """
    particles = len(next(iter(values.values())))

    with particle_plate(particles, depth):
        # One particle has no plate.
        given = {name: z[0] if particles == 1 else z for name, z in values.items()}
        found = distributions(model, batch, given=given, until=values)

    log_p = [found[name][0].log_prob(found[name][1]) for name in values]
    return torch.stack([t.reshape(particles, -1) for t in log_p]).sum(0)
