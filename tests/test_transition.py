r"""Laws of transitions and of their step sizes: they keep the posterior, in every space."""

from __future__ import annotations

import itertools
import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from annealing_cases import coins, linear
from scipy import stats
from torch import Tensor
from torch.distributions.transforms import identity_transform

from ppl_vae.distributions import SphericalUniform
from ppl_vae.evaluation.annealing.chain import pilot
from ppl_vae.evaluation.annealing.from_prior import FromPrior
from ppl_vae.evaluation.annealing.path import Path
from ppl_vae.evaluation.annealing.schedule import schedule
from ppl_vae.evaluation.annealing.sizes import StepSizes, log_widths
from ppl_vae.evaluation.annealing.space import Flat, Spherical
from ppl_vae.evaluation.annealing.transition import follow, jump, move
from ppl_vae.guides import Amortized
from ppl_vae.models import Linear
from ppl_vae.weights import draw_sites, redraw_site
from ppl_vae.weights.layout import vectors

# One space


@pytest.mark.parametrize("leapfrog", [1, 5])
def test_moves_keep_the_posterior(float64: None, leapfrog: int) -> None:
    r"""Exact draws of the posterior stay exact draws: two-sample z-scores of two moments.

    Chains of ten moves from 4000 exact draws; |z| > 4.5 of eight once in 20000.
    """
    model, guide, x = linear(2)
    path = Path(model, guide, x, "prior", 2**29)
    exact = model.posterior(x)
    with torch.no_grad(), pyro.validation_enabled(False):
        point, sizes = path.at(x, {"z": exact.sample((4000,))}), {"z": torch.tensor([0.4, 0.8])}
        for _ in range(10):
            point, _ = move(path, x, point, torch.tensor(1.0), sizes, leapfrog)

    e = ((point.u["z"] - exact.mean) / exact.stddev).detach()
    assert (e.mean(0).abs() * 4000**0.5 < 4.5).all()
    assert ((e.square().mean(0) - 1).abs() * (4000 / 2) ** 0.5 < 4.5).all()


def test_jumps_keep_the_posterior(float64: None) -> None:
    r"""Exact draws of coins stay exact draws: a chi-squared test, p > 1e-4."""
    model, guide, x = coins(2)
    x = x[:1].expand(2, -1).contiguous()
    path = Path(model, guide, x, "guide", 2**29)
    z = torch.tensor(list(itertools.product([0.0, 1.0], repeat=3)))
    log_p = model.likelihood(z).log_prob(x[0]) + model.prior().log_prob(z)
    with torch.no_grad():
        posterior = log_p.softmax(0)
        exact = z[posterior.multinomial(8000, replacement=True)].reshape(4000, 2, 3)
        point = path.at(x, {"z": exact})
        for share in (1.0, 0.5, 0.1) * 2:
            point = jump(path, x, point, torch.tensor(1.0), share)

    kinds = (point.u["z"] * torch.tensor([4.0, 2.0, 1.0])).sum(-1).long().flatten()
    counts = kinds.bincount(minlength=8).double()
    assert stats.chisquare(counts.numpy(), (8000 * posterior).numpy()).pvalue > 1e-4


def test_redrawn_sites(float64: None) -> None:
    r"""A site drawn anew has the law of its conditional; others, and elements, are left."""
    _, guide, x = coins(4)
    values = draw_sites(guide, x, 2000, depth=1)
    found = redraw_site(guide, x, values, "z", share=0.5, depth=1)
    changed = (found.value != values["z"]).float().mean()
    p = guide.posterior(x).base_dist.probs
    assert abs(changed - (p * (1 - p)).mean()) < 0.02  # half of 2 p (1 - p), of 24000 draws
    assert torch.equal(found.log_old, guide.posterior(x).log_prob(values["z"]))
    assert torch.equal(found.log_new, guide.posterior(x).log_prob(found.value))


# Step sizes


def test_pilot(float64: None) -> None:
    r"""Step sizes bring moves to be accepted as often as they aim at, for each datum."""
    model, guide, x = linear(8, features=20, latent=4)
    path = Path(model, guide, x, "prior", 2**29)
    betas = schedule(100, "sigmoid")
    with torch.no_grad():
        sizes = pilot(path, x, betas, 5)
        assert sizes(100)["z"].shape == (1, 8, 4)
        point = path.at(x, {"z": model.posterior(x).sample((400,))})
        _, accept = move(path, x, point, betas[-1], sizes(100), 5)
    assert ((accept.mean(0) - 0.7).abs() < 0.15).all()


def test_widths_are_those_of_the_posterior(float64: None) -> None:
    r"""Elements whose posteriors are narrow move in small steps, in proportion.

    A width is a mean over 50 data and 8 chains: its logarithm is off by 0.04, its average over
    the last steps of the pilot by less, and what chains lag behind comes on top.
    """
    torch.manual_seed(1)
    model = Linear(features=20, latent=4, scale=0.5)
    with torch.no_grad():
        model.weight.copy_(torch.randn(20, 4) * torch.tensor([3.0, 1.0, 0.3, 0.0]))
    x = model(n=50).detach()
    path = Path(model, Amortized(model.posterior), x, "prior", 2**29)
    with torch.no_grad(), pyro.validation_enabled(False):
        sizes = pilot(path, x, schedule(400, "sigmoid"), 5)(400)["z"]
        exact = model.posterior(x).stddev[0].log()

    # Of one datum: the product of its own size and of the widths that all share.
    found = sizes[0, 0].log()
    assert torch.allclose(found - found.mean(), exact - exact.mean(), atol=0.25)
    assert exact.max() - exact.min() > 2


def test_sizes_between_the_steps_of_a_pilot(float64: None) -> None:
    r"""Log-linear, by datum and element."""
    log_size = torch.tensor([[0.0, 1.0], [2.0, 3.0]])
    log_width = torch.tensor([[[[0.0, 0.5, -0.5]]], [[[1.0, 0.5, -1.5]]]])
    flat = Flat(1, identity_transform)
    sizes = StepSizes(torch.tensor([0, 4]), log_size, {"z": log_width}, {"z": flat})
    expected = torch.tensor([[[0.75, 1.0, -0.25], [1.75, 2.0, 0.75]]])
    assert torch.allclose(sizes(1)["z"].log(), expected)
    assert torch.allclose(sizes(4)["z"].log()[0, 0], torch.tensor([3.0, 2.5, 0.5]))


@pytest.mark.parametrize("far", [1e9, math.inf, math.nan])
def test_widths_do_not_follow_one_chain(float64: None, far: float) -> None:
    r"""Of 50 data a chain of one is far out, or nowhere: the widths hardly change."""
    u = torch.randn(8, 50, 3) * torch.tensor([0.1, 1.0, 10.0])
    d = torch.nn.functional.normalize(torch.randn(8, 50, 4), dim=-1)
    spaces = {"z": Flat(1, identity_transform), "d": Spherical(1)}
    before = log_widths({"z": u, "d": d}, spaces)
    u[3, 7, 1] = far
    after = log_widths({"z": u, "d": d}, spaces)
    assert torch.allclose(before["z"], after["z"], atol=0.02)
    assert (before["z"].diff() - math.log(10)).abs().max() < 0.2
    assert before["d"].shape == (1, 1, 1)


# All spaces at once


def mixed(x: Tensor | None = None, *, n: int = 1) -> Tensor:
    r"""A program that draws in every space, with and without event shapes, and in another plate."""
    n = n if x is None else len(x)
    with pyro.plate("data", n, dim=-1):
        z = pyro.sample("z", dist.Normal(0.0, 1.0).expand([2]).to_event(1))
        s = pyro.sample("s", dist.LogNormal(0.0, 0.5))
        w = pyro.sample("w", dist.Dirichlet(torch.full((3,), 2.0)))
        d = pyro.sample("d", SphericalUniform(3))
        b = pyro.sample("b", dist.Bernoulli(torch.tensor([0.3, 0.6])).to_event(1))
        with pyro.plate("inner", 3, dim=-2):
            e = pyro.sample("e", dist.Normal(0.0, 1.0))
        loc = z.sum(-1) + 2 * w[..., 0] + d[..., 0] + 2 * b.sum(-1)
        loc = loc + e.sum(-2).reshape(loc.shape)
        return pyro.sample("x", dist.Normal(loc, s), obs=x)


def mixed_path(n: int) -> tuple[Path, Tensor, dict[str, Tensor]]:
    r"""Its path from the prior, data, and the latent variables behind them: posterior draws."""
    with torch.no_grad():
        trace = pyro.poutine.trace(mixed).get_trace(n=n)
    x = trace.nodes["x"]["value"]
    path = Path(mixed, FromPrior(mixed), x, "prior", 2**29)
    exact = {name: trace.nodes[name]["value"][None] for name in path.spaces}
    return path, x, path.coordinates(path.repeated(exact, slice(0, n), 1))


def test_moves_are_undone_by_a_turn(float64: None) -> None:
    r"""Leapfrog steps in all spaces at once, the momentum turned, and the same steps again."""
    path, x, _ = mixed_path(5)
    assert len(path.moving) == 5 and path.jumping == ["b"]
    beta = torch.tensor(0.6)
    with torch.no_grad(), pyro.validation_enabled(False):
        point = path.at(x, path.draw(x, 8))
        widths = log_widths({k: point.u[k] for k in path.moving}, path.spaces)
        eps = {k: 0.2 * t.exp() for k, t in widths.items()}
        v = {k: path.spaces[k].momentum(point.u[k]) for k in path.moving}
        there, w = follow(path, x, point, v, beta, eps, 5)
        back, _ = follow(path, x, there, {k: -t for k, t in w.items()}, beta, eps, 5)

    for name in path.moving:
        assert (there.u[name] - point.u[name]).abs().max() > 0.1
        assert torch.allclose(back.u[name], point.u[name], atol=1e-10)


def test_terms_travel_with_the_chains(float64: None) -> None:
    r"""What chains carry along is what the programs tell where the chains are."""
    path, x, _ = mixed_path(4)
    beta = torch.tensor(0.6)
    with torch.no_grad(), pyro.validation_enabled(False):
        begin = point = path.at(x, path.draw(x, 20))
        sizes = {k: torch.tensor(0.3) for k in path.moving}
        point, _ = move(path, x, point, beta, sizes, 2)
        stayed = (point.u["s"] == begin.u["s"]).double().mean()
        point = jump(path, x, point, beta, 0.5)
        fresh = path.at(x, point.u)

    assert 0.1 < stayed < 0.9 and not torch.equal(point.u["b"], begin.u["b"])
    assert torch.equal(point.slope, fresh.slope)
    assert torch.equal(point.log_density(beta), fresh.log_density(beta))
    for name, force in fresh.force(beta).items():
        assert torch.allclose(point.force(beta)[name], force)


def test_moves_in_all_spaces_keep_the_posterior(float64: None) -> None:
    r"""The latent variables behind 4000 data are posterior draws, and stay so.

    Over data of the model they have the law of the prior: z-scores of 26 moments, |z| > 4.5 of one
    in 5000 runs. After Getting It Right (Geweke, 2004), https://doi.org/10.1198/016214504000001132.
    """
    path, x, u = mixed_path(4000)
    with torch.no_grad(), pyro.validation_enabled(False):
        point = path.at(x, u)
        sizes = {k: torch.tensor(0.4) for k in path.moving}
        for share in (1.0, 0.5, 1.0, 0.5):
            point, accept = move(path, x, point, torch.tensor(1.0), sizes, 3)
            point = jump(path, x, point, torch.tensor(1.0), share)
        found = {k: path.spaces[k].value(point.u[k])[0] for k in path.moving} | {"b": point.u["b"]}

    assert 0.3 < accept.mean() < 0.95 and not torch.equal(point.u["b"], u["b"])
    values = (vectors(found[k], path.spaces[k].axis)[0] for k in ("z", "s", "w", "d", "b", "e"))
    z, s, w, d, b, e = values
    normal = torch.cat([z, 2 * s.log(), e], 1)
    # Each with its mean under the prior.
    square = [normal.square() - 1, w.square() - 1 / 7, d.square() - 1 / 3]
    moments = torch.cat([normal, w - 1 / 3, d, b - torch.tensor([0.3, 0.6]), *square], 1)
    scores = moments.mean(0) / moments.std(0) * len(moments) ** 0.5
    assert scores.abs().max() < 4.5, scores
