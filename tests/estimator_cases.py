r"""Small programs with a parameter for each run, and the exact expectations of their estimators.

All latent variables are normal, so that an expectation over the draws of all particles is an
integral over standard normal noise, which Gauss-Hermite quadrature takes to 1e-3 or better.
"""

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch import Tensor

X = 0.8
Parameters = Mapping[str, Tensor]
Densities = tuple[Tensor, Tensor, Tensor]


class Case(NamedTuple):
    r"""A pair of programs, and the same as a function of noise."""

    parameters: dict[str, float]
    guide_parameters: tuple[str, ...]
    r"""Those that the guide alone has."""
    programs: Callable[[Parameters], tuple[Any, Any]]
    densities: Callable[[Parameters, Parameters, Tensor], Densities]
    r"""A function of the parameters of the path, those of the densities, and noise with shape
    ``(*, sites)``, to the log densities of likelihood, prior and guide."""
    sites: int

    def scalars(self) -> dict[str, Tensor]:
        r"""The parameters."""
        return {
            k: torch.tensor(v, dtype=torch.float64, requires_grad=True)
            for k, v in self.parameters.items()
        }

    def expanded(self, runs: int) -> dict[str, Tensor]:
        r"""The parameters, with a copy for each run."""
        return {
            k: torch.full((runs,), v, dtype=torch.float64, requires_grad=True)
            for k, v in self.parameters.items()
        }


def _normal(z: Tensor, loc: Tensor | float, scale: Tensor | float) -> Tensor:
    return dist.Normal(torch.as_tensor(loc).to(z), torch.as_tensor(scale).to(z)).log_prob(z)


# One site.


def _one_programs(p: Parameters) -> tuple[Any, Any]:
    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(p["mu"], 1.0))
            pyro.sample("x", dist.Normal(p["slope"] * z, 0.7), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(p["a"] * x, p["c"].exp()))

    return model, guide


def _one_densities(path: Parameters, p: Parameters, noise: Tensor) -> Densities:
    x = noise.new_tensor(X)
    z = path["a"] * x + path["c"].exp() * noise[..., 0]
    likelihood = _normal(x.expand_as(z), p["slope"] * z, 0.7)
    return likelihood, _normal(z, p["mu"], 1.0), _normal(z, p["a"] * x, p["c"].exp())


# Two sites, the second drawn from the first.


def _two_programs(p: Parameters) -> tuple[Any, Any]:
    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            u = pyro.sample("u", dist.Normal(0.0, 1.0))
            z = pyro.sample("z", dist.Normal(p["mu"] * u, 0.8))
            pyro.sample("x", dist.Normal(z, 0.7), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(p["a"] * x, p["c"].exp()))
            pyro.sample("u", dist.Normal(p["b"] * z, 0.9))

    return model, guide


def _two_densities(path: Parameters, p: Parameters, noise: Tensor) -> Densities:
    x = noise.new_tensor(X)
    z = path["a"] * x + path["c"].exp() * noise[..., 0]
    u = path["b"] * z + 0.9 * noise[..., 1]
    prior = _normal(u, 0.0, 1.0) + _normal(z, p["mu"] * u, 0.8)
    q = _normal(z, p["a"] * x, p["c"].exp()) + _normal(u, p["b"] * z, 0.9)
    return _normal(x.expand_as(z), z, 0.7), prior, q


# A prior that shares the parameters of the guide, as a VampPrior does.


def _vamp_programs(p: Parameters) -> tuple[Any, Any]:
    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(p["a"] * p["pseudo"], p["c"].exp()))
            pyro.sample("x", dist.Normal(z, 0.7), obs=x)

    return model, _one_programs(p)[1]


def _vamp_densities(path: Parameters, p: Parameters, noise: Tensor) -> Densities:
    x = noise.new_tensor(X)
    z = path["a"] * x + path["c"].exp() * noise[..., 0]
    prior = _normal(z, p["a"] * p["pseudo"], p["c"].exp())
    return _normal(x.expand_as(z), z, 0.7), prior, _normal(z, p["a"] * x, p["c"].exp())


CASES: dict[str, Case] = {
    "one site": Case(
        {"mu": 0.2, "slope": 1.3, "a": 0.3, "c": -0.1},
        ("a", "c"),
        _one_programs,
        _one_densities,
        1,
    ),
    "two sites": Case(
        {"mu": 0.6, "a": 0.3, "c": -0.3, "b": 0.7},
        ("a", "c", "b"),
        _two_programs,
        _two_densities,
        2,
    ),
    "shared": Case(
        {"pseudo": -0.4, "a": 0.5, "c": -0.2},
        (),
        _vamp_programs,
        _vamp_densities,
        1,
    ),
}


def quadrature(dims: int, nodes: int) -> tuple[Tensor, Tensor]:
    r"""Standard normal noise with shape ``(nodes ** dims, dims)``, and the weights of each."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    grid = torch.cartesian_prod(*[torch.as_tensor(points)] * dims).reshape(-1, dims)
    w = torch.as_tensor(weights / weights.sum())
    total = reduce(lambda a, b: (a[:, None] * b).flatten(), [w] * dims)
    return grid, total


def exact_gradient(
    case: Case,
    K: int,
    f: Callable[[Tensor, Tensor], Tensor],
    nodes: int = 24,
    beta: float = 1.0,
) -> dict[str, Tensor]:
    r"""The gradient of the expectation of a function of the densities.

    Arguments:
        case: The programs.
        K: The number of particles.
        f: A function of the joint log density and that of the guide, both with shape ``(K, *)``,
            to a value with shape ``(*)``.
        nodes: The number of nodes for each dimension.
        beta: The weight of the terms of the latent variables.
    """
    p = case.scalars()
    noise, weights = _particles(case, K, nodes)
    likelihood, prior, q = case.densities(p, p, noise)
    mean = (weights * f(likelihood + beta * prior, beta * q)).sum()
    return dict(zip(p, torch.autograd.grad(mean, list(p.values())), strict=True))


def exact_wake(case: Case, K: int, nodes: int = 24, beta: float = 1.0) -> dict[str, Tensor]:
    r"""The expectation of normalized weights times the scores of both programs, at given draws."""
    p = case.scalars()
    noise, weights = _particles(case, K, nodes)
    likelihood, prior, q = case.densities({k: v.detach() for k, v in p.items()}, p, noise)
    joint = likelihood + beta * prior
    v = (joint - beta * q).softmax(0).detach()
    mean = (weights * (v * (joint + q)).sum(0)).sum()
    return dict(zip(p, torch.autograd.grad(mean, list(p.values())), strict=True))


def _particles(case: Case, K: int, nodes: int) -> tuple[Tensor, Tensor]:
    # Noise with shape (K, *, sites), and the weights of each.
    noise, weights = quadrature(K * case.sites, nodes)
    return noise.unflatten(1, (K, case.sites)).movedim(1, 0), weights
