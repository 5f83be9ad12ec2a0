r"""Laws of what goes together: refusals by name, and verdicts on programs of a user's own."""

from __future__ import annotations

from functools import partial
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from program_cases import PROGRAMS
from torch import Tensor

from ppl_vae import families, guides, priors
from ppl_vae.legality import judge
from ppl_vae.listing import compose, describe, verdict_of
from ppl_vae.networks import dcgan
from ppl_vae.objectives import ELBO, IWAE, MeanFieldELBO
from ppl_vae.svi import SVI

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "kinds": (
        {"posterior": families.Categorical},
        "is continuous in the model, Normal, but discrete in the guide, Categorical; take",
    ),
    "simplex in space": (
        {"posterior": families.Dirichlet},
        "Dirichlet, on a surface that is no more than a slice of the support of the model's Normal",
    ),
    "sphere in space": ({"posterior": families.PowerSpherical}, "take a prior on that surface"),
    "space on a sphere": (
        {"prior": priors.SphericalUniform},
        "outside of the support of the model's SphericalUniform; take a posterior whose support",
    ),
    "sphere on a simplex": (
        {"prior": lambda shape: priors.FamilyPrior(shape, families.Dirichlet)}
        | {"posterior": families.VonMisesFisher},
        "outside of the support of the model's Dirichlet",
    ),
    "rare counts": (
        # A count of ten, the first that the prior has not, is one draw in ten million.
        {"prior": priors.Categorical, "posterior": families.Poisson},
        "outside of the support of the model's Categorical",
    ),
    "estimated density": (
        {"prior": lambda shape: priors.FamilyPrior(shape, families.Dequantized)}
        | {"posterior": families.Dequantized},
        "from Dequantized, the density of which is an estimate",
    ),
    "point masses": (
        {"prior": lambda shape: priors.FamilyPrior(shape, families.Gamma)}
        | {"posterior": families.Clamped},
        "take a",
    ),
    "integers": (
        {"prior": priors.Bernoulli, "posterior": families.Categorical},
        "takes no draws of type torch.int64",
    ),
    "score function": (
        {"prior": priors.Bernoulli, "posterior": families.Bernoulli, "objective": MeanFieldELBO},
        "'z' is drawn from Bernoulli without. Use ELBO.",
    ),
    "order": ({"guide": guides.BottomUp, "objective": MeanFieldELBO}, "the model's order, z2, z1"),
    "vamp of layers": ({"prior": priors.Vamp, "guide": guides.BottomUp}, "such as GaussianMixture"),
    "path": (
        {"prior": priors.Bernoulli, "posterior": families.Bernoulli}
        | {"guide": guides.SemiAmortized},
        "take a reparameterized posterior",
    ),
    "second derivative": (
        {"prior": lambda shape: priors.FamilyPrior(shape, families.Gamma)}
        | {"posterior": families.Gamma, "guide": guides.SemiAmortized},
        "have no second derivative; give through=False",
    ),
    "normal layers": (
        {"posterior": families.Laplace, "guide": guides.Ladder},
        "Ladder",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    parts, sentence = REFUSED[name]
    verdict = verdict_of(**parts)

    assert not verdict.legal
    assert sentence in verdict.reason and verdict.reason.endswith(".")
    assert "\n" not in verdict.reason and "Trace Shapes" not in verdict.reason


def test_particles_and_batch_norm() -> None:
    r"""The objective decides: several particles at once, in a decoder that normalizes batches."""
    from ppl_vae.conditional import Conditional
    from ppl_vae.models import VAE
    from ppl_vae.networks import mlp

    net = dcgan(channels=[4], norm="batch")
    model = VAE(priors.StandardNormal((2,)), Conditional((2,), families.Bernoulli((1, 4, 4)), net))
    guide = guides.Amortized(Conditional((1, 4, 4), families.Normal((2,)), mlp([8])))

    assert judge(model, guide, ELBO()).legal
    assert "would mix the particles" in judge(model, guide, IWAE()).reason
    assert judge(model, guide, IWAE(vectorized=False)).legal


@pytest.mark.parametrize("name", PROGRAMS)
def test_programs_that_train_are_legal(name: str) -> None:
    model, guide, x = PROGRAMS[name]()
    before = torch.get_rng_state()

    assert judge(model, guide, ELBO(), {"x": x}).legal
    assert torch.get_rng_state().equal(before)  # judging draws nothing


class Shares(families.Family):
    r"""A family of a user's own, which declares nothing."""

    def forward(self, h: Tensor) -> Any:
        (h,) = self.unbind(h)
        return dist.Kumaraswamy(h.exp(), h.exp() + 1).to_event(len(self.event_shape))


def test_a_class_of_ones_own_is_judged_alike() -> None:
    posterior: Any = Shares

    assert verdict_of(prior=partial(priors.Uniform, low=0.0, high=1.0), posterior=posterior).legal
    assert verdict_of(posterior=posterior).legal  # (0, 1) is a part of the real line
    refused = verdict_of(prior=priors.SphericalUniform, posterior=posterior)
    assert "outside of the support" in refused.reason


def test_judging_changes_nothing() -> None:
    r"""Neither buffers nor parameters, nor what comes of a training after it."""
    found = []

    for asked in (False, True):
        pyro.clear_param_store()
        torch.manual_seed(0)
        model, guide, x = compose(posterior=families.Flow)
        if asked:
            judge(model, guide, IWAE(), {"x": x})
        svi = SVI(model, guide, partial(torch.optim.Adam, lr=1e-2), compile="off")
        torch.manual_seed(1)
        found.append([float(svi.step(x)) for _ in range(3)])

    assert found[0] == found[1]


@pytest.mark.parametrize(
    "p, words",
    [
        (dist.Normal(torch.zeros(3), 1.0).to_event(1), "real"),
        (dist.Gamma(1.0, 1.0), "above 0"),
        (dist.Poisson(1.0), "counts"),
        (dist.Categorical(torch.ones(4) / 4), "0 ... 3"),
        (dist.OneHotCategorical(torch.ones(4) / 4), "one-hot"),
        (dist.Dirichlet(torch.ones(3)), "simplex"),
        (dist.Beta(1.0, 1.0), "[0, 1]"),
    ],
)
def test_supports_in_words(p: Any, words: str) -> None:
    assert describe(p.support) == words
