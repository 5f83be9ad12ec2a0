r"""Laws of bidirectional Monte Carlo: the truth lies between both sides."""

from __future__ import annotations

import pyro.distributions as dist
import pytest
import torch
from annealing_cases import coins, linear, sandwiches, summed

from ppl_vae import families, priors
from ppl_vae.conditional import Conditional
from ppl_vae.evaluation.annealing import (
    Annealed,
    Sandwich,
    sandwich,
)
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE, Linear
from ppl_vae.networks import mlp


def test_sandwich_holds_the_truth(float64: None) -> None:
    r"""The edges hold the exact evidence at their level of 95 %.

    For 89 of 100 data sets at the least, which edges of exactly that level miss 0.4 % of the time.
    """
    model, guide, x = linear(2)
    found = sandwich(
        model, guide, {"x": x}, n=1000, particles=0, steps=5, chains=4, leapfrog=2, compile="off"
    )
    assert sandwiches(found, model.log_evidence(found.data["x"])) >= 89
    assert 0.1 < (found.upper - found.lower).mean() < 5  # neither exact nor far off


def test_sandwich_of_coins(float64: None) -> None:
    r"""As above, for discrete latent variables, whose evidence is a sum."""
    model, guide, x = coins(2)
    found = sandwich(model, guide, {"x": x}, n=1000, particles=0, steps=5, chains=4, compile="off")
    assert sandwiches(found, summed(model, found.data["x"])) >= 89
    assert 0.01 < (found.upper - found.lower).mean() < 5


def test_weights_backward_are_unbiased(float64: None) -> None:
    r"""The mean of exp(log p(x) - upper) is one over draws of the model: |z| > 4 once in 16000.

    Of a model whose posterior is not far from the prior: else the weights have heavy tails.
    """
    model = Linear(6, 2, scale=3.0)
    guide, batch = Amortized(model.posterior), {"x": torch.zeros(1, 6)}
    found = sandwich(
        model, guide, batch, n=400, particles=0, steps=4, chains=10, leapfrog=3, compile="off"
    )
    ratio = (model.log_evidence(found.data["x"]) - found.upper).exp().detach()
    assert ratio.std() > 0.01
    assert abs((ratio - 1).mean() / (ratio.std() / 20)) < 4


@pytest.mark.slow
def test_sandwich_tells_what_is_enough(float64: None) -> None:
    model, guide, x = linear(2)
    found = sandwich(model, guide, {"x": x}, n=20, particles=200, steps=1000)
    # With the exact guide all weights are alike.
    assert found.cubo is not None and found.importance is not None
    torch.testing.assert_close(found.cubo, found.importance, rtol=0, atol=1e-6)
    told = found.summary()
    assert told["level"] == "good" and "200 particles are enough" in told["verdict"]

    far = Amortized(lambda x: dist.Normal(torch.full((len(x), 2), 4.0), 0.1).to_event(1))
    found = sandwich(model, far, {"x": x}, n=20, particles=200, steps=50).summary()
    assert "not enough" in found["verdict"]


def test_simulated_data_are_like_real_ones() -> None:
    r"""With their missing entries, and their rows over again where there are too few."""
    likelihood = Conditional((2,), families.Masked((4,), families.Normal), mlp([8]))
    q = Conditional((4,), families.Normal((2,)), mlp([8]), missing=True)
    x = torch.randn(3, 4)
    x[0, 1] = torch.nan
    model, guide = VAE(priors.StandardNormal((2,)), likelihood), Amortized(q)
    found = sandwich(model, guide, {"x": x}, n=7, particles=30, steps=3, chains=2, leapfrog=2)
    missing = found.data["x"].isnan()
    assert missing.sum() == 3 and missing[[0, 3, 6], 1].all()
    assert found.lower.isfinite().all() and found.upper.isfinite().all()

    counts = Conditional((2,), families.Poisson((4,)), mlp([8]))
    model = VAE(priors.StandardNormal((2,)), counts)
    guide = Amortized(Conditional((4,), families.Normal((2,)), mlp([8])))
    batch = {"x": torch.ones(3, 4), "exposure": torch.tensor([1.0, 2.0, 3.0])}
    found = sandwich(model, guide, batch, n=7, particles=30, steps=3, chains=2, leapfrog=2)
    assert found.data["exposure"].tolist() == [1, 2, 3, 1, 2, 3, 1]

    with pytest.raises(ValueError, match="the batch is empty"):
        sandwich(model, guide, {"x": torch.ones(0, 4)}, n=7)


def test_verdicts_heed_their_errors() -> None:
    r"""No sentence says more than the intervals do; what is not finite is poor."""
    few = Sandwich(
        torch.tensor([-3.0]), torch.tensor([-2.9]), torch.ones(1), importance=torch.tensor([-5.0])
    )
    told = few.summary()
    assert told["level"] == "poor" and "not decided" in told["verdict"]

    lost = Annealed(torch.tensor([-1.0, torch.nan]), *torch.ones(3, 2).unbind())
    assert lost.summary()["level"] == "poor" and "1 of 2 data" in lost.summary()["verdict"]
