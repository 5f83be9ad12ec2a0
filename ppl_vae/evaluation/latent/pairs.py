r"""The density of each draw under the posterior of each datum."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ...weights import Program, score_guide
from ..memory import Counter
from ..rows import Rows
from ..seeds import mix
from .draws import ROWS, Draws

__all__ = ["mixture"]


def mixture(
    guide: Program,
    rows: Rows,
    drawn: Draws,
    seed: int,
    *,
    depth: int,
    memory: int,
    vectorized: bool,
    progress: Callable[[int], None] | None = None,
) -> tuple[Tensor, Tensor]:
    r"""The density of each draw under its own datum's posterior, and under those of the others.

    .. math:: \log q(z_{si} \mid x_i) \qquad
        \log \frac{1}{n - 1} \sum_{j \neq i} q(z_{si} \mid x_j)

    Each block of data is scored from the seed that it was drawn from, so that a guide with noise
    of its own, as a semi-amortized one, has for each datum the same posterior both times.

    Arguments:
        guide: The program :math:`q(z \mid x)`.
        rows: The data.
        drawn: The draws :math:`z_{si}` of the guide.
        seed: The seed that they were drawn from.
        depth: The number of nested plates of both programs.
        memory: The number of bytes that intermediate results may take.
        vectorized: Whether the guide takes many draws for a datum at once; else the data are
            repeated.
        progress: Called with the number of data of each block that is done.

    Returns:
        Both, with shape ``(S, n)``.

    Raises:
        ValueError: If the density of a draw differs from what it was when it was drawn.
    """
    S, n = drawn.guide.shape
    # Draws first, without the data: (S * n, *plates, *event_shape).
    z = {k: v.movedim(drawn.axes[k], 1).flatten(0, 1) for k, v in drawn.values.items()}
    own = torch.full((S, n), -math.inf, dtype=torch.double)
    rest = own.clone()
    step = 0

    for i, start in enumerate(range(0, n, ROWS)):
        part = rows[start : start + ROWS]
        score = partial(_score, guide, part, z, drawn.axes, mix(seed, i), depth, vectorized)
        step = step or max(memory // _bytes(score), 1)
        scored = torch.cat([score(a, min(a + step, S * n)) for a in range(0, S * n, step)])
        scored = scored.reshape(S, n, -1)
        here = torch.arange(scored.shape[2])
        own[:, start + here] = scored[:, start + here, here]
        scored[:, start + here, here] = -math.inf
        rest = torch.logaddexp(rest, scored.logsumexp(2))
        if progress is not None:
            progress(len(here))

    if not torch.allclose(own, drawn.guide, rtol=1e-3, atol=1e-3, equal_nan=True):
        raise ValueError(
            "The guide's density of a draw changes from run to run, so there is no aggregate "
            "posterior; give a guide whose noise is all in its latent sites."
        )
    return own, rest - math.log(n - 1)


def _score(
    guide: Program,
    part: Any,
    z: Mapping[str, Tensor],
    axes: Mapping[str, int],
    seed: int,
    depth: int,
    vectorized: bool,
    start: int,
    stop: int,
) -> Tensor:
    # log q of some of the draws under a block of data, with shape (stop - start, rows).
    torch.manual_seed(seed)
    chunk = {name: t[start:stop] for name, t in z.items()}
    take = _across if vectorized else _repeated
    return take(guide, part, chunk, axes, depth).cpu().double()


def _bytes(score: Callable[[int, int], Tensor]) -> int:
    # What one more draw takes, that of the data's own part of the guide apart; there are four.
    counts = []

    for stop in (2, 4):
        with Counter() as counter:
            score(0, stop)
        counts.append(counter.total)

    return max((counts[1] - counts[0]) // 2, 1)


def _across(
    guide: Program, part: Any, z: Mapping[str, Tensor], axes: Mapping[str, int], depth: int
) -> Tensor:
    B = _size(part)
    values = {name: _beside(t.unsqueeze(axes[name]), axes[name], B) for name, t in z.items()}
    return score_guide(guide, part, values, depth=depth)


def _beside(t: Tensor, axis: int, size: int) -> Tensor:
    return t.expand(*t.shape[:axis], size, *t.shape[axis + 1 :])


def _repeated(
    guide: Program, part: Any, z: Mapping[str, Tensor], axes: Mapping[str, int], depth: int
) -> Tensor:
    # As many data as there are pairs, each with one draw.
    B, M = _size(part), len(next(iter(z.values())))
    index = torch.arange(B).repeat(M)
    batch = {k: t[index] for k, t in part.items()} if isinstance(part, Mapping) else part[index]
    values = {
        name: t.repeat_interleave(B, 0).unsqueeze(0).movedim(1, axes[name]) for name, t in z.items()
    }
    return score_guide(guide, batch, values, depth=depth).reshape(M, B)


def _size(part: Any) -> int:
    return len(next(iter(part.values())) if isinstance(part, Mapping) else part)
