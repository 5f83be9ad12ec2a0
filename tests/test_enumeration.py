r"""Weights of programs with sites that are summed out."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from program_cases import close, n
from torch import Tensor

from ppl_vae.weights import log_joint, log_weights


@pytest.mark.parametrize("K", [1, 5])
@pytest.mark.parametrize("dim", [-1, -2], ids=["rightmost", "second"])
@torch.no_grad()
def test_enumeration(float64: None, K: int, dim: int) -> None:
    r"""Sites that the model marks are summed out: the explicit mixture."""
    pi, rho = torch.tensor([0.2, 0.3, 0.5]), torch.tensor([[0.4, 0.6], [0.9, 0.1], [0.5, 0.5]])
    mu, nu = torch.tensor([-1.0, 0.5, 2.0]), torch.tensor([0.0, 0.7])
    parallel = {"enumerate": "parallel"}

    def model(x: Tensor, y: Tensor) -> None:
        with pyro.plate("data", n, dim=dim):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            a = pyro.sample("a", dist.Categorical(pi), infer=parallel)
            b = pyro.sample("b", dist.Categorical(rho[a]), infer=parallel)
            pyro.sample("x", dist.Normal(z + mu[a] + nu[b], 0.5), obs=x)
            pyro.sample("y", dist.Normal(z, 1.0), obs=y)

    def guide(x: Tensor, y: Tensor) -> None:
        with pyro.plate("data", n, dim=dim):
            pyro.sample("z", dist.Normal(0.3 * x, 0.8))

    x, y = torch.randn(2, n)
    column = (n,) if dim == -1 else (n, 1)
    w = log_weights(model, guide, {"x": x.reshape(column), "y": y.reshape(column)}, K)
    z = w.sites["z"].value.reshape(K, n)

    joint = pi.log()[:, None] + rho.log()
    joint = joint + dist.Normal(z[..., None, None] + mu[:, None] + nu, 0.5).log_prob(
        x[:, None, None]
    )
    close(w.likelihood, joint.flatten(-2).logsumexp(-1) + dist.Normal(z, 1.0).log_prob(y))
    close(w.prior, dist.Normal(0.0, 1.0).log_prob(z))
    assert list(w.sites) == ["z"]

    likelihood, _ = log_joint(
        model, {"x": x.reshape(column), "y": y.reshape(column)}, {"z": w.sites["z"].value}
    )
    close(likelihood, w.likelihood)


@pytest.mark.parametrize("K", [1, 5])
@torch.no_grad()
def test_enumeration_of_all_latents(float64: None, K: int) -> None:
    pi, mu = torch.tensor([0.2, 0.3, 0.5]), torch.tensor([-1.0, 0.5, 2.0])

    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            c = pyro.sample("c", dist.Categorical(pi), infer={"enumerate": "parallel"})
            pyro.sample("x", dist.Normal(mu[c], 0.5), obs=x)

    def guide(x: Tensor) -> None:
        pass

    x = torch.randn(n)
    mixture = dist.MixtureSameFamily(dist.Categorical(pi), dist.Normal(mu, 0.5))
    close(log_weights(model, guide, x, K).log_weight, mixture.log_prob(x).expand(K, n))


@pytest.mark.parametrize("K", [1, 5])
def test_enumeration_refused(K: int) -> None:
    r"""The sum over a site that all data share is no sum for each datum."""
    parallel = {"enumerate": "parallel"}

    def outside(x: Tensor) -> None:
        c = pyro.sample("c", dist.Bernoulli(0.3), infer=parallel)
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("x", dist.Normal(c, 1.0), obs=x)

    def inside(x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            c = pyro.sample("c", dist.Bernoulli(0.3), infer=parallel)
            with pyro.plate("inner", 2, dim=-2):
                pyro.sample("x", dist.Normal(c, 1.0), obs=x.mT)

    def guide(x: Tensor) -> None:
        pass

    with pytest.raises(ValueError, match=r"Site 'c' is enumerated.* outside"):
        log_weights(outside, guide, torch.randn(n), K)
    with pytest.raises(ValueError, match=r"Site 'x' depends on an enumerated site and lies in a"):
        log_weights(inside, guide, torch.randn(n, 2), K)
