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
    r"""Its Monte Carlo standard error, over chains; NaN for one."""
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
            "chains": self.settings.chains,
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
    # One chain tells no error.
    squared = (share - 1 / C).clamp(min=0) if C > 1 else torch.full_like(share, torch.nan)
    found = {
        "log_evidence": log_w.logsumexp(0) - math.log(C),
        "standard_error": squared.sqrt(),
        "ess": 1 / share,
    }
    return {name: t.to(dtype) for name, t in found.items()}


def _judged(found: Annealed) -> tuple[str, str]:
    C, ess = found.settings.chains, found.ess.quantile(0.5).item()
    # One chain that carries all has an effective size of one, however few there are.
    share = (ess - 1) / max(C - 1, 1)
    lost = int((~found.log_evidence.isfinite()).sum())

    if lost:
        return "poor", (
            f"The estimate is not finite for {lost} of {len(found)} data: their density is zero or "
            "NaN along all chains. Bound the scales of the likelihood, or take more chains."
        )
    if C == 1:
        return "poor", "One chain has no error: take more chains, 16 for instance."
    if share < 0.1:
        return "poor", (
            f"Of {C} chains one carries the estimate of half of the data or more (median effective "
            f"size {ess:.1f}): they do not keep up, the estimate is far too low and its Monte "
            "Carlo error too small. Take more steps before this number ranks models."
        )
    if share < 0.5:
        return "fair", (
            f"The median effective size of {C} chains is {ess:.1f}: a lower bound, which more "
            "steps would raise."
        )
    return "good", (
        f"The median effective size of {C} chains is {ess:.1f}: they keep up with the path. How "
        "far below log p(x) the bound is, bidirectional Monte Carlo tells (--method bdmc)."
    )
