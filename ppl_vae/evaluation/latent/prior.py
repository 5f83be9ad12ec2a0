r"""Draws of the prior, beside which those of the aggregate posterior are laid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ...weights import Program, distributions, log_joint
from ...weights.layout import vectors
from ..rows import Rows
from ..seeds import mix
from .draws import ROWS, Draws

__all__ = ["prior_codes", "prior_is_given", "standardized"]


def prior_codes(
    model: Program, rows: Rows, drawn: Draws, seed: int
) -> dict[str, tuple[Tensor, Tensor]]:
    r"""Draws the latent sites from the model, and tells the scale of each element.

    The model is called with the data, for their number and what it conditions on, and left after
    its last latent site. The scale is the standard deviation under the prior,

    .. math:: s_d^2 = \mathbb{E} \big[ \operatorname{Var}[z_d \mid \dots] \big]
        + \operatorname{Var} \big[ \mathbb{E}[z_d \mid \dots] \big]

    over the draws of the sites above, hence exact where there are none; that of the draws where the
    distribution does not know its moments.

    Arguments:
        model: The program :math:`p(x, z)`.
        rows: The data.
        drawn: The draws of the guide, which tell the shapes.
        seed: The seed of all draws.

    Returns:
        By site, draws of shape ``(n, d)`` and scales of shape ``(d,)``.
    """
    found: dict[str, list[tuple[Tensor, ...]]] = {name: [] for name in drawn.values}

    for i, start in enumerate(range(0, len(rows), ROWS)):
        torch.manual_seed(mix(seed, i, 1))
        laws = distributions(model, rows[start : start + ROWS], until=tuple(found))
        for name, parts in found.items():
            law, value, _ = laws[name]
            shape = (drawn.values[name].ndim, drawn.axes[name])
            parts.append(tuple(_vectors(t, *shape) for t in (value, *_moments(law, value))))

    return {name: _told([torch.cat(t) for t in zip(*p, strict=True)]) for name, p in found.items()}


def prior_is_given(model: Program, rows: Rows, drawn: Draws, depth: int) -> bool:
    r"""Whether the prior differs between data, by what the model is given beside them.

    Draws are scored once more with what belongs to another datum.

    Arguments:
        model: The program :math:`p(x, z)`.
        rows: The data.
        drawn: The draws of the guide.
        depth: The number of nested plates of the programs.
    """
    batch = rows[:ROWS]
    if not isinstance(batch, Mapping):
        return False

    seen = distributions(model, batch)
    n = min(len(rows), ROWS)
    given = {k: t for k, t in batch.items() if k not in (*seen, "index") and len(t) == n}
    if not given:
        return False

    values = {k: v[:2].narrow(drawn.axes[k], 0, n) for k, v in drawn.values.items()}
    turned = {k: t.roll(1, 0) for k, t in given.items()}
    own, other = (
        log_joint(model, {**batch, **part}, values, depth=depth)[1] for part in (given, turned)
    )
    return not torch.allclose(own, other)


def _vectors(t: Tensor, ndim: int, axis: int) -> Tensor:
    # The draws of a single particle have no dimension for it.
    return vectors(t.reshape(*[1] * (ndim - t.ndim), *t.shape), axis)[0].cpu().double()


def _moments(law: Any, value: Tensor) -> tuple[Tensor, Tensor]:
    try:
        mean, variance = law.mean, law.variance
        known = bool((mean + variance).isfinite().all())
    except (NotImplementedError, AttributeError):
        known = False

    if not known:
        mean, variance = value, torch.zeros_like(value)
    return mean.expand(value.shape), variance.expand(value.shape)


def _told(moments: list[Tensor]) -> tuple[Tensor, Tensor]:
    value, mean, variance = moments
    scale = (variance.mean(0) + mean.var(0, correction=0)).sqrt()
    # An element that never varies is in no scale.
    return value, torch.where(scale > 0, scale, 1.0)


def standardized(codes: Mapping[str, Tensor], scales: Mapping[str, Tensor]) -> Tensor:
    r"""The codes of all sites as one vector for each datum, in the prior's scale.

    Example:
        >>> codes = {"z1": torch.ones(3, 2), "z2": torch.ones(3, 1)}
        >>> standardized(codes, {"z1": torch.ones(2), "z2": torch.full((1,), 2.0)})[0]
        tensor([1.0000, 1.0000, 0.5000])
    """
    return torch.cat([codes[name] / scales[name] for name in codes], -1)
