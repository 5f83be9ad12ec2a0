r"""Rate and distortion of a trained decoder."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...weights import Program
from .annealer import Annealer, Kept, Told
from .chain import Watcher
from .point import Point
from .schedule import Spacing, schedule
from .settings import Settings
from .sizes import StepSizes

__all__ = ["RateDistortion", "rate_distortion"]

POINTS = 20
r"""The number of powers at which the curve is told."""


@dataclass(frozen=True)
class RateDistortion:
    r"""The curve of :math:`n` data at :math:`m` powers, in nats per datum."""

    rate: Tensor
    r"""Estimates of the rate, with shape ``(m, n)``: on average at least the divergence from the
    prior of what the weighted chains stand for, which is :math:`q_\beta` for ever more steps."""
    distortion: Tensor
    r"""Estimates of :math:`\mathbb{E}_{q_\beta}[- \log p(x \mid z)]`, with shape ``(m, n)``."""
    betas: Tensor
    r"""The powers :math:`\beta` of the likelihood, with shape ``(m,)``."""
    settings: Settings = field(default_factory=Settings)
    r"""How chains were run."""

    def __len__(self) -> int:
        return self.rate.shape[-1]

    def summary(self) -> dict[str, Any]:
        r"""Means over the data, by power."""
        return {
            "n": len(self),
            "steps": self.settings.steps,
            "particles": self.settings.chains,
            "betas": self.betas.tolist(),
            "rate": self.rate.double().mean(-1).tolist(),
            "distortion": self.distortion.double().mean(-1).tolist(),
        }

    def arrays(self) -> dict[str, np.ndarray]:
        r"""The numbers of each datum."""
        return {k: v.cpu().numpy() for k, v in vars(self).items() if isinstance(v, Tensor)}


def rate_distortion(
    model: Program,
    guide: Program | None,
    batch: Mapping[str, Tensor] | Tensor,
    *,
    steps: int = 1000,
    chains: int = 16,
    leapfrog: int = 2,
    spacing: Spacing = "sigmoid",
    seed: int = 0,
    memory: int = 2**29,
    compile: str = "auto",
    kept: Kept | None = None,
    progress: Callable[[int], None] | None = None,
) -> RateDistortion:
    r"""Estimates what a decoder could do at each rate, with any encoder.

    .. math::
        q_\beta(z) & \propto p(z) \, p(x \mid z)^\beta \\
        D_\beta & = - \mathbb{E}_{q_\beta} [\log p(x \mid z)] \\
        R_\beta & = - \beta D_\beta - \log \frac{1}{C} \sum_c w_c

    along the chains of annealed importance sampling from the prior, which are an encoder
    themselves: a point that can be reached, if not the best one. At :math:`\beta = 1` the sum of
    both is the estimate of :math:`- \log p(x)`. The guide's own point, its KL and less its
    reconstruction, lies above the curve by what the guide costs.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> x = model(n=10).detach()
        >>> curve = rate_distortion(model, Amortized(model.posterior), x, steps=20)
        >>> bool(curve.rate[-1].mean() > curve.rate[0].mean())
        True

    References:
        | Evaluating Lossy Compression Rates of Deep Generative Models (Huang et al., 2020)
        | https://arxiv.org/abs/2008.06653

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`, which is not asked: chains start from the prior.
        batch: The data: the observed sites by name, or the one tensor of data.
        steps: As for :func:`annealed_evidence`, and so are the arguments that follow.
        chains: The number of chains of each datum.
        leapfrog: The number of leapfrog steps of each transition.
        spacing: How the powers are spaced.
        seed: The seed of all draws.
        memory: The number of bytes that intermediate results may take.
        compile: How gradients are run.
        kept: Finished blocks of data by number; those that are there are not run again.
        progress: Called with numbers of data that add up to all; steps taken count as parts.

    Raises:
        ValueError: As :func:`annealed_evidence`.
    """
    settings = Settings(steps, chains, leapfrog, "prior", spacing, seed)
    annealer = Annealer(model, guide, batch, settings, memory, compile)
    at = torch.linspace(0, steps, min(POINTS, steps) + 1).long()[1:]
    betas = schedule(steps, spacing)[at]

    def curve(part: slice, rows: Any, sizes: StepSizes, told: Told) -> dict[str, Tensor]:
        seen: list[tuple[Tensor, Tensor]] = []
        watch = _watcher(set(at.tolist()), annealer.betas, seen)
        annealer.lower(part, rows, sizes, told, watch=watch)
        rate, distortion = zip(*seen, strict=True)
        return {"rate": torch.stack(rate), "distortion": torch.stack(distortion)}

    return RateDistortion(**annealer.run(curve, kept, progress), betas=betas, settings=settings)


def _watcher(at: set[int], betas: Tensor, seen: list[tuple[Tensor, Tensor]]) -> Watcher:
    def watch(t: int, log_w: Tensor, point: Point) -> None:
        if t in at:
            share, likelihood = log_w.softmax(0), point.likelihood.cpu().double()
            # A chain without weight may be where the likelihood is zero.
            d = -torch.where(share > 0, share * likelihood, 0.0).sum(0)
            log_z = log_w.logsumexp(0) - math.log(len(log_w))
            seen.append((-betas[t] * d - log_z, d))

    return watch
