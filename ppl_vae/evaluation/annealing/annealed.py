r"""The evidence as annealed importance sampling tells it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .settings import Settings

__all__ = ["Annealed", "weighted"]


@dataclass(frozen=True)
class Annealed:
    r"""The evidence of :math:`n` data, each field with shape ``(n,)``, in nats per datum."""

    log_evidence: Tensor
    r"""The estimate of :math:`\log p(x)`: a lower bound on average."""
    standard_error: Tensor
    r"""Its Monte Carlo standard error, over chains."""
    ess: Tensor
    r"""The effective sample size of the chains, between one and their number."""
    acceptance: Tensor
    r"""The share of moves that were accepted; NaN where no site moves."""
    settings: Settings = field(default_factory=Settings)
    r"""How chains were run."""

    def __len__(self) -> int:
        return len(self.log_evidence)

    def shifted(self, log_volumes: Tensor) -> Annealed:
        r"""The evidence of the raw data; see :meth:`ppl_vae.evaluation.Evidence.shifted`."""
        return replace(self, log_evidence=self.log_evidence.double() + log_volumes.cpu())

    def summary(self, dims: float | None = None) -> dict[str, Any]:
        r"""Means over the data, and a verdict.

        Arguments:
            dims: The number of dimensions of a datum; with it, bits per dimension are told.
        """
        n, mean = len(self), self.log_evidence.double().mean().item()
        spread = self.log_evidence.double().std().item() / n**0.5 if n > 1 else math.nan
        level, verdict = _judged(self)
        return {
            "estimator": "annealed importance sampling",
            "n": n,
            "particles": self.settings.chains,
            "steps": self.settings.steps,
            "leapfrog": self.settings.leapfrog,
            "start": self.settings.start,
            "spacing": self.settings.spacing,
            "log_evidence": mean,
            "standard_error": spread,
            "monte_carlo_error": self.standard_error.double().square().sum().sqrt().item() / n,
            "bits_per_dim": None if not dims else -mean / (dims * math.log(2)),
            "ess": {"median": self.ess.quantile(0.5).item(), "min": self.ess.min().item()},
            "acceptance": self.acceptance.mean().item(),
            "level": level,
            "verdict": verdict,
        }

    def arrays(self) -> dict[str, np.ndarray]:
        r"""The numbers of each datum."""
        return {k: v.cpu().numpy() for k, v in vars(self).items() if isinstance(v, Tensor)}


def weighted(log_w: Tensor, dtype: torch.dtype) -> dict[str, Tensor]:
    r"""The estimate, its error and the effective sample size of log weights ``(C, n)``."""
    C = len(log_w)
    share = log_w.softmax(0).square().sum(0)
    found = {
        "log_evidence": log_w.logsumexp(0) - math.log(C),
        "standard_error": (share - 1 / C).clamp(min=0).sqrt(),
        "ess": 1 / share,
    }
    return {name: t.to(dtype) for name, t in found.items()}


def _judged(found: Annealed) -> tuple[str, str]:
    ess = found.ess.quantile(0.5).item() / found.settings.chains
    lost = int((~found.log_evidence.isfinite()).sum())

    if lost:
        return "poor", (
            f"The estimate is not finite for {lost} of {len(found)} data: their density is zero or "
            "NaN along all chains. Bound the scales of the likelihood, or take more chains."
        )
    if found.settings.chains == 1:
        return "poor", "One chain has no error: take more chains, 16 for instance."
    if ess < 0.2:
        return "poor", (
            f"Half of the data have less than {ess:.0%} of the chains to carry the estimate: the "
            "chains do not keep up. Take more steps before this number ranks models."
        )
    if ess < 0.6:
        return "fair", (
            f"The median effective share of the chains is {ess:.0%}: a sound lower bound, which "
            "more steps would raise a little."
        )
    return "good", (
        f"The median effective share of the chains is {ess:.0%}: they keep up with the path. How "
        "far below log p(x) the bound is, bidirectional Monte Carlo tells (--method bdmc)."
    )
