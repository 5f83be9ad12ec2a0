r"""Laws of guides without a density: what they draw, and who takes them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from inspect import signature
from typing import Any

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from ppl_vae.conditional import Conditional
from ppl_vae.distributions import Implicit as Law
from ppl_vae.distributions import is_implicit
from ppl_vae.evaluation import log_evidence
from ppl_vae.families import Delta, Family, Implicit, Normal
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE
from ppl_vae.networks import mlp
from ppl_vae.objectives import (
    ELBO,
    IWAE,
    WAE,
    DReG,
    MeanFieldELBO,
    Objective,
    ReweightedWakeSleep,
)
from ppl_vae.priors import StandardNormal
from ppl_vae.svi import SVI
from ppl_vae.weights import log_weights

FAMILIES: dict[str, Callable[..., Family]] = {"Delta": Delta, "Implicit": Implicit}
families = pytest.mark.parametrize("name", FAMILIES)


def programs(name: str) -> tuple[VAE, Amortized, Tensor]:
    torch.manual_seed(0)
    model = VAE(StandardNormal((2,)), Conditional((2,), Normal((5,)), mlp([8])))
    guide = Amortized(Conditional((5,), FAMILIES[name]((2,)), mlp([8])))
    return model, guide, torch.randn(6, 5)


@families
@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_shapes(name: str, shape: tuple[int, ...]) -> None:
    family = FAMILIES[name](shape)

    for batch in ((), (4,), (2, 4)):
        h = torch.randn(*batch, *family.param_shape, requires_grad=True)
        q = family(h)
        assert q.batch_shape == batch and q.event_shape == shape
        assert q.rsample((7,)).shape == (7, *batch, *shape)
        assert q.expand([3, *batch]).rsample().shape == (3, *batch, *shape)
        (gradient,) = torch.autograd.grad(q.rsample().square().sum(), h)
        assert gradient.isfinite().all() and gradient.any()


def test_a_delta_is_a_point() -> None:
    h = torch.randn(4, 1, 3)
    q = Delta((3,))(h)
    assert torch.equal(q.rsample((2,)), h.expand(2, 4, 1, 3).squeeze(2))
    assert torch.equal(q.mean, h.squeeze(1)) and not q.stddev.any()
    assert torch.equal(Delta((3,)).at_mean(h[0, 0]), h[0])


def test_a_delta_has_no_options() -> None:
    assert "features" not in signature(Delta).parameters
    with pytest.raises(TypeError, match="features"):
        Delta((2,), features=2)  # type: ignore[call-arg]


def test_noise_is_drawn_for_each_particle() -> None:
    q = Law(torch.zeros(5, 3), lambda h, noise: h + 2 * noise, noise=3)
    z = q.expand([40_000, 5]).rsample()
    # 200,000 draws of variance 4: the standard error of the variance is 0.013.
    torch.testing.assert_close(z.var((0, 1)), torch.full((3,), 4.0), rtol=0, atol=0.06)
    torch.testing.assert_close(z.mean((0, 1)), torch.zeros(3), rtol=0, atol=0.02)
    with pytest.raises(NotImplementedError):
        _ = q.mean


def test_noise_of_a_family_is_positive() -> None:
    for options in ({"noise": 0}, {"features": 0}):
        with pytest.raises(ValueError, match="positive sizes"):
            Implicit((2,), **options)


@families
def test_weights_refuse_it_by_name(name: str) -> None:
    model, guide, x = programs(name)
    refusal = r"Site 'z' is drawn from Implicit, which has no density"
    tries: list[Callable[[], Any]] = [
        lambda: log_weights(model, guide, x),
        lambda: log_weights(model, guide, x, particles=3),
        lambda: log_evidence(model, guide, x, particles=3),
    ]
    objectives: list[Objective] = [ELBO(), MeanFieldELBO(), IWAE(), DReG(), ReweightedWakeSleep()]
    tries += [partial(objective.loss, model, guide, x) for objective in objectives]

    for attempt in tries:
        with pytest.raises(ValueError, match=refusal):
            attempt()


@families
@pytest.mark.parametrize("vectorized", [True, False])
def test_weights_let_it_through_where_asked(name: str, vectorized: bool) -> None:
    model, guide, x = programs(name)
    w = log_weights(model, guide, x, particles=3, vectorized=vectorized, implicit=True)
    z = w.sites["z"]

    assert w.implicit and z.implicit and z.reparameterized
    assert not z.log_q.any() and not w.guide.any()
    torch.testing.assert_close(z.log_p, dist.Normal(0.0, 1.0).log_prob(z.value).sum(-1))
    assert torch.equal(z.value[0], z.value[1]) == (name == "Delta")
    with pytest.raises(ValueError, match="no weights"):
        _ = w.log_weight


def test_a_delta_may_be_marked_in_a_program() -> None:
    def model(x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(0.0, 1.0))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x: Tensor) -> None:
        with pyro.plate("data", len(x)):
            z = x + torch.randn(len(x))
            pyro.sample("z", dist.Delta(z), infer={"implicit": True})

    x = torch.randn(6)
    with pytest.raises(ValueError, match="Site 'z' is drawn from Delta, which has no density"):
        log_weights(model, guide, x)
    assert log_weights(model, guide, x, implicit=True).implicit


def test_a_model_has_a_density() -> None:
    model = VAE(StandardNormal((2,)), Conditional((2,), Implicit((5,)), mlp([8])))
    guide = Amortized(Conditional((5,), Normal((2,)), mlp([8])))
    with pytest.raises(ValueError, match="Site 'x' is drawn from Implicit"):
        log_weights(model, guide, torch.randn(6, 5), implicit=True)


@families
def test_metrics_claim_no_bound(name: str) -> None:
    model, guide, x = programs(name)
    svi = SVI(model, guide, partial(torch.optim.Adam, lr=1e-2), WAE(particles=2))
    svi.step(x)
    assert set(svi.metrics) == {"reconstruction"}


def test_what_wraps_a_law_without_density_has_none() -> None:
    law = Law(torch.zeros(4, 2))
    assert is_implicit(law) and is_implicit(law.to_event(1)) and is_implicit(law.mask(False))
    assert not is_implicit(dist.Normal(torch.zeros(2), 1.0).to_event(1))
