r"""Laws of counts by densities."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from wrapper_cases import Constructor, random

from ppl_vae.conditional import Conditional
from ppl_vae.evaluation import log_evidence
from ppl_vae.families import Dequantized, Huber, Laplace, LogNormal, Normal
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE
from ppl_vae.priors import StandardNormal


def exact_cells(p: Any, y: Tensor) -> Tensor:
    return (p.base_dist.cdf(y + 1) - p.base_dist.cdf(y)).log().sum(-1)


@pytest.mark.parametrize("family", [Normal, Laplace, Huber])
def test_dequantized_is_unbiased_and_tightens(float64: None, family: Constructor) -> None:
    r"""exp(log p) averages to the probability of the cell; a bound rises with K. z-scores: a seed
    fails once in 3000 times."""
    inner, wrapped = family((2,)), Dequantized((2,), family)
    h = random(inner) / 2
    y = torch.tensor([1.0, -1.0])
    exact = exact_cells(inner(h), y)
    log_prob = wrapped(h.expand(40000, *h.shape)).log_prob(y)
    p = (log_prob - exact).exp()

    assert log_prob.unique().numel() == 40000  # fresh noise for each
    assert abs((p.mean() - 1) / p.std() * 200) < 3.6
    means = [
        log_prob.view(-1, K).logsumexp(1).sub(math.log(K)).mean() - exact for K in (1, 10, 1000)
    ]
    assert means[0] < means[1] < means[2]
    assert abs(means[2]) < 3.6 * float(p.std()) / 200 + float(p.var()) / 1000


def test_dequantized_bound_meets_the_evidence(float64: None) -> None:
    r"""Of a model whose likelihood does not depend on z: log p(x) is that of the cells."""

    class Still(torch.nn.Module):
        def __init__(self, in_shape: torch.Size, out_shape: torch.Size) -> None:
            super().__init__()
            self.h = torch.nn.Parameter(torch.randn(out_shape))

        def forward(self, c: Tensor) -> Tensor:
            return self.h.expand(len(c), *self.h.shape)

    model = VAE(StandardNormal((2,)), Conditional((2,), Dequantized((3,)), Still))
    guide = Amortized(Conditional((3,), Normal((2,)), Still))
    torch.nn.init.zeros_(guide.posterior.net.h)  # type: ignore[attr-defined]
    x = torch.tensor([[0.0, 1.0, -1.0], [2.0, 0.0, 0.0]])
    h = model.likelihood.net.h.detach()  # type: ignore[union-attr]
    exact = exact_cells(Normal((3,))(h), x)  # type: ignore[arg-type]
    one = log_evidence(model, guide, x, particles=1000)

    # A random seed fails once in 10000 times.
    assert ((one.log_evidence - exact) / one.standard_error).abs().max() < 4
    assert (one.elbo < exact).all()


def test_dequantized_draws_and_support() -> None:
    p = Dequantized((3,))(torch.randn(5, 2, 3))
    y = p.sample((100,))
    support: Any = p.support

    assert torch.equal(y, y.floor()) and support.check(y).all() and support.is_discrete
    assert support.event_dim == 1 and not support.check(y + 0.5).any()
    positive = Dequantized((3,), LogNormal)
    support = positive(random(positive)).support
    assert support.check(torch.zeros(3)) and not support.check(torch.tensor([0.0, 1.0, -1.0]))
    assert p.expand((4, 5)).log_prob(y[0]).shape == (4, 5)
    # The mean is a half less than that of the density. z-scores: once in 3000 times.
    y = p.sample((20000,))
    wide = Dequantized((3,))(torch.tensor([[0.3, 7.0, -2.0], [2.0, 2.0, 2.0]]))
    y = wide.sample((20000,))
    assert ((y.mean(0) - wide.mean) / y.std(0) * 20000**0.5).abs().max() < 3.9
