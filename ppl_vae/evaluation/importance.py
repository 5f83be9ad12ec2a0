r"""The evidence :math:`\log p(x)`, by importance sampling.

For each datum, :math:`K` draws :math:`z_k \sim q(z \mid x)` with weights :math:`w_k` estimate

.. math:: \log \hat{p}(x) = \log \frac{1}{K} \sum_{k=1}^K w_k

which is at most :math:`\log p(x)` on average, rises with :math:`K`, and converges to it if the
guide may draw whatever the model may. Its Monte Carlo standard error follows from the spread of the
weights (the delta method),

.. math:: \mathrm{se}^2 = \frac{\sum_k w_k^2}{(\sum_k w_k)^2} - \frac{1}{K}

and is to be trusted where the tail of the weights is light; see :func:`khat`. Other draws have
other errors: see :mod:`~ppl_vae.evaluation.defensive` and :mod:`~ppl_vae.evaluation.sobol`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping

import pyro
import torch
from torch import Tensor

from ..modules import evaluating, home_of, preserving
from ..staging import check_backend
from ..weights import Program, log_weights, sites_left_out
from .blocks import BLOCK
from .defensive import prior_draws
from .evidence import Evidence
from .memory import bytes_per_row
from .plan import Plan
from .rows import Rows
from .sobol import check_points

__all__ = ["log_evidence"]


def log_evidence(
    model: Program,
    guide: Program,
    batch: Mapping[str, Tensor] | Tensor,
    particles: int = 5000,
    *,
    seed: int = 0,
    memory: int = 2**29,
    vectorized: bool = True,
    compile: str = "auto",
    progress: Callable[[int], None] | None = None,
    defensive: float = 0.0,
    draws: str = "random",
    kept: MutableMapping[int, dict[str, Tensor]] | None = None,
) -> Evidence:
    r"""Estimates :math:`\log p(x)` of each datum by importance weighting.

    Draws come in blocks of fixed size, each from a seed of its own, so the result depends on
    ``seed`` but not on the memory. The programs are run in evaluation mode; no parameter, buffer,
    flag or random state changes.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> x = model(n=10).detach()
        >>> evidence = log_evidence(model, Amortized(model.posterior), x, particles=100)
        >>> torch.allclose(evidence.log_evidence, model.log_evidence(x), atol=1e-4)
        True

    References:
        | Importance Weighted Autoencoders (Burda et al., 2016)
        | https://arxiv.org/abs/1509.00519

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`.
        batch: The data: the observed sites by name, or the one tensor of data.
        particles: The number :math:`K` of draws for each datum.
        seed: The seed of all draws.
        memory: The number of bytes that intermediate results of the model may take. The guide
            draws 100 particles for 50 data at once whatever it is.
        vectorized: Whether draws are made at once; programs that reshape them need False.
        compile: How blocks are run, as for :class:`~ppl_vae.SVI`; ``"auto"`` decides by the
            number and the shape of the blocks.
        progress: Called with the number of data of each block that is done.
        defensive: The share of the draws that come from the prior, at least 0 and less than 1; see
            :mod:`~ppl_vae.evaluation.defensive`. With one, no site is left out.
        draws: ``"random"``, or ``"sobol"`` for guides whose noise is normal or uniform; see
            :mod:`~ppl_vae.evaluation.sobol`.
        kept: Finished blocks of data by their numbers, such as a dictionary, or
            :class:`~ppl_vae.evaluation.Kept`, which lasts. Those that are there are not computed
            again; the caller sees to it that they are of these data, programs and options.

    Raises:
        ValueError: As :func:`~ppl_vae.weights.log_weights`, if there are no data or no particles,
            if a site lies outside of the plate of the data, if a block that was kept is of other
            data, or if the programs do not allow the draws that are asked for.
    """
    home = home_of(model, guide)
    rows = Rows(batch, home)
    _check_options(len(rows), particles, defensive, draws, vectorized)
    own = prior_draws(particles, defensive)
    check_backend(compile, home)

    with evaluating(model, guide), preserving(model, guide):
        budget = max(memory // bytes_per_row(model, guide, rows[:1]), 1)
        _check(model, guide, rows, min(budget, 1000))
        plan = Plan(model, guide, rows, particles, own, draws, budget, vectorized)

        with pyro.validation_enabled(False):
            plan.stage(compile)
            found = _estimates(plan, rows, seed, {} if kept is None else kept, progress)

        left_out = () if own else tuple(sites_left_out(model, guide, rows[:1000]))

    return Evidence(
        **found, particles=particles, left_out=left_out, defensive=own / particles, draws=draws
    )


def _check_options(n: int, particles: int, defensive: float, draws: str, vectorized: bool) -> None:
    if n == 0:
        raise ValueError("There are no data to evaluate; the batch is empty.")
    if particles < 1:
        raise ValueError(f"The number of particles must be positive, got {particles}.")
    if draws not in ("random", "sobol"):
        raise ValueError(f"Draws are 'random' or 'sobol', got {draws!r}.")
    if draws == "sobol":
        check_points(particles)
        if defensive or not vectorized:
            raise ValueError(
                "Sobol points take the place of the guide's noise, for all particles at once: take "
                "defensive=0 and vectorized=True with them, or draws='random'."
            )


def _check(model: Program, guide: Program, rows: Rows, size: int) -> None:
    # Every datum goes through every check once; afterwards they are off.
    with pyro.validation_enabled(True):
        for start in range(0, len(rows), size):
            log_weights(model, guide, rows[start : start + size]).check_local()


def _estimates(
    plan: Plan,
    rows: Rows,
    seed: int,
    kept: MutableMapping[int, dict[str, Tensor]],
    progress: Callable[[int], None] | None,
) -> dict[str, Tensor]:
    done: list[dict[str, Tensor]] = []

    for i, start in enumerate(range(0, len(rows), BLOCK[1])):
        size = min(BLOCK[1], len(rows) - start)
        part = kept.get(i)
        if part is None:
            part = kept[i] = plan(rows[start : start + size], size, (seed, i))
        elif {tuple(t.shape) for t in part.values()} != {(size,)}:
            raise ValueError(
                f"Block {i} that was kept is not of {size} data, as this one is: it is of another "
                "evaluation; take another place to keep blocks in."
            )
        done.append(part)
        if progress is not None:
            progress(size)

    return {name: torch.cat([part[name] for part in done]) for name in done[0]}
