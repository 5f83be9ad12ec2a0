r"""Draws of a run as plain arrays: posterior, prior, predictions, densities and weights.

Each datum :math:`x_i` has a latent variable :math:`z_i` of its own; parameters are as trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ..evaluation.memory import bytes_per_row
from ..modules import evaluating, modules_of, preserving
from ..weights import log_weights, plate_depth, simulate
from ..weights.simulate import distributions
from ..weights.traces import by_name
from .particles import draw_particles, rows_first
from .predictions import predictions

if TYPE_CHECKING:
    from ..run import Run

__all__ = ["METHODS", "posterior_draws"]

METHODS = ("resampled", "guide")
r"""How draws are made."""
ROWS = 50
r"""The number of data that are drawn for together, from one seed."""
BUDGET = 2**29
r"""The number of bytes that intermediate results of the model may take."""

Groups = dict[str, dict[str, np.ndarray]]
Part = dict[str, dict[str, Tensor]]


def posterior_draws(
    run: Run,
    split: str = "test",
    *,
    limit: int | None = None,
    draws: int = 500,
    particles: int = 1000,
    method: str = "resampled",
    seed: int = 0,
    vectorized: bool = True,
    memory: int = 2**32,
) -> Groups:
    r"""Draws :math:`z_i \sim p(z \mid x_i)` for data of a run, and what goes with them.

    Example:
        >>> from types import SimpleNamespace
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> batch = {"x": model(n=8).detach(), "index": torch.arange(8)}
        >>> guide = Amortized(model.posterior)
        >>> run = SimpleNamespace(model=model, guide=guide, batch=lambda *_: batch)
        >>> found = posterior_draws(run, draws=20)
        >>> found["posterior"]["z"].shape, found["posterior_predictive"]["x"].shape
        ((1, 20, 8, 2), (1, 20, 8, 5))

    References:
        | Using the SIR Algorithm to Simulate Posterior Distributions
        | (Rubin, 1988, in Bayesian Statistics 3)
        | https://global.oup.com/academic/product/bayesian-statistics-3-9780198522201

    Arguments:
        run: The run, or anything with its ``model``, ``guide`` and ``batch``.
        split: The split of the data.
        limit: The number of data, chosen at random; None for all.
        draws: The number of draws for each datum.
        particles: The number of draws of the guide that they are chosen from.
        method: ``"resampled"``: draws of the guide, chosen with probability
            :math:`w_k / \sum_k w_k`, with repetitions; they are no better than the ``ess`` of the
            weights. ``"guide"``: as many draws of the guide, as they are, with their weights.
        seed: The seed of all that is drawn.
        vectorized: Whether draws are made at once; programs that reshape them need False.
        memory: The number of bytes that the result may take.

    Returns:
        By group and variable, each with shape ``(1, draws, n, *shape)``: ``posterior``,
        ``posterior_predictive``, ``log_likelihood`` (:math:`\log p(x_i \mid z_i)`, named as the
        observed site, or ``joint`` if there are several), as many draws of ``prior`` and
        ``prior_predictive``, and ``sample_stats``: ``log_weight``, ``log_prior`` and
        ``log_guide``. With shape ``(n, *shape)``: ``observed_data``, and ``constant_data``:
        ``index``, what the model is given besides, and of all draws of the guide
        ``log_evidence``, ``ess`` and ``khat``. Densities are in nats, of data as the programs see
        them.

    Raises:
        ValueError: If a number is not positive, the method is unknown, the result would take too
            much memory, the model takes no ``n`` or observes a site that it does not take by the
            same name, or as :func:`~ppl_vae.weights.log_weights`.
    """
    if method not in METHODS or draws < 1 or particles < 1:
        raise ValueError(
            f"Draws are made by one of {METHODS}, and take one draw and one particle or more; got "
            f"method={method!r}, draws={draws} and particles={particles}."
        )

    model, guide, batch = run.model, run.guide, run.batch(split, limit, seed)
    cuda = {p.device for m in modules_of(model, guide) for p in m.parameters() if p.is_cuda}

    with evaluating(model, guide), preserving(model, guide), torch.random.fork_rng(devices=cuda):
        torch.manual_seed(seed)
        draw = _Draw(model, guide, next(_parts(batch, 1)), draws)
        draw.check(len(batch["index"]), memory)
        parts = []

        for i, rows in enumerate(_parts(batch, ROWS)):
            torch.manual_seed((seed * 1_000_003 + i) % 2**63)
            parts.append(draw(rows, particles if method == "resampled" else None, vectorized))

    return _joined(parts, batch["index"])


class _Draw:
    r"""Draws for some of the data.

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`.
        first: The first datum.
        draws: The number of draws for each datum.
    """

    def __init__(self, model: Any, guide: Any, first: dict[str, Any], draws: int) -> None:
        self.model, self.guide, self.draws = model, guide, draws
        weights = log_weights(model, guide, first)
        weights.check_local()
        self.observed, taken = list(weights.observed), by_name(model, first)

        if not set(self.observed) <= set(taken):
            raise ValueError(
                "What the model observes can be drawn if it takes it by the same name; it "
                f"observes {self.observed} and takes {list(taken)}."
            )

        laws = {name: site.p for name, site in weights.sites.items()}
        laws |= {name: seen.law for name, seen in weights.observed.items()}
        self.dims = {name: len(law.event_shape) for name, law in laws.items()}
        self.depth = plate_depth(model, guide, first)
        self.budget = max(BUDGET // bytes_per_row(model, guide, first), 1)
        one = simulate(model, 1, self.given(first)).values()
        # The values, twice, and four densities in double precision.
        self.bytes = 2 * sum(v.numel() * v.element_size() for v in one) + 4 * 8

    def given(self, rows: dict[str, Any]) -> dict[str, Any]:
        r"""What the model is called with besides what it observes."""
        return {k: v for k, v in by_name(self.model, rows).items() if k not in self.observed}

    def check(self, n: int, memory: int) -> None:
        r"""Raises a ValueError if the result would be too large."""
        size = n * self.draws * self.bytes

        if size > memory:
            raise ValueError(
                f"{self.draws} draws for {n} data take {size / 2**30:.1f} GiB, more than the "
                f"{memory / 2**30:.1f} GiB of memory; give a limit of data, or fewer draws."
            )

    def __call__(self, rows: dict[str, Any], particles: int | None, vectorized: bool) -> Part:
        r"""The groups, without chains; a number of particles asks for resampling."""
        every = draw_particles(
            self.model,
            self.guide,
            rows,
            particles or self.draws,
            dims=self.dims,
            depth=self.depth,
            budget=self.budget,
            vectorized=vectorized,
        )
        kept = every.resampled(self.draws) if particles else every
        drawn, prior = (self.predicted(rows, values) for values in (kept.values, None))
        seen = distributions(self.model, rows)
        name = self.observed[0] if len(self.observed) == 1 else "joint"
        return {
            "posterior": {k: self.plain(k, v) for k, v in kept.values.items()},
            "posterior_predictive": {k: drawn[k] for k in self.observed},
            "log_likelihood": {name: kept.likelihood.double()},
            "prior": {k: self.plain(k, prior[k]) for k in kept.values},
            "prior_predictive": {k: prior[k] for k in self.observed},
            "sample_stats": {
                "log_weight": kept.log_weight.double(),
                "log_prior": kept.prior.double(),
                "log_guide": kept.guide.double(),
            },
            "observed_data": {k: self.seen(k, seen[k][1]) for k in self.observed},
            "constant_data": {
                **{k: v.cpu() for k, v in self.given(rows).items() if _has_rows(v)},
                **every.estimates(),
            },
        }

    def predicted(
        self, rows: dict[str, Any], latent: Mapping[str, Tensor] | None
    ) -> dict[str, Tensor]:
        r"""All sites of the model, drawn for each datum."""
        drawn = predictions(
            self.model,
            self.given(rows),
            len(rows["index"]),
            self.draws,
            latent,
            dims=self.dims,
            budget=self.budget,
        )
        return {k: self.plain(k, v) if k in self.observed else v for k, v in drawn.items()}

    def plain(self, name: str, value: Tensor) -> Tensor:
        r"""Without the plates of other sites, which have one element here."""
        plates = range(2, value.ndim - self.dims[name])
        return value.squeeze([i for i in plates if value.shape[i] == 1])

    def seen(self, name: str, value: Tensor) -> Tensor:
        r"""Data, with the shape of what is drawn in their place."""
        return self.plain(name, rows_first(value.cpu()[None], self.dims[name]))[0]


def _parts(batch: Mapping[str, Any], size: int) -> Iterator[dict[str, Any]]:
    for start in range(0, len(batch["index"]), size):
        yield {k: v[start : start + size] if _has_rows(v) else v for k, v in batch.items()}


def _has_rows(value: Any) -> bool:
    return isinstance(value, Tensor) and value.ndim > 0


def _joined(parts: list[Part], index: Tensor) -> Groups:
    found: Groups = {}

    for group, values in parts[0].items():
        data = group in ("observed_data", "constant_data")
        joined = {k: torch.cat([p[group][k] for p in parts], 0 if data else 1) for k in values}
        # One chain.
        found[group] = {k: (v if data else v[None]).numpy() for k, v in joined.items()}

    found["constant_data"]["index"] = index.cpu().numpy()
    return found
