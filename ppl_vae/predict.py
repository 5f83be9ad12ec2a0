r"""What trained programs say: codes, draws, means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .modules import evaluating
from .weights import Batch, Program, distributions, simulate
from .weights.supports import kind_of

__all__ = ["encode", "movable", "predict", "sample"]


def encode(guide: Program, batch: Batch, *, draws: int = 100) -> dict[str, dict[str, Tensor]]:
    r"""The codes of data: for each latent site, a draw and the posterior's mean and scale.

    Arguments:
        guide: The program :math:`q(z \mid x)`.
        batch: What the program is called with.
        draws: The number of draws that estimate mean and scale where a distribution, such as a
            flow, does not know them.

    Returns:
        By site, the tensors ``draw``, ``mean`` and ``scale``, each with shape ``(n, *z_shape)``.
        Of a site below others, mean and scale are those given the draws above it.
    """
    with evaluating(guide):
        codes = {}

        for name, (q, value, observed) in distributions(guide, batch).items():
            if not observed:
                mean, scale = _moments(q, draws)
                codes[name] = {"draw": value, "mean": mean, "scale": scale}

    return codes


def movable(guide: Program, batch: Batch) -> set[str]:
    r"""The latent sites whose elements may be moved one by one.

    Counts, one-hot vectors and points of a sphere may not: they would leave their support.
    """
    with evaluating(guide):
        sites = distributions(guide, batch).items()
        return {name for name, (q, value, _) in sites if kind_of(q, value) == "continuous"}


def predict(
    model: Program, latent: Mapping[str, Tensor], n: int, **observed: Tensor
) -> dict[str, Tensor]:
    r"""The means of the likelihoods :math:`p(x \mid z)`, given the latent variables.

    Arguments:
        model: The program :math:`p(x, z)`.
        latent: The values of the latent sites, each with shape ``(n, *z_shape)``.
        n: The number of data.
        observed: Other arguments of the program, such as observed labels.

    Returns:
        By site, the mean, with shape ``(n, *x_shape)``; a draw where there is no mean.
    """
    with evaluating(model):
        sites = distributions(model, {"n": n, **observed}, given=latent)
        return {
            name: _mean(p, value) for name, (p, value, _) in sites.items() if name not in latent
        }


def sample(model: Program, n: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    r"""Draws from the model: the value of each site, and the means of the likelihoods."""
    with evaluating(model):
        values = simulate(model, n)
        sites = distributions(model, {"n": n}, given=values)
        return values, {name: _mean(p, value) for name, (p, value, _) in sites.items()}


def _mean(p: Any, value: Tensor) -> Tensor:
    try:
        mean = p.mean
    except NotImplementedError:
        return value

    # A category has no mean: torch says NaN.
    return value if mean.isnan().any() else mean


def _moments(q: Any, draws: int) -> tuple[Tensor, Tensor]:
    try:
        mean, scale = q.mean, q.stddev
        if not mean.isnan().any():
            return mean, scale
    except NotImplementedError:
        pass

    values = torch.stack([q.sample() for _ in range(draws)]).float()
    return values.mean(0), values.std(0)
