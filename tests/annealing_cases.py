r"""Programs whose evidence is known, for the laws of annealing."""

from __future__ import annotations

import itertools

import torch
from torch import Tensor

from ppl_vae import families, priors
from ppl_vae.conditional import Conditional
from ppl_vae.evaluation.annealing import Sandwich
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE, Linear
from ppl_vae.networks import mlp


def linear(n: int, features: int = 6, latent: int = 2) -> tuple[Linear, Amortized, Tensor]:
    model = Linear(features, latent, scale=0.7)
    return model, Amortized(model.posterior), model(n=n).detach()


def coins(n: int, d: int = 3) -> tuple[VAE, Amortized, Tensor]:
    r"""A VAE of binary latent variables, whose evidence is a sum over all of them."""
    model = VAE(
        priors.Bernoulli((d,), learned=True),
        Conditional((d,), families.Normal((4,), scale=0.5), mlp([8])),
    )
    guide = Amortized(Conditional((4,), families.Bernoulli((d,)), mlp([8])))
    with torch.no_grad():
        return model, guide, model(n=n)


def summed(model: VAE, x: Tensor, d: int = 3) -> Tensor:
    z = torch.tensor(list(itertools.product([0.0, 1.0], repeat=d)))
    log_p = model.likelihood(z[:, None].expand(-1, len(x), -1)).log_prob(x)
    return (log_p + model.prior().log_prob(z)[:, None]).logsumexp(0)


def sandwiches(found: Sandwich, exact: Tensor, size: int = 10) -> int:
    r"""How many of the sandwiches of ten data each hold their exact mean."""
    held = 0
    for i in range(0, len(found), size):
        rows = slice(i, i + size)
        part = Sandwich(found.lower[rows], found.upper[rows], found.acceptance[rows])
        low, high = part.edges
        held += low <= exact[rows].mean().item() <= high
    return held
