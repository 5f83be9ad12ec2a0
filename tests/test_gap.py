r"""Laws of the inference gap: its parts in closed form, and the verdicts that follow."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ppl_vae import families
from ppl_vae.conditional import Conditional
from ppl_vae.evaluation import inference_gap
from ppl_vae.guides import Amortized, BottomUp
from ppl_vae.models import Linear
from ppl_vae.networks import mlp


def pair(correlated: float = 0.0) -> tuple[Linear, Tensor]:
    r"""Probabilistic PCA of two latent variables, which the data may tie together."""
    model = Linear(3, 2, scale=0.5)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, correlated], [correlated, 1.0], [0.0, 0.0]]))
    return model, model(n=40).detach()


def affine(model: Linear, family: families.Family) -> Amortized:
    r"""An encoder that tells the exact means, and scales by its bias alone."""
    q = Conditional((3,), family, mlp([]))
    layer = next(m for m in q.net.modules() if isinstance(m, nn.Linear))
    with torch.no_grad():
        layer.weight.zero_()
        layer.bias.zero_()
        zero = model.posterior(torch.zeros(1, 3)).mean[0]
        rows = torch.stack([model.posterior(e[None]).mean[0] - zero for e in torch.eye(3)], 1)
        layer.weight[:2], layer.bias[:2] = rows, zero
    return Amortized(q)


def test_family_in_closed_form(float64: None) -> None:
    r"""The best independent normal posterior misses the correlation.

    .. math:: \tfrac{1}{2} \Big( \sum_i \log \Lambda_{ii} - \log |\Lambda| \Big)

    with the precision of the exact posterior. Of 40 data with 1000 draws each, z < 4.5.
    """
    model, x = pair(correlated=0.8)
    guide = Amortized(Conditional((3,), families.Normal((2,)), mlp([8])))
    gap = inference_gap(model, guide, x, particles=1000, refinement=300, steps=60, chains=64)
    precision = torch.eye(2) + model.weight.mT @ model.weight / model.log_scale.exp() ** 2
    exact = (precision.diagonal().log().sum() - torch.logdet(precision)).detach() / 2
    assert exact > 0.3
    error = gap.family.std() / len(x) ** 0.5
    # What refinement leaves is a bias of less than 0.01 nats.
    assert abs(gap.family.mean() - exact) < 4.5 * error + 0.01
    torch.testing.assert_close(
        gap.amortization + gap.family, gap.log_evidence - gap.elbo, rtol=0, atol=1e-9
    )


def test_a_family_that_holds_the_posterior(float64: None) -> None:
    r"""Of means that are right and spreads that are not, all is amortization."""
    model, x = pair()
    guide = affine(model, families.FullRankNormal((2,)))
    gap = inference_gap(model, guide, x, refinement=200, steps=0)
    # As above: z < 4.5, once in 150000, and what refinement leaves.
    assert abs(gap.family.mean()) < 4.5 * gap.family.std() / len(x) ** 0.5 + 0.01
    told = gap.summary()
    assert told["amortization_gap"] > 0.1
    # The encoder tells variances of about one, where the posterior's are smaller.
    assert told["misfit"]["faults"] == ["too wide"] and "too wide" in told["verdict"]


def test_verdicts(float64: None) -> None:
    model, x = pair()
    far = Amortized(Conditional((3,), families.FullRankNormal((2,)), mlp([8])))
    with torch.no_grad():
        for p in far.posterior.parameters():
            p.mul_(3)
    options: dict[str, Any] = {"particles": 200, "steps": 20}
    early = inference_gap(model, far, x, refinement=20, **options).summary()
    assert "had not settled" in early["verdict"] and "at fault" not in early["verdict"]
    encoder = inference_gap(model, far, x[:15], refinement=600, **options).summary()
    assert encoder["amortization_gap"] > 1 and "The encoder is at fault" in encoder["verdict"]

    model = Linear(3, 2, scale=0.05)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0, 0.98], [0.98, 1.0], [0.0, 0.0]]))
    x = model(n=20).detach()
    guide = Amortized(Conditional((3,), families.Normal((2,)), mlp([])))
    refined = inference_gap(model, guide, x, particles=200, refinement=500, steps=0)
    family = refined.summary()
    assert family["family_gap"] > 1

    exact = Amortized(model.posterior)
    with pytest.raises(ValueError, match="needs a guide with one Conditional"):
        inference_gap(model, exact, x)


def test_hierarchies_are_refused() -> None:
    from program_cases import hierarchical

    model, guide, x = hierarchical()
    assert isinstance(guide, BottomUp)
    with pytest.raises(ValueError, match="one Conditional of the data"):
        inference_gap(model, guide, x)
