r"""Refining a guide for given data, one by one.

A network that all data share proposes parameters :math:`h` that are not the best for each: what
that costs is the amortization gap. With free parameters for each datum, optimized while the model
stays as it is, it closes; what is left is due to the family of the posterior.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pyro
import torch
from pyro import poutine
from torch import Tensor, nn

from ..conditional import Conditional
from ..modules import evaluating, preserving
from ..weights import draw_guide, log_joint, log_weights, plate_depth
from ..weights.traces import as_trace
from .refined import Refined
from .seeds import REFINEMENT, mix

__all__ = ["refine"]

ROWS = 500
r"""The number of data that are refined at once."""


def refine(
    model: Callable[..., Any],
    guide: Any,
    batch: Mapping[str, Tensor] | Tensor,
    steps: int = 100,
    rate: float = 0.1,
    particles: int = 8,
    *,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Refined:
    r"""Optimizes the parameters of the posterior for each datum, from where the guide has them.

    .. math:: h_i = \arg \max_h \, \mathbb{E}_{q_h(z)} [\log p(x_i, z) - \log q_h(z)]

    by Adam, whose rate falls linearly to zero. The model, and the guide itself, stay as they are.

    Example:
        >>> from ppl_vae.evaluation import log_evidence
        >>> from ppl_vae.families import Normal
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> from ppl_vae.networks import mlp
        >>> model = Linear(features=5, latent=1)
        >>> x = model(n=10).detach()
        >>> guide = Amortized(Conditional((5,), Normal((1,)), mlp()))
        >>> refined = refine(model, guide, x)
        >>> rows = {"x": x, "index": torch.arange(10)}
        >>> evidence = log_evidence(model, refined, rows, particles=100)
        >>> torch.allclose(evidence.elbo, model.log_evidence(x), atol=0.1)
        True

    References:
        | Inference Suboptimality in Variational Autoencoders (Cremer et al., 2018)
        | https://arxiv.org/abs/1801.03558

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`, whose :attr:`posterior` is a
            :class:`~ppl_vae.conditional.Conditional` of the data, reparameterized.
        batch: The data: the observed sites by name, or the one tensor of data.
        steps: The number of steps for each datum.
        rate: The rate of the first step.
        particles: The number of draws for each datum in a step.
        seed: The seed of all draws.
        progress: Called with the number of data of each block that is done.

    Returns:
        A guide for these data, in this order. A part of them is a batch that tells which they
        are by ``index``, as those of :func:`log_evidence` do if ``index`` is among the data.

    Raises:
        ValueError: If the guide has no such posterior, there are no data, or a number is not
            positive.
    """
    sites = dict(batch) if isinstance(batch, Mapping) else {"": torch.as_tensor(batch)}
    sites.pop("index", None)
    n = len(next(iter(sites.values()))) if sites else 0
    _check(guide, n, steps, rate, particles)
    home = next((p.device for p in guide.posterior.parameters()), None)
    table = []

    with evaluating(model, guide), preserving(model, guide), pyro.validation_enabled(False):
        for i, start in enumerate(range(0, n, ROWS)):
            part = {k: t[start : start + ROWS].to(home) for k, t in sites.items()}
            rows: Any = part if isinstance(batch, Mapping) else part[""]
            with pyro.validation_enabled(True):
                log_weights(model, guide, rows).check_local()
            torch.manual_seed(mix(seed, i, REFINEMENT))
            table.append(_optimized(model, guide, rows, steps, rate, particles))

            if progress is not None:
                progress(len(table[-1]))

    return Refined(guide, torch.cat(table), model)


def _check(guide: Any, n: int, steps: int, rate: float, particles: int) -> None:
    posterior = getattr(guide, "posterior", None)

    if not isinstance(guide, nn.Module) or not isinstance(posterior, Conditional):
        raise ValueError(
            "Refinement needs a guide with one Conditional of the data, its 'posterior', as "
            f"Amortized has; {type(guide).__name__} has none."
        )
    if n == 0:
        raise ValueError("There are no data to refine the guide for; the batch is empty.")
    if steps < 0:
        raise ValueError(f"The number of steps of refinement is zero or more, got {steps}.")
    if particles < 1 or not rate > 0:
        raise ValueError(
            "Refinement needs a positive rate and one particle or more, got "
            f"rate={rate} and particles={particles}."
        )


def _optimized(
    model: Any, guide: Any, batch: Any, steps: int, rate: float, particles: int
) -> Tensor:
    x = batch.get("x", next(iter(batch.values()))) if isinstance(batch, Mapping) else batch
    free = Refined(guide, guide.posterior.h(x).clone(), model).eval()
    rows = free.table.rows
    # The same numbers, as constants: the gradient follows the draws, not their density, and
    # vanishes where the posterior is exact.
    held = Refined(guide, rows.detach(), model).eval()
    depth = plate_depth(model, free, batch)
    optimizer = torch.optim.Adam([rows], lr=rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, max(steps, 1))

    for step in range(steps):
        with torch.enable_grad():
            values, drawn = draw_guide(free, batch, particles, depth=depth)
            log_q = _score(held, batch, values, depth)
            if step == 0:
                _check_draws(guide, values, drawn, log_q)
            likelihood, prior = log_joint(model, batch, values, depth=depth)
            # The parameters of one datum meet no others: each has its own ELBO.
            bound = (likelihood + prior - log_q).mean(0).sum()
            (rows.grad,) = torch.autograd.grad(-bound, [rows])

        optimizer.step()
        schedule.step()

    return rows.detach()


def _score(guide: Refined, batch: Any, values: Mapping[str, Tensor], depth: int) -> Tensor:
    particles = len(next(iter(values.values())))
    given = poutine.replay(guide, trace=as_trace(values, particles))
    return draw_guide(lambda *a, **k: given(*a, **k), batch, particles, depth=depth)[1]


def _check_draws(guide: Any, values: Mapping[str, Tensor], drawn: Tensor, scored: Tensor) -> None:
    name = type(guide).__name__

    for site, value in values.items():
        if not value.requires_grad:
            raise ValueError(
                f"Refinement follows gradients through draws, which those of site {site!r} do not "
                "pass; take a reparameterized posterior."
            )
    if not torch.allclose(drawn, scored, rtol=1e-3, atol=1e-3, equal_nan=True):
        raise ValueError(
            f"The density of a draw of {name} is not told by its posterior alone; refine "
            "Amortized(guide.posterior) instead."
        )
