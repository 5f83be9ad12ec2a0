r"""Laws of the aggregate posterior: the two parts of the KL, and the test against the prior."""

from __future__ import annotations

import math

import pyro.distributions as dist
import pytest
import torch

from ppl_vae.evaluation.latent import Information, surgery
from ppl_vae.models import Linear


def gaussian(model: Linear, wide: float = 1.0, shift: float = 0.0) -> tuple[float, float]:
    r"""The information and the marginal KL of :func:`draws`, in closed form."""
    W, eye = model.weight.detach(), torch.eye(2)
    S = wide**2 * model.posterior(torch.zeros(1, 5)).covariance_matrix[0].detach()
    gain = torch.linalg.solve(W.mT @ W + (2 * model.log_scale).exp().detach() * eye, W.mT)
    moved = gain @ model.covariance.detach() @ gain.mT
    q = dist.MultivariateNormal(torch.full((2,), shift), moved + S)
    information = (torch.logdet(moved + S) - torch.logdet(S)) / 2
    prior = dist.MultivariateNormal(torch.zeros(2), eye)
    return float(information), float(torch.distributions.kl_divergence(q, prior))


def draws(model: Linear, n: int, wide: float = 1.0, shift: float = 0.0) -> Information:
    r"""Two draws for each of ``n`` data of the model, from its posterior, wider and shifted."""
    with torch.no_grad():
        exact = model.posterior(model(n=n))
        q = dist.MultivariateNormal(exact.mean + shift, wide**2 * exact.covariance_matrix)
        z = q.sample((2,))
        # (2, n, n): draws of one against the posterior of all, which have one covariance.
        L = q.scale_tril[0]
        white = [torch.linalg.solve_triangular(L, t.mT, upper=False).mT for t in (z, q.mean)]
        pairs = -torch.cdist(*white).square() / 2 - L.logdet() - math.log(2 * math.pi)
        own = pairs.diagonal(dim1=1, dim2=2)
        others = pairs.masked_fill(torch.eye(n, dtype=torch.bool), -math.inf)
        prior = dist.Normal(0.0, 1.0).log_prob(z).sum(-1)
        return surgery(own, others.logsumexp(2) - math.log(n - 1), prior)


CASES = {"exact": (1.0, 0.0), "wide": (1.4, 0.0), "shifted": (1.0, 0.5)}
cases = pytest.mark.parametrize("name", CASES)


@cases
def test_bracket_holds(float64: None, name: str) -> None:
    r"""Over 200 sets of 40 data the means lie on their sides, 4 standard errors aside (1 in 30000).

    Both sides are strict here: what a set of data is short of is more than these errors.
    """
    model = Linear(5, 2, scale=0.7)
    exact, marginal = gaussian(model, *CASES[name])
    found = [draws(model, 40, *CASES[name]) for _ in range(200)]

    for truth, brackets in (
        (exact, [f.mutual for f in found]),
        (marginal, [f.marginal for f in found]),
    ):
        low, high = (torch.tensor([getattr(b, k) for b in brackets]) for k in ("lower", "upper"))
        assert low.mean() + 4 * low.std() / 200**0.5 < truth + 1e-12
        assert high.mean() - 4 * high.std() / 200**0.5 > truth - 1e-12

    assert all(f.mutual.lower <= f.ceiling + 1e-12 for f in found)


@cases
def test_bracket_closes(float64: None, name: str) -> None:
    r"""With 2000 data both sides are within 4.5 standard errors of the truth (1 in 100000 each)."""
    model = Linear(5, 2, scale=0.7)
    found = draws(model, 2000, *CASES[name])

    truths = gaussian(model, *CASES[name])
    for truth, bracket in zip(truths, (found.mutual, found.marginal), strict=True):
        assert abs(bracket.lower - truth) < 4.5 * bracket.lower_error + 0.01
        assert abs(bracket.upper - truth) < 4.5 * bracket.upper_error + 0.01
        assert bracket.upper - bracket.lower < 0.05


def test_exact_guide_has_no_marginal(float64: None) -> None:
    r"""Its aggregate posterior is the prior, and all of the rate is information."""
    model = Linear(5, 2, scale=0.7)
    exact, marginal = gaussian(model)
    determinant = torch.logdet(model.covariance.detach()) - 5 * 2 * model.log_scale.detach()
    assert marginal == pytest.approx(0, abs=1e-12)
    assert exact == pytest.approx(float(determinant) / 2)


def test_errors_are_calibrated(float64: None) -> None:
    r"""The spread over 200 sets of data is what the error of one says, within 20 %.

    Each spread of 200 is known to 5 %, so that the four fail once in 4000.
    """
    model = Linear(5, 2, scale=0.7)
    found = [draws(model, 100, 1.4, 0.3) for _ in range(200)]

    for name in ("mutual", "marginal"):
        for side in ("lower", "upper"):
            values = torch.tensor([getattr(getattr(f, name), side) for f in found])
            errors = torch.tensor([getattr(getattr(f, name), f"{side}_error") for f in found])
            assert values.std() / errors.square().mean().sqrt() == pytest.approx(1, abs=0.2)


def test_parts_add_up(float64: None) -> None:
    r"""The rate is the information and the marginal KL, on opposite sides of the brackets."""
    found = draws(Linear(5, 2), 30, 1.2, 0.2)
    rate = float(found.kl.mean())
    assert found.mutual.lower + found.marginal.upper == pytest.approx(rate, abs=1e-12)
    assert found.mutual.upper + found.marginal.lower == pytest.approx(rate, abs=1e-12)


def test_apart_and_alike(float64: None) -> None:
    r"""Codes that never meet show log n and no more; codes that are all alike show nothing."""
    n = 7
    alike = torch.randn(3, n)
    found = surgery(alike, alike, alike)
    assert max(map(abs, vars(found.mutual).values())) < 1e-12
    apart = surgery(torch.zeros(3, n), torch.full((3, n), -math.inf), torch.zeros(3, n))
    assert apart.mutual.lower == pytest.approx(math.log(n)) == apart.ceiling
    assert apart.mutual.upper == math.inf and apart.mutual.told()["upper"] is None
