r"""Laws of mixtures: of whole draws, and of counts with more zeros."""

from __future__ import annotations

import mpmath
import pyro.distributions as dist
import pytest
import torch
from wrapper_cases import random

from ppl_vae.distributions import ZeroInflated as ZeroInflatedLaw
from ppl_vae.families import Bernoulli, Mixture


def test_mixture_is_a_sum(float64: None) -> None:
    r"""Over pictures: whole draws are mixed, not pixels."""
    family = Mixture((1, 2, 2), Bernoulli, components=3)
    inner = Bernoulli((1, 2, 2))
    h = random(family, 5)
    y = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4).view(16, 1, 1, 2, 2)
    logits, rest = h.split([3, 12], -1)
    parts = torch.stack(
        [inner(rest[:, 4 * k : 4 * k + 4].view(5, 1, 1, 2, 2)).log_prob(y) for k in range(3)], -1
    )
    expected = (logits.log_softmax(-1) + parts).logsumexp(-1)

    torch.testing.assert_close(family(h).log_prob(y), expected)
    torch.testing.assert_close(expected.exp().sum(0), torch.ones(5))
    mean = torch.rand(1, 2, 2)
    torch.testing.assert_close(family(family.at_mean(mean)).mean, mean)


@pytest.mark.parametrize("logit", [-80.0, -3.0, 0.0, 3.0, 80.0])
def test_zero_inflation_is_a_mixture(float64: None, logit: float) -> None:
    y = torch.arange(30.0)
    p = ZeroInflatedLaw(dist.Poisson(torch.tensor(2.0)), gate_logits=torch.tensor(logit))
    g, s = mpmath.mpf(1) / (1 + mpmath.exp(-logit)), mpmath.mpf(1) / (1 + mpmath.exp(logit))
    pmf = [
        float(mpmath.log(s * mpmath.mpf(m) + (k == 0) * g))
        for k, m in enumerate(
            mpmath.exp(-2) * mpmath.mpf(2) ** k / mpmath.factorial(k) for k in range(30)
        )
    ]
    found = p.log_prob(y)

    torch.testing.assert_close(found, torch.tensor(pmf), rtol=1e-12, atol=1e-15)
    _ = p.sample(), p.mean
    assert torch.equal(p.log_prob(y), found)  # a draw changes nothing
    assert isinstance(p, dist.ZeroInflatedDistribution)
