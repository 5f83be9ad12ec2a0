r"""The evidence :math:`\log p(x)` as importance weighting tells it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import Tensor

from .judgement import judge

__all__ = ["Evidence"]


@dataclass(frozen=True)
class Evidence:
    r"""The evidence of :math:`n` data, each field with shape ``(n,)``, in nats per datum."""

    log_evidence: Tensor
    r"""The estimate of :math:`\log p(x)`: a lower bound on average."""
    standard_error: Tensor
    r"""Its Monte Carlo standard error; NaN for one draw."""
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
            ``bits_per_dim``, the diagnostics ``ess`` (median, min) and ``khat`` (median, max, share
            over 0.7), and a ``verdict`` with its ``level``, ``"good"``, ``"fair"`` or ``"poor"``.

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
        found: dict[str, Any] = {
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
        level, verdict = judge(found)
        return {**found, "level": level, "verdict": verdict}


def _population_error(spread: float, noise: float, n: int, population: int | None) -> float | None:
    if population is None:
        return None
    if population == n:
        return (noise / n) ** 0.5

    sampled = max(spread**2 - noise / n, 0.0) if not math.isnan(spread) else math.nan
    return ((1 - n / population) * sampled + noise / n) ** 0.5
