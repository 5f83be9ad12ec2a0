r"""How much of a stochastic gradient is signal."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..modules import modules_of, preserving
from ..weights import Batch, Program
from ..weights.traces import by_name

__all__ = ["signal_to_noise"]


def signal_to_noise(
    objective: Any,
    model: Program,
    guide: Program,
    batch: Batch,
    draws: int = 100,
    *,
    seed: int = 0,
) -> dict[str, float]:
    r"""Estimates the signal-to-noise ratio of the gradient of an objective.

    .. math:: \mathrm{SNR} = \frac{1}{P} \sum_{i=1}^P
        \frac{| \mathbb{E}[g_i] |}{\sqrt{\operatorname{Var}[g_i]}}

    over the :math:`P` elements of the gradient that have a variance, for the parameters of the
    model and those of the guide, of the draws of a fixed batch. With few draws it is no smaller
    than noise alone makes it: :math:`\sqrt{2 / (\pi R)}` for :math:`R` draws.

    No parameter, buffer or random state changes.

    Example:
        >>> from ppl_vae.conditional import Conditional
        >>> from ppl_vae.families import Normal
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> from ppl_vae.networks import mlp
        >>> from ppl_vae.objectives import IWAE
        >>> model = Linear(features=5, latent=2)
        >>> guide = Amortized(Conditional((5,), Normal((2,)), mlp([8])))
        >>> found = signal_to_noise(IWAE(), model, guide, model(n=10).detach(), draws=20)
        >>> found["model"] > 0 and found["guide"] > 0
        True

    References:
        | Tighter Variational Bounds are Not Necessarily Better (Rainforth et al., 2018)
        | https://arxiv.org/abs/1802.04537

    Arguments:
        objective: The objective, of this library.
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`.
        batch: The data.
        draws: The number :math:`R` of gradients.
        seed: The seed of the draws.

    Returns:
        The ratio by ``"model"`` and ``"guide"``; one without parameters of its own, or noise, is
        left out, and what both share counts as the model's.

    Raises:
        ValueError: If there are fewer than two draws, or the programs are no modules with
            parameters.
    """
    if draws < 2:
        raise ValueError(f"A variance takes two draws or more, got {draws}.")

    groups = _parameters(model, guide)
    every = [p for group in groups.values() for p in group]
    if not every:
        raise ValueError("The programs are no modules with parameters that require a gradient.")

    kwargs = by_name(model, batch)
    moments = [(torch.zeros_like(p).double(), torch.zeros_like(p).double()) for p in every]

    with preserving(model, guide, objective):
        torch.manual_seed(seed)
        for i in range(draws):
            loss = objective.differentiable_loss(model, guide, **kwargs)
            for g, (mean, squares) in zip(_gradient(loss, every), moments, strict=True):
                # Welford's sums, which do not cancel.
                away = g - mean
                mean += away / (i + 1)
                squares += away * (g - mean)

    found = {
        id(p): _ratio(mean, squares / (draws - 1), draws * torch.finfo(p.dtype).eps)
        for p, (mean, squares) in zip(every, moments, strict=True)
    }
    ratios = {role: torch.cat([found[id(p)] for p in g]) for role, g in groups.items() if g}
    return {role: float(ratio.mean()) for role, ratio in ratios.items() if len(ratio)}


def _parameters(model: Program, guide: Program) -> dict[str, list[torch.nn.Parameter]]:
    known: set[int] = set()
    groups: dict[str, list[torch.nn.Parameter]] = {}

    for role, program in (("model", model), ("guide", guide)):
        found = [p for m in modules_of(program) for p in m.parameters() if p.requires_grad]
        groups[role] = [p for p in found if id(p) not in known]
        known |= {id(p) for p in found}

    return groups


def _gradient(loss: Tensor, parameters: list[torch.nn.Parameter]) -> list[Tensor]:
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def _ratio(mean: Tensor, variance: Tensor, rounding: float) -> Tensor:
    # What varies by rounding alone has no noise.
    noisy = variance > (rounding * mean).square()
    return mean[noisy].abs() / variance[noisy].sqrt()
