r"""The evidence :math:`\log p(x)`, by importance sampling.

For each datum, :math:`K` draws :math:`z_k \sim q(z \mid x)` with weights :math:`w_k` estimate

.. math:: \log \hat{p}(x) = \log \frac{1}{K} \sum_{k=1}^K w_k

which is at most :math:`\log p(x)` on average, rises with :math:`K`, and converges to it if the
guide may draw whatever the model may. Its Monte Carlo standard error follows from the spread of the
weights (the delta method),

.. math:: \mathrm{se}^2 = \frac{\sum_k w_k^2}{(\sum_k w_k)^2} - \frac{1}{K}

and is to be trusted where the tail of the weights is light; see :func:`khat`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pyro
import torch
from torch import Tensor

from ..modules import evaluating, modules_of
from ..staging import check_backend
from ..weights import Program, log_weights, plate_depth, sites_left_out
from .blocks import BLOCK, Draw, draw_weights, estimates, staged
from .memory import bytes_per_row
from .rows import Rows

__all__ = ["Evidence", "log_evidence"]


@dataclass(frozen=True)
class Evidence:
    r"""The evidence of :math:`n` data, each field with shape ``(n,)``, in nats per datum."""

    log_evidence: Tensor
    r"""The estimate of :math:`\log p(x)`: a lower bound on average."""
    standard_error: Tensor
    r"""Its Monte Carlo standard error."""
    elbo: Tensor
    r"""The mean log weight: the ELBO, from the same draws."""
    reconstruction: Tensor
    r"""The mean of :math:`\log p(x \mid z)`."""
    kl: Tensor
    r"""The mean of :math:`\log q(z \mid x) - \log p(z)`."""
    ess: Tensor
    r"""The effective sample size :math:`(\sum w)^2 / \sum w^2`, between 1 and :math:`K`."""
    khat: Tensor
    r"""The shape of the tail of the weights."""
    particles: int = 0
    r"""The number :math:`K` of draws for each datum."""
    left_out: tuple[str, ...] = ()
    r"""The latent sites of which the guide never draws a part that the model may draw: where there
    are any, the estimate does not converge to :math:`\log p(x)`, but to less."""

    def __len__(self) -> int:
        return len(self.log_evidence)

    def shifted(self, log_volumes: Tensor) -> Evidence:
        r"""The evidence of the raw data, of which these are a transform.

        Arguments:
            log_volumes: The log volume, in nats, by which the transform changed the density of
                each datum, with shape ``(n,)``; it differs where entries are missing.
        """
        changed = log_volumes.to(self.log_evidence.device)
        names = ("log_evidence", "elbo", "reconstruction")
        return replace(self, **{name: getattr(self, name).double() + changed for name in names})

    def summary(self, dims: float | None = None, log_volume: float = 0.0) -> dict[str, Any]:
        r"""Means over the data.

        Arguments:
            dims: The number of dimensions of a datum, those of entries that are not missing, on
                average; with it, bits per dimension are told.
            log_volume: The log volume, in nats per datum, by which a transform of the data
                changed densities; it is added, so that the numbers are those of the raw data.

        Returns:
            ``log_evidence`` (nats per datum) with its ``standard_error`` over the data (what
            another test set of this size would change) and its ``monte_carlo_error`` (what other
            draws would change), ``elbo``, ``reconstruction``, ``kl``, ``bits_per_dim``, and the
            diagnostics ``ess`` (median, min) and ``khat`` (median, max, share over 0.7).
        """
        n = len(self)
        mean = self.log_evidence.double().mean().item() + log_volume
        spread = self.log_evidence.double().std().item() / n**0.5 if n > 1 else math.nan
        tails = self.khat[self.khat.isnan().logical_not()]
        return {
            "estimator": "importance weighting",
            "particles": self.particles,
            "n": n,
            "left_out": list(self.left_out),
            "log_evidence": mean,
            "standard_error": spread,
            "monte_carlo_error": self.standard_error.double().square().sum().sqrt().item() / n,
            "elbo": self.elbo.double().mean().item() + log_volume,
            "reconstruction": self.reconstruction.double().mean().item() + log_volume,
            "kl": self.kl.double().mean().item(),
            "bits_per_dim": None if not dims else -mean / (dims * math.log(2)),
            "ess": {"median": self.ess.quantile(0.5).item(), "min": self.ess.min().item()},
            "khat": {
                "median": tails.quantile(0.5).item() if len(tails) else None,
                "max": tails.max().item() if len(tails) else None,
                "share_over_0.7": (tails > 0.7).double().mean().item() if len(tails) else None,
            },
        }


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

    Raises:
        ValueError: As :func:`~ppl_vae.weights.log_weights`, if there are no data or no particles,
            or if a site lies outside of the plate of the data.
    """
    devices = {p.device for m in modules_of(model, guide) for p in m.parameters()}
    home = next(iter(devices)) if len(devices) == 1 else None
    rows = Rows(batch, home)

    if len(rows) == 0:
        raise ValueError("There are no data to evaluate; the batch is empty.")
    if particles < 1:
        raise ValueError(f"The number of particles must be positive, got {particles}.")

    check_backend(compile, home)
    cuda = [device for device in devices if device.type == "cuda"]

    with evaluating(model, guide), torch.random.fork_rng(devices=cuda):
        budget = max(memory // bytes_per_row(model, guide, rows[:1]), 1)
        _check(model, guide, rows, min(budget, 1000))
        depth = plate_depth(model, guide, rows[:1])
        draw: Draw = partial(
            draw_weights, model, guide, depth=depth, budget=budget, vectorized=vectorized
        )

        with pyro.validation_enabled(False):
            blocks = -(-len(rows) // BLOCK[1]) * -(-particles // BLOCK[0])
            first = rows[: BLOCK[1]], min(BLOCK[0], particles)
            draw = staged(draw, (model, guide), compile, first, blocks)
            found = _estimates(draw, rows, particles, seed, progress)

        left_out = tuple(sites_left_out(model, guide, rows[:1000]))

    return Evidence(**found, particles=particles, left_out=left_out)


def _check(model: Program, guide: Program, rows: Rows, size: int) -> None:
    # Every datum goes through every check once; afterwards they are off.
    with pyro.validation_enabled(True):
        for start in range(0, len(rows), size):
            log_weights(model, guide, rows[start : start + size]).check_local()


def _estimates(
    draw: Draw, rows: Rows, particles: int, seed: int, progress: Callable[[int], None] | None
) -> dict[str, Tensor]:
    done: list[dict[str, Tensor]] = []

    for i, start in enumerate(range(0, len(rows), BLOCK[1])):
        done.append(estimates(draw, rows[start : start + BLOCK[1]], particles, (seed, i)))
        if progress is not None:
            progress(min(BLOCK[1], len(rows) - start))

    return {name: torch.cat([part[name] for part in done]) for name in done[0]}
