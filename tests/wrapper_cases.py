r"""Families that are made of others, by name, with the programs and the data that try them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor

from ppl_vae.conditional import Conditional
from ppl_vae.distributions import Huber as HuberLaw
from ppl_vae.families import (
    Bernoulli,
    Clamped,
    Dequantized,
    Family,
    Flow,
    FullRankNormal,
    Huber,
    Laplace,
    LogNormal,
    Masked,
    Mixture,
    Normal,
    Poisson,
    Product,
    Truncated,
    ZeroInflated,
)
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE
from ppl_vae.networks import mlp
from ppl_vae.priors import Prior, StandardNormal
from ppl_vae.svi import SVI

NAN = float("nan")

Constructor = Callable[[Sequence[int]], Family]


def counts() -> Tensor:
    return torch.poisson(torch.full((20, 4), 2.0))


def holes(x: Tensor) -> Tensor:
    return torch.where(torch.rand(x.shape) < 0.3, NAN, x)


def table() -> Tensor:
    return torch.stack(
        [torch.randn(20), counts()[:, 0], torch.rand(20).round(), torch.randn(20)], 1
    )


COLUMNS: list[Constructor] = [Normal, Poisson, Bernoulli, partial(Normal, scale="shared")]

COLUMNS_MASKED: list[Constructor] = [partial(Masked, family=f) for f in COLUMNS[:2]] + COLUMNS[2:]

# Likelihoods over four elements, data for them, and the measure that they are densities of.
LIKELIHOODS: dict[str, tuple[Constructor, Callable[[], Tensor], str]] = {
    "Clamped": (
        lambda s: Clamped(s, low=-1, high=0.5),
        lambda: torch.randn(20, 4).clamp(-1, 0.5),
        "lebesgue + points -1 and 0.5",
    ),
    "Clamped below": (Clamped, lambda: torch.randn(20, 4).clamp(min=0), "lebesgue + point 0"),
    "Dequantized": (Dequantized, counts, "counting"),
    "Dequantized LogNormal": (lambda s: Dequantized(s, LogNormal), counts, "counting"),
    "Dequantized flow": (
        lambda s: Dequantized(s, partial(Flow, hidden=(8,), context=2)),
        counts,
        "counting",
    ),
    "Masked": (Masked, lambda: holes(torch.randn(20, 4)), "lebesgue"),
    "Masked Clamped": (
        lambda s: Masked(s, Clamped),
        lambda: holes(torch.randn(20, 4).clamp(min=0)),
        "lebesgue + point 0",
    ),
    "Masked Poisson": (lambda s: Masked(s, Poisson), lambda: holes(counts()), "counting"),
    "Mixture": (Mixture, lambda: torch.randn(20, 4), "lebesgue"),
    "Mixture Bernoulli": (
        lambda s: Mixture(s, Bernoulli, components=3),
        lambda: torch.rand(20, 4).round(),
        "counting",
    ),
    "Product": (lambda s: Product(s, COLUMNS), table, "mixed (counting: 1, 2)"),
    "Product Masked": (
        lambda s: Product(s, COLUMNS_MASKED),
        lambda: torch.cat([holes(table()[:, :2]), table()[:, 2:]], 1),
        "mixed (counting: 1, 2)",
    ),
    "Truncated": (lambda s: Truncated(s, low=0, high=1), lambda: torch.rand(20, 4), "lebesgue"),
    "Truncated Huber": (
        lambda s: Truncated(s, Huber, low=0, high=1),
        lambda: torch.rand(20, 4),
        "lebesgue",
    ),
    "ZeroInflated": (ZeroInflated, counts, "counting"),
}

POSTERIORS: dict[str, Constructor] = {
    "Mixture": lambda s: Mixture(s, FullRankNormal, components=2),
    "Mixture flow": lambda s: Mixture(s, partial(Flow, hidden=(8,), context=2), components=2),
    "Product": lambda s: Product(s, [Normal, Laplace]),
    "Truncated": lambda s: Truncated(s, low=-1, high=2),
    "Truncated Huber": lambda s: Truncated(s, Huber, low=-1, high=2),
    "Truncated Laplace": lambda s: Truncated(s, Laplace, low=-1, high=2),
    "Truncated LogNormal": lambda s: Truncated(s, LogNormal, low=0.5, high=2),
}

INTERVALS = [(-1.0, 2.0), (0.0, math.inf), (-math.inf, 1.0), (0.0, 1.0)]

LAWS = {
    "Normal": dist.Normal,
    "Laplace": dist.Laplace,
    "Huber": HuberLaw,
    "Huber 0.3": partial(HuberLaw, beta=0.3),
    "Huber 30": partial(HuberLaw, beta=30.0),
}


def random(family: Family, *batch: int) -> Tensor:
    return torch.randn(*batch, *family.param_shape)


def programs(
    likelihood: Constructor, posterior: Constructor = Normal, missing: bool = False
) -> tuple[VAE, Amortized]:
    prior: Prior = StandardNormal((2,))
    model = VAE(prior, Conditional((2,), likelihood((4,)), mlp([8])))
    return model, Amortized(Conditional((4,), posterior((2,)), mlp([8]), missing=missing))


def steps(model: VAE, guide: Amortized, x: Tensor, objective: Any = None) -> list[float]:
    svi = SVI(model, guide, partial(torch.optim.Adam, lr=1e-3), objective, compile="fx")
    svi.plan(1000, None, x)
    losses = [float(svi.step(x)) for _ in range(3)]
    assert svi.backend == "fx" and svi.reason is None
    return losses
