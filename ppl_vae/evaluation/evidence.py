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

import math
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyro
import torch
from torch import Tensor

from ..modules import evaluating, modules_of
from ..staging import check_backend
from ..weights import Program, log_weights, sites_left_out
from .blocks import BLOCK
from .defensive import prior_draws
from .memory import bytes_per_row
from .plan import Plan
from .rows import Rows
from .sobol import check_points

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
    defensive: float = 0.0
    r"""The share of the draws that came from the prior."""
    draws: str = "random"
    r"""``"random"``, or ``"sobol"``: where the noise of the draws came from."""

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

    def arrays(self) -> dict[str, np.ndarray]:
        r"""The numbers per datum as arrays, by field, each with shape ``(n,)``."""
        return {k: v.cpu().numpy() for k, v in vars(self).items() if isinstance(v, Tensor)}

    @property
    def estimator(self) -> str:
        r"""How the evidence was estimated: only what is the same stands side by side."""
        told = [f"{self.defensive:.3g} of the draws from the prior"] * (self.defensive > 0)
        told += ["Sobol points"] * (self.draws == "sobol")
        return ", ".join(["importance weighting", *told])

    def summary(
        self, dims: float | None = None, log_volume: float = 0.0, population: int | None = None
    ) -> dict[str, Any]:
        r"""Means over the data.

        The errors are of the mean. Its ``standard_error`` over the data is that for all data there
        might be; other draws are a part of it, for they add to the spread over data. If what is
        asked for is the mean over a finite test set of :math:`N` data, ``population_error`` is it:

        .. math:: \mathrm{se}_N^2 = \Big( 1 - \frac{n}{N} \Big) \frac{s^2 - \bar{e^2}}{n}
            + \frac{\bar{e^2}}{n}

        with the variance :math:`s^2` over the data and the mean :math:`\bar{e^2}` of the squared
        Monte Carlo errors. Where all :math:`N` were evaluated, the Monte Carlo error alone is left.
        None covers another training, nor the ``bias``.

        References:
            | Sampling Techniques (Cochran, 1977), chapter 2
            | https://www.wiley.com/en-us/9780471162407

        Arguments:
            dims: The number of dimensions of a datum, those of entries that are not missing, on
                average; with it, bits per dimension are told.
            log_volume: The log volume, in nats per datum, by which a transform of the data
                changed densities; it is added, so that the numbers are those of the raw data.
            population: The number :math:`N` of data in the set that these were chosen from at
                random; None where that is not known.

        Returns:
            ``log_evidence`` (nats per datum) with its ``standard_error`` over the data (what
            another test set of this size would change), its ``monte_carlo_error`` (what other
            draws would change), its ``population_error`` and its ``bias`` (what the logarithm of
            an average falls short by, to first order), ``elbo``, ``reconstruction``, ``kl``,
            ``bits_per_dim``, and the diagnostics ``ess`` (median, min) and ``khat`` (median, max,
            share over 0.7).

        Raises:
            ValueError: If the population is smaller than the data.
        """
        n = len(self)
        if population is not None and population < n:
            raise ValueError(f"There are {n} data, but no more than {population} to choose from.")

        mean = self.log_evidence.double().mean().item() + log_volume
        spread = self.log_evidence.double().std().item() / n**0.5 if n > 1 else math.nan
        noise = self.standard_error.double().square().mean().item()
        tails = self.khat[self.khat.isnan().logical_not()]
        return {
            "estimator": self.estimator,
            "particles": self.particles,
            "defensive": self.defensive,
            "draws": self.draws,
            "n": n,
            "left_out": list(self.left_out),
            "log_evidence": mean,
            "standard_error": spread,
            "monte_carlo_error": self.standard_error.double().square().sum().sqrt().item() / n,
            "population": population,
            "population_error": _population_error(spread, noise, n, population),
            "bias": -noise / 2,
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


def _population_error(spread: float, noise: float, n: int, population: int | None) -> float | None:
    if population is None:
        return None
    if population == n:
        return (noise / n) ** 0.5

    sampled = max(spread**2 - noise / n, 0.0) if not math.isnan(spread) else math.nan
    return ((1 - n / population) * sampled + noise / n) ** 0.5


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
    devices = {p.device for m in modules_of(model, guide) for p in m.parameters()}
    home = next(iter(devices)) if len(devices) == 1 else None
    rows = Rows(batch, home)
    _check_options(len(rows), particles, defensive, draws, vectorized)
    own = prior_draws(particles, defensive)
    check_backend(compile, home)
    cuda = [device for device in devices if device.type == "cuda"]

    with evaluating(model, guide), torch.random.fork_rng(devices=cuda):
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
