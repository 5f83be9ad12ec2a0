r"""Laws of discretized likelihoods: pictures of integer levels."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import product

import mpmath
import pytest
import torch
from pyro.distributions.testing.gof import multinomial_goodness_of_fit
from scipy import stats
from torch import Tensor

from ppl_vae.conditional import Conditional
from ppl_vae.distributions import DiscretizedLogistic as Law
from ppl_vae.evaluation import log_evidence
from ppl_vae.families import (
    DiscretizedLogistic,
    DiscretizedLogisticMixture,
    Family,
    Normal,
)
from ppl_vae.families.scale import bounded
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE
from ppl_vae.networks import conv, mlp
from ppl_vae.priors import StandardNormal
from ppl_vae.svi import SVI
from ppl_vae.weights import base_measure


def grid(*lead: int) -> Tensor:
    return torch.randn(*lead, dtype=torch.float64)


def pictures(channels: int, levels: int) -> Tensor:
    r"""All pictures of one pixel."""
    values = list(product(range(levels), repeat=channels))
    return torch.tensor(values, dtype=torch.float64).unsqueeze(-1)


def tied(channels: int, rest: tuple[int, ...] = (1,), **options: int) -> Family:
    options = {"components": 2, "levels": 3, **options}
    return DiscretizedLogisticMixture((channels, *rest), **options)


# The logistic law over levels


@pytest.mark.parametrize("scale", [1e-3, 0.3, 1.0, 40.0, 1e4])
@pytest.mark.parametrize("loc", [-500.0, 0.0, 3.5, 127.3, 255.0, 400.0])
def test_cells_are_those_of_scipy(float64: None, loc: float, scale: float) -> None:
    y = torch.arange(256.0)
    p = Law(torch.tensor(loc), torch.tensor(scale), 256).log_prob(y)
    mp, half = mpmath.mp.clone(), mpmath.mpf("0.5")
    mp.dps = 1200

    def cdf(at: float) -> mpmath.mpf:
        return 1 / (1 + mp.exp(-(at - mp.mpf(loc)) / mp.mpf(scale)))

    for i in (0, 1, 3, 4, 127, 128, 254, 255):
        below = cdf(i - half) if i > 0 else mp.mpf(0)
        above = cdf(i + half) if i < 255 else mp.mpf(1)
        if scale > 1e-2:  # elsewhere 1200 digits are not enough
            assert float(p[i]) == pytest.approx(float(mp.log(above - below)), rel=1e-11, abs=1e-13)

    assert p.exp().sum().item() == pytest.approx(1, rel=1e-11)
    outer = stats.logistic.logcdf(0.5, loc, scale), stats.logistic.logsf(254.5, loc, scale)
    assert (p[0].item(), p[-1].item()) == pytest.approx(outer, rel=1e-11)


@pytest.mark.parametrize("levels", [2, 5, 256])
def test_moments_are_those_of_the_cells(float64: None, levels: int) -> None:
    p = Law(levels * torch.rand(7), levels * torch.rand(7), levels)
    y = torch.arange(float(levels)).unsqueeze(-1)
    probs = p.log_prob(y).exp()
    mean = (probs * y).sum(0)

    torch.testing.assert_close(p.mean, mean, rtol=1e-11, atol=0)
    torch.testing.assert_close(p.variance, (probs * (y - mean) ** 2).sum(0), rtol=1e-7, atol=1e-10)


def test_single_precision_keeps_the_tails() -> None:
    r"""To a relative error of some roundings, also where the probability itself underflows."""
    y = torch.arange(256.0)
    for loc, scale in [(-3.0, 0.2), (100.0, 0.5), (300.0, 5.0)]:
        single = Law(torch.tensor(loc), torch.tensor(scale)).log_prob(y)
        wide = torch.tensor([loc, scale]).double()
        double = Law(*wide.unbind()).log_prob(y.double())
        torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-6)


def test_location_starts_at_any_mean(float64: None) -> None:
    family = DiscretizedLogistic((2, 3))
    mean = torch.tensor([[0.4, 1.0, 3.0], [127.5, 250.0, 254.0]])

    torch.testing.assert_close(family(family.at_mean(mean)).mean, mean, rtol=1e-9, atol=0)
    # A pixel that is always black.
    black = family(family.at_mean(torch.zeros(2, 3))).mean
    torch.testing.assert_close(black, torch.full((2, 3), 0.255), rtol=1e-9, atol=0)


@pytest.mark.parametrize("floor, ceiling", [(1e-3, 1e3), (0.1, 2.0)])
@pytest.mark.parametrize(
    "cls", [DiscretizedLogistic, partial(DiscretizedLogisticMixture, levels=9)]
)
def test_scales_keep_their_bounds(cls: Callable[..., Family], floor: float, ceiling: float) -> None:
    family = cls((3, 2), levels=9, floor=floor, ceiling=ceiling)

    for value, bound in ((-1e6, floor), (1e6, ceiling)):
        p = family(torch.full(family.param_shape, value))
        scale = getattr(p, "base_dist", p).scale
        torch.testing.assert_close(scale, torch.full_like(scale, 4 * bound), rtol=1e-6, atol=0)


# The mixture over the channels of pixels


@pytest.mark.parametrize("channels, levels", [(1, 5), (2, 4), (3, 3), (4, 2)])
def test_mixture_sums_to_one_and_draws_fit(channels: int, levels: int) -> None:
    r"""A random seed fails once in 1000 times."""
    family = tied(channels, levels=levels).double()
    y = pictures(channels, levels)

    with torch.no_grad():
        p = family(grid(*family.param_shape) / 2)
        probs = p.log_prob(y).exp()
        draws = p.sample((20000,))

    assert probs.sum().item() == pytest.approx(1, rel=1e-12)
    assert p.support.check(draws).all()
    counts = (draws[:, None] == y).flatten(2).all(-1).sum(0)
    likely = probs > 1e-3
    assert multinomial_goodness_of_fit(probs[likely], counts[likely]) > 1e-3


def test_mixture_ties_channels_in_order(float64: None) -> None:
    r"""By hand, from SciPy's logistic law: the coefficients are those of (2, 1), (3, 1), (3, 2)."""
    K, levels = 2, 5
    family = DiscretizedLogisticMixture((3, 1), components=K, levels=levels)
    h = torch.randn(family.param_shape)
    logits, loc, rho, a = h.flatten().split([K, 3 * K, 3 * K, 3 * K])
    loc, scale = 2 + 2 * loc.view(K, 3), 2 * bounded(rho, 1e-3, 1e3).view(K, 3)
    a = a.view(K, 3).tanh()

    def channel(k: int, c: int, y: float, shift: float) -> float:
        m, s = float(loc[k, c]) + 2 * shift, float(scale[k, c])
        above = stats.logistic.cdf(y + 0.5, m, s) if y < levels - 1 else 1.0
        return float(above - (stats.logistic.cdf(y - 0.5, m, s) if y > 0 else 0.0))

    for y in ([0.0, 3.0, 4.0], [4.0, 1.0, 2.0], [2.0, 0.0, 0.0]):
        u = [v / 2 - 1 for v in y]
        exact = sum(
            float(logits.softmax(0)[k])
            * channel(k, 0, y[0], 0)
            * channel(k, 1, y[1], float(a[k, 0]) * u[0])
            * channel(k, 2, y[2], float(a[k, 1]) * u[0] + float(a[k, 2]) * u[1])
            for k in range(K)
        )
        found = family(h).log_prob(torch.tensor(y).view(3, 1)).exp()
        assert float(found) == pytest.approx(exact, rel=1e-9)


def test_mixture_of_one_is_the_plain_law(float64: None) -> None:
    h = torch.randn(4, 2, 3, 2)
    plain = DiscretizedLogistic((1, 3, 2), levels=7)(h.unflatten(1, (2, 1)))
    one = tied(1, (3, 2), components=1, levels=7)(torch.cat([torch.randn(4, 1, 3, 2), h], 1))
    y = plain.sample((5,))

    torch.testing.assert_close(one.log_prob(y), plain.log_prob(y))
    torch.testing.assert_close(one.mean, plain.mean)


@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
@pytest.mark.parametrize("shape", [(1, 4), (3, 2, 2), (2, 1, 2, 3)])
def test_mixture_shapes(batch: tuple[int, ...], shape: tuple[int, ...]) -> None:
    r"""Shapes, independence of pixels, and expansion."""
    channels, *rest = shape
    family = tied(channels, tuple(rest), levels=8)
    h = torch.randn(*batch, *family.param_shape)
    p = family(h)
    y = p.sample((4,))
    wide = p.expand((5, *batch))

    assert p.batch_shape == batch and p.event_shape == family.event_shape == shape
    assert y.shape == (4, *batch, *shape) and p.support.check(y).all()
    assert wide.sample().shape == (5, *batch, *shape)
    torch.testing.assert_close(wide.log_prob(y[:1]), p.log_prob(y[:1]).expand(5, *batch))

    # Each pixel on its own, with its own parameters.
    alone = tied(channels, levels=8)
    lead = len(batch)
    flat = h.flatten(lead + 1).movedim(-1, 0).unsqueeze(-1)
    pixels = y.flatten(lead + 2).movedim(-1, 0).unsqueeze(-1)
    each = [alone(a).log_prob(b) for a, b in zip(flat, pixels, strict=True)]
    torch.testing.assert_close(p.log_prob(y), torch.stack(each).sum(0))


@pytest.mark.parametrize("channels", [1, 3])
def test_mixture_gradients_and_extremes(channels: int) -> None:
    family = tied(channels, (2, 2), levels=256)
    h = torch.randn(8, *family.param_shape, requires_grad=True)
    p = family(h)
    p.log_prob(p.sample()).sum().backward()

    assert h.grad is not None and h.grad.isfinite().all() and (h.grad != 0).any(0).all()

    for value in (1e6, -1e6):
        h = torch.full(family.param_shape, value, requires_grad=True)
        log_prob = family(h).log_prob(torch.full(family.event_shape, 7.0))
        (grad,) = torch.autograd.grad(log_prob, h)
        assert log_prob.isfinite() and grad.isfinite().all()
        assert family(h).sample((5,)).isfinite().all()


def test_mixture_in_double_precision() -> None:
    family = tied(3, (2,), levels=256)
    h = grid(5, *family.param_shape)
    y = family(h).sample()
    single = family(h.float()).log_prob(y.float())

    assert y.dtype == family(h).log_prob(y).dtype == torch.float64
    assert (single != family(h).log_prob(y)).all()
    torch.testing.assert_close(single.double(), family(h).log_prob(y), rtol=1e-4, atol=1e-4)


def test_mixture_starts_at_the_mean(float64: None) -> None:
    mean = torch.tensor([[0.7, 30.0, 254.0]])
    one = tied(1, (3,), levels=256)
    torch.testing.assert_close(one(one.at_mean(mean)).mean, mean, rtol=1e-9, atol=0)

    # Of several channels no mean is known, but that of draws. z-scores: once in 3000 times.
    family = tied(3, (3,), levels=256)
    mean = mean.expand(3, 3) * torch.tensor([1.0, 0.5, 0.9]).unsqueeze(-1)
    y = family(family.at_mean(mean)).sample((20000,))
    z = (y.mean(0) - mean) / y.std(0) * len(y) ** 0.5
    assert z.abs().max() < 4.2

    with pytest.raises(NotImplementedError, match="no known mean"):
        _ = family(family.at_mean(mean)).mean


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: DiscretizedLogistic((3,), levels=1), "two levels or more, got 1"),
        (lambda: Law(0.0, 1.0, 1), "two levels or more, got 1"),
        (lambda: DiscretizedLogisticMixture((3,)), "pictures.*two dimensions or more"),
        (lambda: DiscretizedLogisticMixture(()), "pictures.*two dimensions or more"),
        (lambda: DiscretizedLogisticMixture((3, 0)), "needs positive sizes"),
        (lambda: tied(3, components=0), "one component or more, got 0"),
        (lambda: tied(3, levels=1), "two levels or more, got 1"),
        (
            lambda: DiscretizedLogisticMixture((3, 2), floor=2.0),
            "0 < floor < 1 < ceiling",
        ),
    ],
)
def test_refusals(make: Callable[[], Family], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()


@pytest.mark.parametrize("cls", [DiscretizedLogistic, DiscretizedLogisticMixture])
def test_from_training_to_evidence(cls: Callable[..., Family]) -> None:
    family = cls((3, 4, 4), levels=17)
    mean = torch.full((3, 4, 4), 5.0)
    model = VAE(StandardNormal((2,)), Conditional((2,), family, conv([4]), mean=mean))
    guide = Amortized(Conditional((3, 4, 4), Normal((2,)), mlp([8]), in_scale=16.0))
    x = torch.randint(0, 17, (20, 3, 4, 4)).float()
    svi = SVI(model, guide, partial(torch.optim.Adam, lr=1e-2), compile="fx")
    svi.plan(1000, None, x)
    losses = [float(svi.step(x)) for _ in range(3)]

    assert svi.backend == "fx" and svi.reason is None
    assert losses[-1] < losses[0]
    assert log_evidence(model, guide, x, particles=10).log_evidence.isfinite().all()
    assert base_measure(model, {"x": x}) == "counting"
    with pytest.raises(ValueError, match="outside of the support"):
        log_evidence(model, guide, x + 0.5, particles=2)
