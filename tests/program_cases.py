r"""Pairs of programs with their data, one line each: what is a law of all pairs runs over them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor, nn

from ppl_vae import families, priors
from ppl_vae.conditional import Conditional
from ppl_vae.guides import Amortized, BottomUp, Ladder
from ppl_vae.models import VAE, Hierarchical, Linear
from ppl_vae.networks import mlp

Triple = tuple[Any, Any, Tensor]

D, d, n = 5, 2, 4

NET = mlp([8])


def data(likelihood: families.Family) -> Tensor:
    h = torch.randn(n, *likelihood.param_shape)
    return likelihood(h).sample().to(torch.get_default_dtype())


def vae(prior: priors.Prior, posterior: families.Family, likelihood: families.Family) -> Triple:
    r"""A VAE with random weights, its amortized guide, and data in the likelihood's support."""
    x = data(likelihood)
    q = Conditional(x.shape[1:], posterior, NET)
    prior.attach(q, x)
    return VAE(prior, Conditional(prior.event_shape, likelihood, NET)), Amortized(q), x


def linear(features: int = D, latent: int = d) -> Triple:
    model = Linear(features, latent, scale=0.7)
    return model, Amortized(model.posterior), model(n=n).detach()


def hierarchical() -> Triple:
    likelihood = families.Bernoulli((1, 2, 3))
    layers = [Conditional((2,), families.Normal((3,)), NET)]
    model = Hierarchical(priors.StandardNormal((2,)), layers, Conditional((3,), likelihood, NET))
    q1 = Conditional((1, 2, 3), families.Normal((3,)), NET)
    return (
        model,
        BottomUp([q1, Conditional((3,), families.FullRankNormal((2,)), NET)]),
        data(likelihood),
    )


def ladder() -> Triple:
    model, _, x = hierarchical()
    q1 = Conditional((1, 2, 3), families.Normal((3,)), NET)
    return model, Ladder([q1, Conditional((3,), families.Normal((2,)), NET)]).attach(model), x


class TopDown(nn.Module):
    r"""A guide of two layers that draws in the model's order, as a user may write it."""

    def __init__(self) -> None:
        super().__init__()
        self.top = Conditional((6,), families.Normal((2,)), NET)
        self.low = Conditional((8,), families.Normal((3,)), NET)

    def forward(self, x: Tensor) -> None:
        pyro.module("TopDown", self)
        x = x.flatten(1)

        with pyro.plate("data", len(x), dim=-1):
            z2 = pyro.sample("z2", self.top(x))
            pyro.sample("z1", self.low(torch.cat([x.expand(*z2.shape[:-1], 6), z2], -1)))


def top_down() -> Triple:
    model, _, x = hierarchical()
    return model, TopDown(), x


def other_plate() -> Triple:
    r"""Plain functions in Pyro's habits: another name of the plate, parameters in the store."""

    def model(x: Tensor) -> None:
        loc = pyro.param("loc", torch.tensor(0.5))
        with pyro.plate("rows", len(x)):
            z = pyro.sample("z", dist.Normal(loc, 1.0))
            pyro.sample("obs", dist.Normal(z, 0.5), obs=x)

    def guide(x: Tensor) -> None:
        slope = pyro.param("slope", torch.tensor(0.3))
        with pyro.plate("rows", len(x)):
            pyro.sample("z", dist.Normal(slope * x, 0.8))

    return model, guide, torch.randn(n)


def nested() -> Triple:
    r"""An inner plate of three sensors within each datum, with latent variables of their own."""

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            with pyro.plate("sensors", 3, dim=-2):
                bias = pyro.sample("bias", dist.Normal(z, pyro.param("s", torch.tensor(0.5))))
                pyro.sample("x", dist.Normal(bias, 0.3), obs=x.mT)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(x.mean(1), 0.7))
            with pyro.plate("sensors", 3, dim=-2):
                pyro.sample("bias", dist.Normal(0.5 * (x.mT + z), 0.4))

    return model, guide, torch.randn(n, 3)


def q(*names: str, width: int = d) -> Callable[[Tensor], None]:
    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            for name in names:
                pyro.sample(name, dist.Normal(torch.zeros(width), 1.0).to_event(1))

    return guide


normal = families.Normal

PROGRAMS: dict[str, Callable[[], Triple]] = {
    "linear": linear,
    "normal, bernoulli": lambda: vae(
        priors.StandardNormal((d,)), normal((d,)), families.Bernoulli((1, 2, 3))
    ),
    "learned, full rank, binomial": lambda: vae(
        priors.LearnedNormal((d,)), families.FullRankNormal((d,)), families.Binomial((D,), 4)
    ),
    "mixture, laplace": lambda: vae(
        priors.GaussianMixture((d,), 3), families.Laplace((d,)), normal((D,), scale="shared")
    ),
    "flow prior": lambda: vae(priors.Flow((d,), hidden=(8,)), normal((d,)), families.Laplace((D,))),
    "flow posterior": lambda: vae(
        priors.StandardNormal((d,)),
        families.Flow((d,), hidden=(8,), context=3),
        families.Categorical((D,), 3),
    ),
    "vamp": lambda: vae(priors.Vamp((d,), 3), normal((d,)), families.Bernoulli((D,))),
    "categorical latent": lambda: vae(
        priors.Categorical((d,), 3),
        families.Categorical((d,), 3),
        normal((D,)),
    ),
    "bernoulli latent": lambda: vae(
        priors.Bernoulli((d,), learned=True),
        families.Bernoulli((d,)),
        normal((D,), scale=0.5),
    ),
    "hierarchical": hierarchical,
    "ladder": ladder,
    "top down": top_down,
    "other plate": other_plate,
    "nested": nested,
}

programs = pytest.mark.parametrize("name", PROGRAMS)

particles = pytest.mark.parametrize(
    ("K", "vectorized"), [(1, True), (3, True), (3, False)], ids=["1", "3", "3 looped"]
)

grey = torch.rand(n, D)


def close(a: Tensor, b: Tensor, tol: float = 1e-10) -> None:
    torch.testing.assert_close(a, b, rtol=tol, atol=tol)
