r"""Powers of densities, where they are known in closed form."""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import pyro.distributions as dist
from torch import distributions as torch_dist

from ..distributions.multivariate_normal import LowRankMultivariateNormal, MultivariateNormal
from ..distributions.one_hot_categorical import OneHotCategorical
from ..distributions.rotational import Rotational
from ..distributions.spherical_uniform import SphericalUniform

__all__ = ["tempered"]


@singledispatch
def tempered(p: Any, temperature: float) -> dist.TorchDistribution:
    r"""Returns the distribution with a density proportional to :math:`p(z)^{1/T}`.

    It is known for normal, Laplace, Student's t, Bernoulli, categorical, one-hot, Beta, Gamma,
    Dirichlet, von Mises-Fisher, power spherical and uniform distributions, and for independent
    elements of these. For a distribution of yours, ``@tempered.register`` a function of it and the
    temperature.

    Example:
        >>> tempered(dist.Normal(0.0, 1.0), 4.0).scale
        tensor(2.)

    Arguments:
        p: The distribution.
        temperature: The temperature :math:`T`.

    Raises:
        ValueError: If no closed form is known.
    """
    raise ValueError(
        f"The power of {type(p).__name__} has no closed form that is known here; take Shifted to "
        "widen its draws, or register the closed form by tempered.register."
    )


@tempered.register
def _(p: torch_dist.Independent, temperature: float) -> dist.TorchDistribution:
    return tempered(p.base_dist, temperature).to_event(p.reinterpreted_batch_ndims)


@tempered.register
def _(p: torch_dist.Normal, temperature: float) -> dist.TorchDistribution:
    return dist.Normal(p.loc, temperature**0.5 * p.scale)


@tempered.register
def _(p: torch_dist.MultivariateNormal, temperature: float) -> dist.TorchDistribution:
    return MultivariateNormal(p.loc, scale_tril=temperature**0.5 * p.scale_tril)


@tempered.register
def _(p: torch_dist.LowRankMultivariateNormal, temperature: float) -> dist.TorchDistribution:
    return LowRankMultivariateNormal(
        p.loc, temperature**0.5 * p.cov_factor, temperature * p.cov_diag
    )


@tempered.register
def _(p: torch_dist.Laplace, temperature: float) -> dist.TorchDistribution:
    return dist.Laplace(p.loc, temperature * p.scale)


@tempered.register
def _(p: torch_dist.StudentT, temperature: float) -> dist.TorchDistribution:
    # Of fewer degrees of freedom; below zero, which torch refuses, the power has no integral.
    df = (p.df + 1) / temperature - 1
    return dist.StudentT(df, p.loc, p.scale * (p.df / df).sqrt())


@tempered.register
def _(p: torch_dist.Bernoulli, temperature: float) -> dist.TorchDistribution:
    return dist.Bernoulli(logits=p.logits / temperature)


@tempered.register
def _(p: torch_dist.Categorical, temperature: float) -> dist.TorchDistribution:
    return dist.Categorical(logits=p.logits / temperature)


@tempered.register
def _(p: torch_dist.OneHotCategorical, temperature: float) -> dist.TorchDistribution:
    return OneHotCategorical(logits=p.logits / temperature)


@tempered.register
def _(p: torch_dist.Beta, temperature: float) -> dist.TorchDistribution:
    one = (p.concentration1 - 1) / temperature + 1
    return dist.Beta(one, (p.concentration0 - 1) / temperature + 1)


@tempered.register
def _(p: torch_dist.Gamma, temperature: float) -> dist.TorchDistribution:
    return dist.Gamma((p.concentration - 1) / temperature + 1, p.rate / temperature)


@tempered.register
def _(p: torch_dist.Dirichlet, temperature: float) -> dist.TorchDistribution:
    # Concentrations below zero, which torch refuses, have no integral.
    return dist.Dirichlet((p.concentration - 1) / temperature + 1)


@tempered.register
def _(p: Rotational, temperature: float) -> dist.TorchDistribution:
    return type(p)(p.loc, p.concentration / temperature)


@tempered.register(SphericalUniform)
@tempered.register(torch_dist.Uniform)
def _(p: dist.TorchDistribution, temperature: float) -> dist.TorchDistribution:
    return p
