r"""Laws of all families that are made of others, and what they refuse."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import pyro.distributions as dist
import pytest
import torch
from wrapper_cases import LIKELIHOODS, NAN, POSTERIORS, Constructor, programs, random, steps

from ppl_vae import priors
from ppl_vae.conditional import Conditional
from ppl_vae.distributions import Clamped as ClampedLaw
from ppl_vae.distributions import Huber as HuberLaw
from ppl_vae.distributions import MaskedElements
from ppl_vae.evaluation import log_evidence
from ppl_vae.families import (
    Bernoulli,
    Beta,
    Binomial,
    Clamped,
    Dequantized,
    Family,
    Flow,
    FullRankNormal,
    Gamma,
    LogNormal,
    Masked,
    Mixture,
    Multinomial,
    NegativeBinomial,
    Normal,
    Poisson,
    Product,
    StudentT,
    Truncated,
    ZeroInflated,
)
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE
from ppl_vae.networks import mlp
from ppl_vae.objectives import IWAE
from ppl_vae.priors import FamilyPrior
from ppl_vae.weights import base_measure, log_weights

# In programs


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihood_from_training_to_evidence(name: str) -> None:
    likelihood, data, measure = LIKELIHOODS[name]
    x = data()
    model, guide = programs(likelihood, missing=bool(x.isnan().any()))

    assert all(math.isfinite(loss) for loss in steps(model, guide, x))
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert log_evidence(model, guide, x, particles=10).log_evidence.isfinite().all()
    assert base_measure(model, {"x": x}) == measure
    assert model(n=3).shape == (3, 4) and model(n=3).isfinite().all()


@pytest.mark.parametrize("name", POSTERIORS)
@pytest.mark.parametrize("objective", [None, pytest.param(IWAE(4), marks=pytest.mark.slow)])
def test_posterior_from_training_to_evidence(name: str, objective: Any) -> None:
    model, guide = programs(Normal, POSTERIORS[name])
    x = torch.randn(20, 4)
    reparameterized = guide.posterior(x).has_rsample  # type: ignore[attr-defined]

    assert reparameterized == ("Mixture" not in name)
    if reparameterized or objective is None:
        assert all(math.isfinite(loss) for loss in steps(model, guide, x, objective))
    assert log_evidence(model, guide, x, particles=10).log_evidence.isfinite().all()


@pytest.mark.parametrize(
    "posterior",
    [
        Dequantized,
        lambda s: Masked(s, Dequantized),
        lambda s: Mixture(s, Dequantized, components=2),
        lambda s: Product(s, [Dequantized] * 2),
        lambda s: Product(s, [Poisson, Dequantized]),
        lambda s: Mixture(s, lambda s: Product(s, [Poisson, Dequantized]), components=2),
        lambda s: Product(s, [Poisson, partial(Masked, family=Dequantized)]),
    ],
)
def test_no_estimated_density_in_posteriors(posterior: Constructor) -> None:
    r"""However deep it lies."""
    likelihood = Conditional((2,), Normal((4,)), mlp([8]))
    model = VAE(FamilyPrior((2,), posterior), likelihood)
    guide = Amortized(Conditional((4,), posterior((2,)), mlp([8])))

    with pytest.raises(ValueError, match="density of which is an estimate"):
        log_weights(model, guide, {"x": torch.randn(5, 4)}, 2)


# Exposures


@pytest.mark.parametrize(
    "make",
    [
        lambda: ZeroInflated((3,), NegativeBinomial),
        lambda: Masked((3,), Poisson),
        lambda: Masked((3,), ZeroInflated),
        lambda: Mixture((3,), Poisson, components=2),
        lambda: Mixture((3,), Multinomial, components=2),
        lambda: Product((3,), [Poisson, NegativeBinomial, Poisson]),
    ],
)
def test_exposure_reaches_the_family(float64: None, make: Callable[[], Family]) -> None:
    family = make()
    h, exposure = random(family, 4, 2), torch.tensor([3.0, 30.0])
    one = family(h, exposure=torch.ones(2)).mean
    torch.testing.assert_close(family(h, exposure=exposure).mean, one * exposure.unsqueeze(-1))

    with pytest.raises(ValueError, match="Normal takes no exposure"):
        Masked((3,))(torch.zeros(4, 2, 2, 3), exposure=exposure)
    # Columns that take none have none.
    mixed = Product((2,), [Normal, Poisson])
    means = mixed(torch.zeros(2, 3), exposure=exposure).mean
    torch.testing.assert_close(means, torch.tensor([[0.0, 3.0], [0.0, 30.0]]), rtol=1e-3, atol=0)


def test_exposure_reaches_masked_columns(float64: None) -> None:
    family = Product((2,), [partial(Masked, family=Normal), partial(Masked, family=Poisson)])
    means = family(torch.zeros(2, 3), exposure=torch.tensor([3.0, 30.0])).mean
    torch.testing.assert_close(means, torch.tensor([[0.0, 3.0], [0.0, 30.0]]), rtol=1e-3, atol=0)


# Refusals


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: Masked((3,), FullRankNormal), "Masked needs a family of independent elements"),
        (lambda: Masked((3,), lambda s: Product(s, [Normal] * 3)), "depend on each other"),
        (lambda: Masked((3,), lambda s: Product(s, [Normal] * 3)), "of one kind.*, or differ"),
        (lambda: ZeroInflated((3,), Normal), "needs a family of counts.*got Normal"),
        (lambda: ZeroInflated((3,), Flow), "needs a family of independent elements"),
        (lambda: Product((3,), [Normal]), "a family for each of the 3 columns, got 1"),
        (lambda: Product((2,), [Normal] * 3), "a family for each of the 2 columns, got 3"),
        (lambda: Product((2, 2), [Normal] * 4), "Product is over vectors"),
        (lambda: Product((2,), [Normal, Flow]), "Flow is over vectors"),
        (lambda: Mixture((3,), components=0), "one component or more, got 0"),
        (lambda: Truncated((3,), StudentT), "whose cdf.* are known.*got StudentT"),
        (lambda: Truncated((3,), Gamma, low=1.0), "whose cdf.* are known.*Gamma"),
        (lambda: Clamped((3,), StudentT), "whose cdf.* are known.*got StudentT"),
        (lambda: Truncated((3,), LogNormal, low=-1), "whose support holds the bounds -1"),
        (lambda: Clamped((3,), Poisson, low=1), "over real numbers.*got Poisson"),
        (lambda: Clamped((3,), low=1, high=1), "bounds low < high, one of them finite"),
        (lambda: Truncated((3,), low=2, high=1), "bounds low < high, one of them finite"),
        (lambda: Truncated((3,), low=NAN), "bounds low < high, one of them finite"),
        (lambda: Truncated((3,), low=-math.inf), "bounds low < high, one of them finite"),
        (lambda: Dequantized((3,), Poisson), "real or positive numbers.*got Poisson"),
        (lambda: Dequantized((3,), Beta), "real or positive numbers.*got Beta"),
        (lambda: MaskedElements(dist.Dirichlet(torch.ones(3))), "law over single numbers"),
        (lambda: ClampedLaw(dist.Dirichlet(torch.ones(3)), 0.1), "law over single numbers"),
        (lambda: FamilyPrior((3,), partial(Mixture, components=0)), "one component or more"),
        (lambda: Masked((3,), Normal((3,))), "Masked builds the family itself: give it Normal al"),
        (
            lambda: Mixture((3,), Binomial((3,), total=16)),
            r"Binomial alone, or with its options functools.partial\(Binomial, \.\.\.\), not one",
        ),
        (
            lambda: Product((2,), [Normal, Poisson])(torch.zeros(3), rate=torch.ones(())),
            "The family Product takes no rate; leave it out",
        ),
        (
            lambda: Product((2,), [Normal, Bernoulli])(torch.zeros(3), exposure=torch.ones(())),
            "The family Product takes no exposure; leave it out",
        ),
    ],
)
def test_refusals(make: Callable[[], Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()


@pytest.mark.parametrize(
    "make",
    [
        lambda f: Masked((2,), f),
        lambda f: Truncated((2,), f),
        lambda f: Mixture((2,), f),
        lambda f: Dequantized((2,), f),
        lambda f: Product((2,), [Normal, f]),
        lambda f: FamilyPrior((2,), f),
        lambda f: FamilyPrior((2,), partial(Masked, family=f)),
    ],
)
@pytest.mark.parametrize("wrong", [priors.Laplace, HuberLaw, dist.Normal, MaskedElements])
def test_names_of_other_places(make: Callable[[Any], Any], wrong: Any) -> None:
    r"""Families, priors and distributions share names; the sentence tells where to find which."""
    module, name = wrong.__module__, wrong.__name__
    given = [wrong, partial(wrong)]
    if wrong is priors.Laplace:
        given.append(lambda shape: wrong(shape))

    for builder in given:
        with pytest.raises(ValueError, match=f"got {module}.{name}, .* from ppl_vae.families"):
            make(builder)
