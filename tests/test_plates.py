r"""Weights of programs with plates, scales and masks."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from program_cases import D, close, d, n, normal, particles, vae
from pyro import poutine
from torch import Tensor

from ppl_vae import families, priors
from ppl_vae.weights import log_weights, rescore


@particles
@torch.no_grad()
def test_minibatch(float64: None, K: int, vectorized: bool) -> None:
    r"""The scale of a minibatch stands apart, and leaves the densities as they are."""

    def model(x: Tensor) -> None:
        with pyro.plate("data", 100, subsample=x):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 0.5), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", 100, subsample=x):
            pyro.sample("z", dist.Normal(0.3 * x, 0.8))

    x = torch.randn(n)
    w = log_weights(model, guide, x, K, vectorized=vectorized)
    z = w.sites["z"].value

    assert w.scale == 100 / n
    close(w.likelihood, dist.Normal(z, 0.5).log_prob(x))
    close(w.prior, dist.Normal(0.0, 1.0).log_prob(z))
    close(w.guide, dist.Normal(0.3 * x, 0.8).log_prob(z))

    again = rescore(model, guide, x, {"z": z})
    assert again.scale == w.scale
    close(again.log_weight, w.log_weight)


@torch.no_grad()
def test_subsample_of_the_program(float64: None) -> None:
    r"""Where the program draws its minibatch itself, both programs are scored at the same rows."""

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), subsample_size=3) as rows:
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 0.5), obs=x[rows])

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x), subsample_size=3) as rows:
            pyro.sample("z", dist.Normal(x[rows], 1e-9))

    x = torch.randn(5)
    w = log_weights(model, guide, x)
    values = {"z": w.sites["z"].value}
    fit = dist.Normal(0.0, 0.5).log_prob(torch.zeros(()))

    assert w.scale == 5 / 3
    close(w.likelihood, fit.expand(1, 3), 1e-6)  # z = x at every row

    for _ in range(10):  # other rows, the same in both programs: z is x in both or in none
        again = rescore(model, guide, x, values)
        assert ((again.guide > 0) == ((again.likelihood - fit).abs() < 1e-6)).all()


@particles
@torch.no_grad()
def test_masks(float64: None, K: int, vectorized: bool) -> None:
    r"""Masked terms are zero in each program."""

    def model(x: Tensor, seen: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            with poutine.mask(mask=seen):
                pyro.sample("x", dist.Normal(z, 0.5), obs=x)

    def guide(x: Tensor, seen: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1), poutine.mask(mask=~seen):
            pyro.sample("z", dist.Normal(0.0, 2.0))

    x, seen = torch.randn(n), torch.tensor([True, False] * 2)
    w = log_weights(model, guide, {"x": x, "seen": seen}, K, vectorized=vectorized)
    z = w.sites["z"].value

    close(w.likelihood[:, seen], dist.Normal(z, 0.5).log_prob(x)[:, seen])
    close(w.guide[:, ~seen], dist.Normal(0.0, 2.0).log_prob(z)[:, ~seen])
    assert (w.likelihood[:, ~seen] == 0).all() and (w.guide[:, seen] == 0).all()
    close(w.sites["z"].kl()[:, seen], torch.zeros(K, 2))  # the mask is that of the guide

    # Gradients of masked NaN are NaN, so they are refused all the same.
    with pytest.raises(ValueError, match=r"'x' hold NaN.*fill missing entries"):
        log_weights(model, guide, {"x": x.where(seen, math.nan), "seen": seen}, K)


@particles
@torch.no_grad()
def test_global(float64: None, K: int, vectorized: bool) -> None:
    r"""What lies outside of the data's plate stands apart, and no datum has a weight."""

    def model(x: Tensor) -> None:
        mu = pyro.sample("mu", dist.Normal(0.0, 1.0))
        with pyro.plate("data", 100, subsample=x):
            z = pyro.sample("z", dist.Normal(mu, 1.0))
            pyro.sample("x", dist.Normal(z, 0.5), obs=x)
        pyro.sample("sum", dist.Normal(mu, 1.0), obs=torch.tensor(2.0))

    def guide(x: Tensor) -> None:
        mu = pyro.sample("mu", dist.Normal(0.2, 0.5))
        with pyro.plate("data", 100, subsample=x):
            pyro.sample("z", dist.Normal(0.5 * (mu + x), 0.8))

    x = torch.randn(n)
    w = log_weights(model, guide, x, K, vectorized=vectorized)
    mu = w.sites["mu"].value.reshape(K, 1)
    term = dist.Normal(0.0, 1.0).log_prob(mu) - dist.Normal(0.2, 0.5).log_prob(mu)

    close(w.global_term, term + dist.Normal(mu, 1.0).log_prob(torch.tensor(2.0)))
    close(w.prior, dist.Normal(mu, 1.0).log_prob(w.sites["z"].value))
    assert w.global_sites == ("mu", "sum") and not w.sites["mu"].local and w.sites["z"].local

    with pytest.raises(ValueError, match=r"Site 'mu' lies outside of the plate of the data"):
        _ = w.log_weight


def test_divergences(float64: None) -> None:
    r"""The divergence of a site, in closed form or estimated, is the mean of log q - log p."""
    K, model, guide, x = (
        20_000,
        *vae(priors.LearnedNormal((d,)), normal((d,)), families.Bernoulli((D,))),
    )
    with torch.no_grad():
        model.prior.loc.normal_()
        site = log_weights(model, guide, x, K).sites["z"]
    estimate = site.log_q - site.log_p
    z = (estimate.mean(0) - site.kl()[0]) / (estimate.std(0) / K**0.5)

    assert site.kl().shape == (K, n) and (site.kl() == site.kl()[0]).all()
    assert z.abs().max() < 4.5  # seed 0, four data: fails once in 40000
