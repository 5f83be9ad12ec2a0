r"""How much of a stochastic gradient is signal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ..modules import modules_of, preserving
from ..weights import Batch, Program
from ..weights.traces import arguments

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
    model and those of the guide, of the draws of a fixed batch. Where an objective has several
    players, each program's gradient is that of the loss which its player follows. With few draws
    it is no smaller than noise alone makes it: :math:`\sqrt{2 / (\pi R)}` for :math:`R` draws.

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
    if not any(groups.values()):
        raise ValueError(
            "A signal is that of the parameters of modules, and the programs hold none that "
            "require a gradient."
        )

    found: dict[str, Tensor] = {}

    with preserving(model, guide, objective):
        for player in objective.players():
            # What a player before it holds is not its own.
            own = {name: groups[name] for name in groups if name in player.trains}
            own = {name: held for name, held in own.items() if held and name not in found}
            if own:
                torch.manual_seed(seed)
                loss = partial(_loss, player, model, guide, batch)
                found |= _ratios(loss, own, draws)

    return {name: float(ratio.mean()) for name, ratio in found.items() if len(ratio)}


def _loss(player: Any, model: Program, guide: Program, batch: Batch) -> Tensor:
    args, kwargs = arguments(batch)
    loss: Tensor = player.estimate(model, guide, *args, **kwargs).loss
    return loss


def _ratios(
    loss: Callable[[], Tensor], groups: Mapping[str, list[nn.Parameter]], draws: int
) -> dict[str, Tensor]:
    every = [p for group in groups.values() for p in group]
    moments = [(torch.zeros_like(p).double(), torch.zeros_like(p).double()) for p in every]

    for i in range(draws):
        for g, (mean, squares) in zip(_gradient(loss(), every), moments, strict=True):
            # Welford's sums, which do not cancel.
            away = g - mean
            mean += away / (i + 1)
            squares += away * (g - mean)

    ratios = {
        id(p): _ratio(mean, squares / (draws - 1), draws * torch.finfo(p.dtype).eps)
        for p, (mean, squares) in zip(every, moments, strict=True)
    }
    return {name: torch.cat([ratios[id(p)] for p in group]) for name, group in groups.items()}


def _parameters(model: Program, guide: Program) -> dict[str, list[nn.Parameter]]:
    known: set[int] = set()
    groups: dict[str, list[nn.Parameter]] = {}

    for role, program in (("model", model), ("guide", guide)):
        found = [p for m in modules_of(program) for p in m.parameters() if p.requires_grad]
        groups[role] = [p for p in found if id(p) not in known]
        known |= {id(p) for p in found}

    return groups


def _gradient(loss: Tensor, parameters: list[nn.Parameter]) -> list[Tensor]:
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, found, strict=True)]


def _ratio(mean: Tensor, variance: Tensor, rounding: float) -> Tensor:
    # What varies by rounding alone has no noise.
    noisy = variance > (rounding * mean).square()
    return mean[noisy].abs() / variance[noisy].sqrt()
