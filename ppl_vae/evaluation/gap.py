r"""What a guide costs, and whose fault it is.

.. math::
    \log p(x) - \mathrm{ELBO} = \underbrace{\log p(x) - \mathcal{L}^*}_\text{family} +
        \underbrace{\mathcal{L}^* - \mathrm{ELBO}}_\text{amortization}

where :math:`\mathcal{L}^*` is the ELBO of the best posterior of the guide's family for each datum
by itself, and :math:`\log p(x)` is taken from annealed importance sampling or importance weighting,
whichever is higher: both are lower bounds on average.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..weights import Program
from .annealing import annealed_evidence
from .importance import log_evidence
from .misfit import Misfit
from .refine import refine
from .reweight import guide_misfit

__all__ = ["Gap", "inference_gap"]

SMALL = 0.5
r"""A gap in nats that is small beside what else a model lacks."""
MANY = 10
r"""The number of particles that it takes, and of data under which nothing is concluded."""


@dataclass(frozen=True)
class Gap:
    r"""The inference gap of :math:`n` data, each field with shape ``(n,)``, in nats per datum."""

    elbo: Tensor
    r"""The ELBO of the guide as it is."""
    refined: Tensor
    r"""The ELBO :math:`\mathcal{L}^*` of the posterior refined for each datum."""
    log_evidence: Tensor
    r"""The higher of the two estimates of :math:`\log p(x)`, on average over the data."""
    estimator: str = ""
    r"""Which of them it is."""
    halfway: Tensor | None = None
    r"""The refined ELBO after half of the steps, which tells whether it had settled."""
    misfit: Misfit | None = None
    r"""In what the guide differs from the posterior, of 100 of the data at most."""

    def __len__(self) -> int:
        return len(self.elbo)

    @property
    def amortization(self) -> Tensor:
        r"""What the encoder costs, with shape ``(n,)``."""
        return self.refined.double() - self.elbo.double()

    @property
    def family(self) -> Tensor:
        r"""What the posterior's family costs, with shape ``(n,)``."""
        return self.log_evidence.double() - self.refined.double()

    def summary(self) -> dict[str, Any]:
        r"""Means over the data with their standard errors, paired by datum, and a verdict."""
        parts = {
            "amortization_gap": self.amortization,
            "family_gap": self.family,
            "inference_gap": self.amortization + self.family,
        }
        found: dict[str, Any] = {
            "estimator": f"refined ELBO, {self.estimator}",
            "n": len(self),
            "elbo": self.elbo.double().mean().item(),
            "refined_elbo": self.refined.double().mean().item(),
            "log_p": self.log_evidence.double().mean().item(),
        }
        if self.halfway is not None:
            late = self.refined.double() - self.halfway.double()
            found["refined_late"] = late.mean().item()
        for name, values in parts.items():
            error = values.std().item() / len(self) ** 0.5 if len(self) > 1 else math.nan
            found |= {name: values.mean().item(), f"{name}_error": error}

        found["misfit"] = None if self.misfit is None else self.misfit.summary()
        level, verdict = _judged(found)
        return {**found, "level": level, "verdict": verdict}

    def arrays(self) -> dict[str, np.ndarray]:
        r"""The numbers of each datum."""
        parts = {"amortization": self.amortization, "family": self.family}
        every = {**{k: v for k, v in vars(self).items() if isinstance(v, Tensor)}, **parts}
        return {k: v.cpu().numpy() for k, v in every.items()}


def inference_gap(
    model: Program,
    guide: Any,
    batch: Mapping[str, Tensor] | Tensor,
    *,
    particles: int = 1000,
    refinement: int = 200,
    steps: int = 1000,
    chains: int = 16,
    seed: int = 0,
    memory: int = 2**29,
    progress: Callable[[int], None] | None = None,
) -> Gap:
    r"""Splits the inference gap of each datum into amortization and family.

    Example:
        >>> from ppl_vae.conditional import Conditional
        >>> from ppl_vae.families import Normal
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> from ppl_vae.networks import mlp
        >>> model = Linear(features=5, latent=1)
        >>> x = model(n=10).detach()
        >>> guide = Amortized(Conditional((5,), Normal((1,)), mlp()))
        >>> gap = inference_gap(model, guide, x, particles=100, steps=10, refinement=100)
        >>> bool(gap.family.mean() < 0.2 < gap.amortization.mean())
        True

    References:
        | Inference Suboptimality in Variational Autoencoders (Cremer et al., 2018)
        | https://arxiv.org/abs/1801.03558

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`, of one posterior that is a
            :class:`~ppl_vae.conditional.Conditional` of the data, reparameterized.
        batch: The data: the observed sites by name, or the one tensor of data.
        particles: The number of draws that ELBOs are means of, and of importance weighting from
            the refined posterior.
        refinement: The number of steps by which the posterior of each datum is refined.
        steps: The number of steps of annealing; zero leaves annealing out.
        chains: The number of its chains.
        seed: The seed of all draws.
        memory: The number of bytes that intermediate results may take.
        progress: Called with the number of data of each block that is refined.

    Raises:
        ValueError: As :func:`~ppl_vae.evaluation.refine` for guides that cannot be refined, such
            as programs written elsewhere, as :func:`annealed_evidence`, or if there are fewer than
            ten particles or two steps of refinement.
    """
    if particles < MANY:
        raise ValueError(f"The split takes {MANY} particles or more, got {particles}.")
    if refinement < 2:
        raise ValueError(f"The split takes two steps of refinement or more, got {refinement}.")

    refined = refine(model, guide, batch, refinement, seed=seed, progress=progress)
    half = refine(model, guide, batch, refinement // 2, seed=seed)
    options: dict[str, Any] = {"seed": seed, "memory": memory}
    rows = _numbered(batch)
    halfway = log_evidence(model, half, rows, min(particles, 100), **options).elbo.cpu()
    before = log_evidence(model, guide, batch, particles, **options)
    after = log_evidence(model, refined, rows, particles, **options)
    found = {"importance weighting from the refined posterior": after.log_evidence}

    if steps:
        annealed = annealed_evidence(model, guide, batch, steps=steps, chains=chains, **options)
        found["annealed importance sampling"] = annealed.log_evidence

    best = max(found, key=lambda name: found[name].double().mean().item())
    misfit = guide_misfit(model, guide, batch, min(particles, 1000), seed=seed, memory=memory)
    return Gap(before.elbo.cpu(), after.elbo.cpu(), found[best].cpu(), best, halfway, misfit)


def _numbered(batch: Mapping[str, Tensor] | Tensor) -> Any:
    # A refined guide tells the data apart by their number.
    sites = dict(batch) if isinstance(batch, Mapping) else {"x": torch.as_tensor(batch)}
    return {**sites, "index": torch.arange(len(next(iter(sites.values()))))}


def _judged(found: dict[str, Any]) -> tuple[str, str]:
    whole, family = found["inference_gap"], found["family_gap"]
    amortization = found["amortization_gap"]
    told = {}
    for part in ("inference", "amortization", "family"):
        error = found[f"{part}_gap_error"]
        told[part] = f"{found[f'{part}_gap']:.2f}" + (
            "" if math.isnan(error) else f" ± {error:.2f}"
        )
    head = (
        f"The ELBO is {told['inference']} nats below the best estimate of log p(x): "
        f"{told['amortization']} for the encoder that all data share, {told['family']} for the "
        "posterior's family."
    )

    if found["n"] < MANY:
        return "fair", f"{head} So few data tell little: take 50 or more."
    if whole < SMALL:
        return "good", (
            f"{head} The guide is not what limits this model: a better log p(x) asks for another "
            "decoder, likelihood or prior."
        )
    misfit = found.get("misfit")
    if misfit is not None and misfit["faults"]:
        head = f"{head} {misfit['verdict']}"
    if found.get("refined_late", 0.0) > max(SMALL / 2, 0.1 * family):
        return "fair" if whole < 10 * SMALL else "poor", (
            f"{head} Refinement had not settled (its second half brought "
            f"{found['refined_late']:.2f} nats more), so that the family's part is smaller than "
            "this, and the encoder's larger: refine by more steps (--refine) before one is blamed."
        )
    if amortization > family:
        cure = "The encoder is at fault: take a wider or deeper one, train longer, or refine."
    else:
        cure = "The family is at fault: take a richer posterior, such as FullRankNormal or Flow."

    return "fair" if whole < 10 * SMALL else "poor", (
        f"{head} {cure} A better guide may let training find a better model, too."
    )
