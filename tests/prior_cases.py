r"""Constructors of priors, one line each: every law of `test_priors.py` runs over them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import torch
from torch import Tensor

from ppl_vae import families
from ppl_vae.conditional import Conditional
from ppl_vae.distributions.one_hot_categorical import OneHotCategorical
from ppl_vae.families.wrapper import Builder
from ppl_vae.networks import mlp
from ppl_vae.priors import (
    Autoregressive,
    Bernoulli,
    Categorical,
    Exemplar,
    FamilyPrior,
    Flow,
    GaussianMixture,
    Laplace,
    LearnedNormal,
    OneHot,
    Prior,
    Shifted,
    SphericalUniform,
    StandardNormal,
    StudentT,
    Tempered,
    Uniform,
    Vamp,
)

Constructor = Callable[[Sequence[int]], Prior]

ANY_SHAPE = ((), (1,), (2, 3, 2))


def posterior(family: families.Family) -> Conditional:
    return Conditional((5,), family, mlp(hidden=[8]))


def flow(shape: Sequence[int]) -> families.Flow:
    return families.Flow(shape, hidden=(16,), context=3)


def vamp(shape: Sequence[int], family: Builder = families.Normal) -> Prior:
    return Vamp(shape, 3).attach(posterior(family(torch.Size(shape))), torch.rand(20, 5))


def exemplar(shape: Sequence[int]) -> Prior:
    q = posterior(families.Normal(torch.Size(shape)))
    return Exemplar(shape, 6).attach(q, torch.rand(20, 5))


class OneHots(families.OneHot):
    r"""The family over vectors, with draws that a graph can hold."""

    def forward(self, h: Tensor) -> OneHotCategorical:
        return OneHotCategorical(logits=h[..., 0, :])


def counts(levels: int) -> Callable[[int], Tensor]:
    r"""The vectors of ``d`` counts below a number."""
    return lambda d: torch.tensor(list(product(range(levels), repeat=d)))


@dataclass(frozen=True)
class Case:
    r"""A prior, and what laws need to know of it that its distribution does not tell."""

    make: Constructor
    r"""The prior, but for its shape."""
    shapes: tuple[tuple[int, ...], ...] = ANY_SHAPE
    r"""Shapes of draws other than vectors that it takes; none if it is over vectors."""
    sizes: tuple[int, int] = (1, 2)
    r"""The smallest size of vectors, and a larger one."""
    cells: Callable[[int], Tensor] | None = None
    r"""The values of a vector, where they can be counted."""
    dim: int = 0
    r"""The dimension of the support less that of a vector."""
    attached: bool = False
    r"""Whether it is made of the posterior, and :meth:`Prior.attach` does something."""
    posterior: Builder = families.Normal
    r"""A family of posteriors with its support."""


vectors = partial(Case, shapes=())

# A new prior is one more line.
CASES: dict[str, Case] = {
    "Autoregressive": vectors(lambda shape: Autoregressive(shape, 2, hidden=(16,))),
    "Bernoulli": Case(Bernoulli, cells=counts(2), posterior=families.Bernoulli),
    "Bernoulli learned": Case(
        lambda shape: Bernoulli(shape, learned=True), cells=counts(2), posterior=families.Bernoulli
    ),
    "Categorical": Case(
        lambda shape: Categorical(shape, 3, learned=True),
        cells=counts(3),
        posterior=partial(families.Categorical, categories=3),
    ),
    "Exemplar": Case(exemplar, attached=True),
    "FamilyPrior Flow": vectors(lambda shape: FamilyPrior(shape, flow, learned=True)),
    "FamilyPrior Laplace": Case(lambda shape: FamilyPrior(shape, families.Laplace, learned=True)),
    "FamilyPrior Normal": Case(FamilyPrior),
    "FamilyPrior Planar": vectors(
        lambda shape: FamilyPrior(shape, partial(families.Planar, transforms=2), learned=True)
    ),
    "FamilyPrior shared": Case(
        lambda shape: FamilyPrior(shape, partial(families.Normal, scale="shared"), learned=True)
    ),
    "Flow MAF": vectors(lambda shape: Flow(shape, kind="MAF", hidden=(16,))),
    "Flow NAF": vectors(lambda shape: Flow(shape, kind="NAF", hidden=(16,))),
    "Flow NICE": vectors(lambda shape: Flow(shape, kind="NICE", hidden=(16,))),
    "Flow RealNVP": vectors(lambda shape: Flow(shape, kind="RealNVP", hidden=(16,))),
    "Flow NSF": vectors(lambda shape: Flow(shape, kind="NSF", hidden=(16,))),
    "GaussianMixture": Case(lambda shape: GaussianMixture(shape, components=3)),
    "GaussianMixture full": vectors(
        lambda shape: GaussianMixture(shape, components=3, covariance="full")
    ),
    "Laplace": Case(Laplace),
    "Laplace learned": Case(lambda shape: Laplace(shape, learned=True)),
    "LearnedNormal": Case(LearnedNormal),
    "OneHot": Case(
        lambda shape: OneHot(shape, learned=True),
        shapes=((2,), (2, 3)),
        sizes=(2, 3),
        cells=torch.eye,
        posterior=OneHots,
    ),
    "Shifted": Case(lambda shape: Shifted(shape, shift=2.0, scale=0.3, learned=True)),
    "Shifted mixture": Case(
        lambda shape: Shifted(shape, partial(GaussianMixture, components=3), scale=3.0)
    ),
    "SphericalUniform": vectors(
        SphericalUniform, sizes=(2, 3), dim=-1, posterior=families.PowerSpherical
    ),
    "StandardNormal": Case(StandardNormal),
    "StudentT": Case(lambda shape: StudentT(shape, learned=True)),
    "Tempered": Case(lambda shape: Tempered(shape, LearnedNormal, temperature=0.5)),
    "Uniform": Case(lambda shape: Uniform(shape, low=0.0), posterior=families.Beta),
    "Vamp": Case(vamp, attached=True),
    "Vamp of flows": vectors(lambda shape: vamp(shape, flow), attached=True),
}
