r"""Constructors of families, one line each: every law of `test_families.py` runs over them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import torch
from torch import Tensor

from ppl_vae.families import (
    Bernoulli,
    Beta,
    Binomial,
    Categorical,
    ContinuousBernoulli,
    Dirichlet,
    DiscretizedLogistic,
    Family,
    Flow,
    FullRankNormal,
    Gamma,
    Huber,
    Laplace,
    LogisticNormal,
    LogNormal,
    LowRankNormal,
    Masked,
    Mixture,
    Multinomial,
    NegativeBinomial,
    Normal,
    OneHot,
    Planar,
    Poisson,
    PowerSpherical,
    Product,
    RelaxedBernoulli,
    RelaxedOneHot,
    StudentT,
    Sylvester,
    Truncated,
    VonMisesFisher,
    ZeroInflated,
)

Constructor = Callable[[Sequence[int]], Family]


def counts(levels: int) -> Callable[[int], Tensor]:
    r"""The vectors of ``d`` counts below a number."""
    return lambda d: torch.tensor(list(product(range(levels), repeat=d)))


def line(t: Tensor) -> tuple[Tensor, Tensor]:
    r"""Points of the real line, and the volume of a unit of ``t`` at each."""
    return t.unsqueeze(-1), torch.ones_like(t)


def zeros(d: int) -> Tensor:
    return torch.zeros(d)


def positive(t: Tensor) -> tuple[Tensor, Tensor]:
    r"""Points of the half line, by their logarithm."""
    return t.exp().unsqueeze(-1), t.exp()


def between(t: Tensor) -> tuple[Tensor, Tensor]:
    r"""Points between 0 and 1, by their logit."""
    y = t.sigmoid()
    return y.unsqueeze(-1), y * (1 - y)


def constant(value: float) -> Callable[[int], Tensor]:
    r"""The vectors whose elements all have a value."""
    return lambda d: torch.full((d,), value)


def parts(total: int) -> Callable[[int], Tensor]:
    r"""The vectors of ``d`` counts with a total."""
    return lambda d: torch.tensor(
        [y for y in product(range(total + 1), repeat=d) if sum(y) == total]
    )


def segment(t: Tensor) -> tuple[Tensor, Tensor]:
    r"""Two probabilities that sum to one, by the logit of the first."""
    y = torch.stack([t.sigmoid(), (-t).sigmoid()], dim=-1)
    return y, y.prod(-1)


def circle(t: Tensor) -> tuple[Tensor, Tensor]:
    r"""Unit vectors of two elements, by their angle."""
    return torch.stack([t.cos(), t.sin()], dim=-1), torch.ones_like(t)


def first(d: int) -> Tensor:
    r"""The vector :math:`e_1`."""
    return torch.eye(d)[0]


def uniform(d: int) -> Tensor:
    r"""Equal probabilities."""
    return torch.full((d,), 1 / d)


def probabilities(d: int) -> Tensor:
    r"""Different probabilities."""
    return torch.arange(1, d + 1, dtype=torch.float64) / (d * (d + 1) / 2)


def inside(d: int) -> Tensor:
    r"""A vector shorter than one."""
    return torch.tensor([0.2, -0.4, 0.5], dtype=torch.float64)[:d]


@dataclass(frozen=True)
class Case:
    r"""A family, and what laws need to know of it that its distributions do not tell."""

    make: Constructor
    r"""The family, but for its shape."""
    elements: bool = True
    r"""Whether elements are independent, over an event of any shape; else it is over vectors."""
    rows: bool = False
    r"""Whether, over vectors, it is over arrays of independent ones too."""
    sizes: tuple[int, int] = (1, 2)
    r"""The smallest size of vectors, and a larger one."""
    cells: Callable[[int], Tensor] | None = None
    r"""The values of a vector, where they can be counted, or all but 1e-4 of them."""
    top: float = 1.0
    r"""Means lie in (0, top)."""
    mean: Callable[[int], Tensor] | None = None
    r"""A mean of a vector, where its elements are not free."""
    at_mean: bool = True
    r"""Whether :meth:`Family.at_mean` is exact."""
    point: Callable[[int], Tensor] = zeros
    r"""A vector in the support, of some size."""
    interval: tuple[float, float] = (-math.inf, math.inf)
    r"""Where the parameter ``t`` of the curve runs."""
    curve: Callable[[Tensor], tuple[Tensor, Tensor]] = line
    r"""The support at the smallest size: points of ``t``, and the volume of a unit of ``t``."""
    dim: int = 0
    r"""The dimension of the support less that of a vector."""
    volume: Callable[[int], float] = lambda d: 1.0
    r"""The area of the support, by Euclid, where its measure counts one."""
    scales: bool = False
    r"""Whether it takes bounds of its scales, ``floor`` and ``ceiling``."""
    divergence: bool = False
    r"""Whether the divergence of two members is known in closed form."""
    double: bool = False
    r"""Whether extreme parameters need double precision, for densities single does not hold."""


# A new family is one more line.
CASES: dict[str, Case] = {
    "Bernoulli": Case(Bernoulli, cells=counts(2)),
    "Beta": Case(
        Beta, scales=True, divergence=True, point=constant(0.5), interval=(-60, 60), curve=between
    ),
    "Binomial": Case(lambda shape: Binomial(shape, total=3), cells=counts(4), top=3),
    "Categorical": Case(
        lambda shape: Categorical(shape, categories=3), cells=counts(3), top=2, at_mean=False
    ),
    "ContinuousBernoulli": Case(ContinuousBernoulli, divergence=True, interval=(0, 1)),
    "DiscretizedLogistic": Case(
        lambda shape, **o: DiscretizedLogistic(shape, levels=4, **o),
        cells=counts(4),
        top=3,
        scales=True,
    ),
    "Gamma": Case(
        Gamma, scales=True, divergence=True, point=constant(1.0), interval=(-90, 9), curve=positive
    ),
    "Huber": Case(Huber),
    "Huber element": Case(lambda shape: Huber(shape, beta=0.5, scale="element")),
    "Huber shared": Case(lambda shape: Huber(shape, scale="shared"), scales=True),
    "Laplace": Case(Laplace, scales=True, divergence=True),
    "LogNormal": Case(
        LogNormal,
        scales=True,
        divergence=True,
        point=constant(1.0),
        interval=(-60, 60),
        curve=positive,
    ),
    "Masked": Case(Masked),
    "Masked Poisson": Case(lambda shape: Masked(shape, Poisson), cells=counts(25)),
    "Multinomial": Case(
        lambda shape: Multinomial(shape, total=3),
        elements=False,
        sizes=(2, 3),
        cells=parts(3),
        at_mean=False,
        point=lambda d: torch.tensor([3.0, 0.0, 0.0])[:d],
    ),
    "NegativeBinomial": Case(NegativeBinomial, cells=counts(60), scales=True),
    "NegativeBinomial element": Case(
        lambda shape: NegativeBinomial(shape, concentration="element"), cells=counts(60)
    ),
    "NegativeBinomial fixed": Case(
        lambda shape: NegativeBinomial(shape, concentration=3.0), cells=counts(40)
    ),
    "Normal": Case(Normal, scales=True, divergence=True),
    "Normal fixed": Case(lambda shape: Normal(shape, scale=0.3), divergence=True),
    "Normal shared": Case(lambda shape: Normal(shape, scale="shared"), divergence=True),
    "Poisson": Case(Poisson, cells=counts(25), scales=True, divergence=True),
    "StudentT": Case(StudentT, scales=True),
    "StudentT element": Case(lambda shape: StudentT(shape, df="element")),
    "StudentT fixed": Case(lambda shape: StudentT(shape, df=3.0)),
    "Truncated": Case(lambda shape: Truncated(shape, low=-1, high=2), interval=(-1, 2)),
    "Truncated Laplace": Case(
        lambda shape: Truncated(shape, Laplace, low=-1, high=2), interval=(-1, 2)
    ),
    "Truncated below": Case(
        lambda shape: Truncated(shape, low=0),
        point=constant(1.0),
        interval=(-60, 9),
        curve=positive,
    ),
    "ZeroInflated": Case(ZeroInflated, cells=counts(25)),
    "ZeroInflated Binomial": Case(
        lambda shape: ZeroInflated(shape, partial(Binomial, total=3)), cells=counts(4), top=3
    ),
    "Flow MAF": Case(
        lambda shape: Flow(shape, kind="MAF", hidden=(16,), context=3),
        elements=False,
        at_mean=False,
        scales=True,
        double=True,
    ),
    "Flow IAF": Case(
        lambda shape: Flow(shape, kind="IAF", hidden=(16,), context=3),
        elements=False,
        at_mean=False,
        scales=True,
        double=True,
    ),
    "Flow NAF": Case(
        lambda shape: Flow(shape, kind="NAF", hidden=(16,), context=3),
        elements=False,
        at_mean=False,
        scales=True,
        double=True,
    ),
    "Flow RealNVP": Case(
        lambda shape: Flow(shape, kind="RealNVP", hidden=(16,), context=3),
        elements=False,
        at_mean=False,
        scales=True,
        double=True,
    ),
    "Flow NICE": Case(
        lambda shape: Flow(shape, kind="NICE", hidden=(16,), context=3),
        elements=False,
        at_mean=False,
        scales=True,
        double=True,
    ),
    "Flow NSF": Case(
        lambda shape: Flow(shape, kind="NSF", hidden=(16,), context=3),
        elements=False,
        at_mean=False,
        scales=True,
        double=True,
        # Its density has kinks within five of zero, and next to no mass beyond twelve.
        interval=(-12.0, 12.0),
    ),
    "Planar": Case(
        lambda shape: Planar(shape, transforms=2),
        elements=False,
        at_mean=False,
        scales=True,
        double=True,
    ),
    "Sylvester": Case(
        lambda shape: Sylvester(shape, transforms=2, reflections=2),
        elements=False,
        at_mean=False,
        scales=True,
        double=True,
    ),
    "Mixture": Case(
        lambda shape: Mixture(shape, FullRankNormal, components=3), elements=False, double=True
    ),
    "Product": Case(
        lambda shape: Product(shape, [Normal, Laplace][: sum(shape)]),
        elements=False,
        divergence=True,
    ),
    "FullRankNormal": Case(
        FullRankNormal, elements=False, scales=True, divergence=True, double=True
    ),
    "LowRankNormal": Case(LowRankNormal, elements=False, scales=True, divergence=True),
    "Dirichlet": Case(
        Dirichlet,
        elements=False,
        sizes=(2, 3),
        mean=probabilities,
        point=uniform,
        interval=(-60, 60),
        curve=segment,
        dim=-1,
        volume=math.sqrt,
        scales=True,
        divergence=True,
    ),
    "LogisticNormal": Case(
        LogisticNormal,
        elements=False,
        sizes=(2, 3),
        at_mean=False,
        point=uniform,
        interval=(-60, 60),
        curve=segment,
        dim=-1,
        volume=math.sqrt,
        scales=True,
        divergence=True,
    ),
    "OneHot": Case(
        OneHot,
        elements=False,
        rows=True,
        sizes=(2, 3),
        cells=torch.eye,
        mean=probabilities,
        point=first,
        divergence=True,
    ),
    "PowerSpherical": Case(
        PowerSpherical,
        elements=False,
        sizes=(2, 3),
        mean=inside,
        point=first,
        interval=(-math.pi, math.pi),
        curve=circle,
        dim=-1,
        scales=True,
    ),
    "RelaxedBernoulli": Case(
        RelaxedBernoulli,
        at_mean=False,
        point=constant(0.5),
        interval=(-60, 60),
        curve=between,
    ),
    "RelaxedOneHot": Case(
        RelaxedOneHot,
        elements=False,
        rows=True,
        sizes=(2, 3),
        at_mean=False,
        point=uniform,
        interval=(-60, 60),
        curve=segment,
        dim=-1,
        volume=math.sqrt,
    ),
    "VonMisesFisher": Case(
        VonMisesFisher,
        elements=False,
        sizes=(2, 3),
        mean=inside,
        point=first,
        interval=(-math.pi, math.pi),
        curve=circle,
        dim=-1,
        scales=True,
        divergence=True,
    ),
}
