r"""Laws of families, and of the distribution of a flow."""

from __future__ import annotations

from collections.abc import Callable

import pyro
import pytest
import torch
from family_cases import CASES, Case
from pyro.distributions.testing.gof import auto_goodness_of_fit, multinomial_goodness_of_fit
from scipy.integrate import quad
from torch import Tensor
from torch.distributions import kl_divergence

from ppl_vae.families import (
    Binomial,
    Categorical,
    Family,
    Flow,
    Normal,
)
from ppl_vae.families.flow import KINDS
from ppl_vae.families.scale import bounded

Build = Callable[..., Family]

ELEMENTWISE = {name: case for name, case in CASES.items() if case.elements}
VECTORS = {name: case for name, case in CASES.items() if not case.elements}
COUNTED = {name: case for name, case in CASES.items() if case.cells is not None}

# A p-value below the limit is one random seed in 1000. For vectors, Pyro tests distances to the
# nearest neighbour; two points that are each other's nearest share theirs, which multiplies the
# test's chi^2 by 1.6, and makes 1e-8 out of 1e-3 (the smallest p-value of 300 fits of a standard
# normal to itself is 2e-7).
LIMIT = {False: 1e-3, True: 1e-8}

families = pytest.mark.parametrize("name", CASES)


def small(name: str) -> Family:
    r"""The family over vectors of the smaller size."""
    return CASES[name].make((CASES[name].sizes[0],))


def large(name: str) -> Family:
    r"""The family over vectors of the larger size."""
    return CASES[name].make((CASES[name].sizes[1],))


def builders(cases: dict[str, Case]) -> list[Build]:
    return [case.make for case in cases.values()]


def parameters(family: Family, *batch: int, dtype: torch.dtype | None = None) -> Tensor:
    return torch.randn(*batch, *family.param_shape, dtype=dtype)


# Laws of every family


@families
@pytest.mark.parametrize("batch", [(), (3,), (2, 3)])
def test_shapes(name: str, batch: tuple[int, ...]) -> None:
    family, shape = large(name), (CASES[name].sizes[1],)
    p = family(parameters(family, *batch))

    assert p.batch_shape == batch
    assert p.event_shape == family.event_shape == shape
    assert p.sample((4,)).shape == (4, *batch, *shape)
    assert p.log_prob(p.sample()).shape == batch
    assert p.log_prob(p.sample((4,))).shape == (4, *batch)
    assert p.support.check(p.sample((4,))).all()


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("shape", [(), (1,), (1, 3, 2)])
def test_elements_are_independent(name: str, shape: tuple[int, ...]) -> None:
    family = CASES[name].make(shape)
    h = parameters(family, 5)
    p = family(h)
    y = p.sample()
    alone = CASES[name].make(())
    # Parameters of a family's own start equal for all elements, where each has its own.
    alone.load_state_dict({k: v.flatten()[0] for k, v in family.state_dict().items()})
    scalars = alone(h.movedim(1, -1)).log_prob(y)

    assert p.event_shape == shape
    torch.testing.assert_close(p.log_prob(y), scalars.reshape(5, -1).sum(-1))


@families
@pytest.mark.parametrize("way", ["log_prob", "rsample"])
def test_gradients(name: str, way: str) -> None:
    family = large(name)
    h = parameters(family, 8).requires_grad_()
    p = family(h)

    if way == "log_prob":
        p.log_prob(p.sample()).sum().backward()
    elif p.has_rsample:
        (p.rsample() ** 3).sum().backward()
    else:
        return

    assert h.grad is not None and h.grad.isfinite().all()
    # Fixed and shared scales leave no element of h without an effect, nor do the others.
    assert (h.grad != 0).any(0).all()

    for key, parameter in family.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        assert parameter.grad.any(), key


@families
@pytest.mark.parametrize("size", [0, 1])
def test_goodness_of_fit(name: str, size: int) -> None:
    r"""Draws follow the density; where values can be counted, the density sums to one."""
    case = CASES[name]
    d = case.sizes[size]
    family = case.make((d,))

    with torch.no_grad():
        # Halved, lest a cell of counts is so rare that the test refuses it.
        p = family(parameters(family) / 2)
        y = p.sample((10000,))

        if case.cells is not None:
            cells = case.cells(d)
            probs = p.log_prob(cells.to(y.dtype)).exp()
            counts = (y[:, None] == cells).all(-1).sum(0)
            torch.testing.assert_close(probs.sum(), torch.ones(()), rtol=0, atol=1e-4)
            likely = probs > 1e-3
            assert multinomial_goodness_of_fit(probs[likely], counts[likely]) > LIMIT[False]
        else:
            # A clone, lest a flow only repeats what it remembers of the draw.
            probs = p.log_prob(y.clone()).exp() / case.volume(d)
            dim = d + case.dim
            assert auto_goodness_of_fit(y, probs, dim=dim) > LIMIT[d > 1]


def expectation(name: str, h: Tensor, f: Callable[[Tensor], Tensor]) -> float:
    r"""The expectation of a function, by quadrature over the support at the smallest size."""
    p, case = small(name).double()(h), CASES[name]

    def integrand(t: float) -> float:
        y, volume = case.curve(torch.tensor(t, dtype=torch.float64))
        return float(p.log_prob(y).exp() * volume * f(y))

    with torch.no_grad():
        return float(quad(integrand, *case.interval, limit=200, epsabs=1e-7)[0])


@pytest.mark.parametrize("name", [name for name in CASES if name not in COUNTED])
def test_integrates_to_one(name: str) -> None:
    torch.manual_seed(1)  # of the parameters that a family has of its own
    family = small(name)
    h = parameters(family, dtype=torch.float64) / 2

    torch.manual_seed(1)
    assert abs(expectation(name, h, lambda y: torch.ones(())) - 1) < 1e-5


@pytest.mark.parametrize("name", CASES)
def test_reparameterized_gradients(name: str) -> None:
    r"""They agree with finite differences of expectations by quadrature, within their errors."""
    n, step = 20000, 1e-3
    torch.manual_seed(1)
    family = small(name).double()
    h = parameters(family, dtype=torch.float64) / 2
    wide = h.expand(n, *h.shape).clone().requires_grad_()

    if not family(h).has_rsample:
        return

    def function(y: Tensor) -> Tensor:
        return (y + 0.3).sin()[..., 0]

    (found,) = torch.autograd.grad(function(family(wide).rsample()).sum(), wide)
    found = found.flatten(1)
    means, errors = found.mean(0), found.std(0) / n**0.5

    for i in range(h.numel()):
        torch.manual_seed(1)
        nudge = (step * torch.eye(h.numel(), dtype=h.dtype)[i]).view_as(h)
        ahead = expectation(name, h + nudge, function)
        torch.manual_seed(1)
        back = expectation(name, h - nudge, function)
        # A random seed fails at one of the parameters once in 3000 times, at most.
        assert abs(float(means[i]) - (ahead - back) / (2 * step)) < 4.5 * float(errors[i]) + 1e-5


@families
def test_expand(name: str) -> None:
    family, shape = large(name), (CASES[name].sizes[1],)
    p = family(parameters(family, 3))
    wide = p.expand((4, 3))
    y = p.sample((4,))

    assert wide.batch_shape == (4, 3) and wide.event_shape == shape
    assert wide.sample((5,)).shape == (5, 4, 3, *shape)
    torch.testing.assert_close(wide.log_prob(y.clone()), p.log_prob(y.clone()))


@families
def test_float64(name: str) -> None:
    family = large(name).double()
    h = parameters(family, 3, dtype=torch.float64)
    p = family(h)
    y = p.sample()
    log_prob = p.log_prob(y.clone())

    assert log_prob.dtype == torch.float64
    assert y.dtype in (torch.float64, torch.int64)

    # Were anything on the way rounded to single precision, the two would agree.
    single = family.float()(h.float()).log_prob(y.float() if y.is_floating_point() else y)
    assert (log_prob != single).all()
    torch.testing.assert_close(log_prob, single.double(), rtol=1e-4, atol=1e-4)


def test_fixed_scale_is_exact() -> None:
    h, y = torch.randn(1, 2, dtype=torch.float64), torch.randn(2, dtype=torch.float64)
    exact = torch.distributions.Normal(h[0], 0.3).log_prob(y).sum()

    torch.testing.assert_close(Normal((2,), scale=0.3)(h).log_prob(y), exact, rtol=1e-14, atol=0)


@families
@pytest.mark.parametrize("value", [1e6, -1e6])
def test_extremes(name: str, value: float) -> None:
    # Where elements depend on each other, 1e6 / 1e-4 comes to a power of d, or of the number of
    # transformations: a density that single precision does not hold.
    dtype = torch.float64 if CASES[name].double else torch.float32
    family = large(name).to(dtype)
    h = torch.full(family.param_shape, value, dtype=dtype, requires_grad=True)
    p = family(h)
    log_prob = p.log_prob(CASES[name].point(CASES[name].sizes[1]).to(dtype))
    log_prob.backward()

    assert log_prob.isfinite()
    assert h.grad is not None and h.grad.isfinite().all()
    assert all(q.grad is None or q.grad.isfinite().all() for q in family.parameters())
    assert p.sample((5,)).isfinite().all()


@pytest.mark.parametrize("name", ["Normal", "Laplace", "FullRankNormal", "Flow MAF"])
@pytest.mark.parametrize("floor, ceiling", [(1e-4, 1e3), (0.1, 2.0)])
def test_scales_keep_their_bounds(name: str, floor: float, ceiling: float) -> None:
    cls: Build = Flow if name == "Flow MAF" else type(large(name))
    family = cls((2,), floor=floor, ceiling=ceiling)

    def scale(value: float) -> Tensor:
        p = family(torch.full(family.param_shape, value))
        if name == "FullRankNormal":
            return p.scale_tril.diagonal()
        return p.base.base_dist.scale if name == "Flow MAF" else p.base_dist.scale

    # Exactly at the bounds, up to the rounding of one addition.
    torch.testing.assert_close(scale(-1e6), torch.full((2,), floor), rtol=1e-6, atol=0)
    torch.testing.assert_close(scale(1e6), torch.full((2,), ceiling), rtol=1e-6, atol=0)


def test_bounded_is_increasing_and_one_at_zero() -> None:
    rho = torch.linspace(-20, 2000, 10001, dtype=torch.float64)
    scale = bounded(rho, 1e-4, 1e3)

    assert (scale.diff() > 0).all()
    assert 1e-4 < scale.min() < scale.max() < 1e3
    # a + w tanh(s / w) with s = 1 - a at rho = 0: short of 1 by (1 - a)^3 / 3 w^2 = 3.3e-7.
    assert abs(bounded(torch.zeros((), dtype=torch.float64), 1e-4, 1e3) - 1) < 4e-7


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.at_mean])
def test_at_mean(name: str) -> None:
    family, case = large(name).double(), CASES[name]
    free = torch.tensor([0.2, 0.9], dtype=torch.float64) * case.top
    mean = free if case.mean is None else case.mean(case.sizes[1])
    h = family.at_mean(mean)

    assert h.shape == family.param_shape
    torch.testing.assert_close(family(h).mean, mean, rtol=1e-9, atol=0)


@families
def test_at_mean_is_finite(name: str) -> None:
    family, d = large(name), CASES[name].sizes[1]

    # A pixel that is always black, and one that is always white.
    for mean in (torch.zeros(d), torch.full((d,), CASES[name].top)):
        h = family.at_mean(mean)
        assert h.shape == family.param_shape and h.isfinite().all()
        assert family(h).log_prob(family(h).sample()).isfinite()


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.divergence])
def test_registered_divergence(name: str) -> None:
    n = 20000
    family = large(name)
    p, q = family(parameters(family, 5)), family(parameters(family, 5))

    with torch.no_grad():
        y = p.sample((n,))
        ratio = p.log_prob(y) - q.log_prob(y)
        z = (ratio.mean(0) - kl_divergence(p, q)) / ratio.std(0) * n**0.5

    # A random seed fails at one of the five z-scores once in 3000 times.
    assert z.abs().max() < 4


@pytest.mark.parametrize(
    "make, sentence",
    [
        *(
            (lambda f=f: f((2, 0)), "needs positive sizes in event_shape")
            for f in builders(ELEMENTWISE)
        ),
        *((lambda f=f: f((-1,)), "needs positive sizes in event_shape") for f in builders(CASES)),
        *(
            (lambda f=case.make: f((2, 3)), "is over vectors.*such as")
            for case in VECTORS.values()
            if not case.rows
        ),
        *((lambda f=f: f(()), "is over vectors.*such as") for f in builders(VECTORS)),
        *(
            (lambda f=f, d=d: f((d - 1,)), f"needs {d} elements or more")
            for f, d in ((case.make, case.sizes[0]) for case in VECTORS.values())
            if d > 1
        ),
        (lambda: Binomial((2,), total=0), "Binomial needs a positive total, got 0"),
        (lambda: Categorical((2,), categories=1), "two categories or more, got 1"),
        (lambda: Normal((2,), scale=0.0), "scale of Normal must be positive"),
        (lambda: Normal((2,), scale=float("nan")), "scale of Normal must be positive"),
        (lambda: Normal((2,), scale=float("inf")), "scale of Normal must be positive"),
        (lambda: Normal((2,), scale="shard"), "is 'element', 'shared' or a number, got 'shard'"),
        *(
            (lambda f=f, b=b: f((2,), floor=b[0], ceiling=b[1]), "0 < floor < 1 < ceiling")
            for f in dict.fromkeys(type(large(name)) for name in CASES if CASES[name].scales)
            for b in [(0.0, 10.0), (2.0, 10.0), (0.1, 0.5), (0.1, float("nan"))]
        ),
        (lambda: Flow((2,), kind="MAP"), "Flow has no kind 'MAP'; take one of MAF"),
        (lambda: Flow((2,), kind="NCSF"), "take one of MAF"),
        (lambda: Flow((2,), transforms=0), "transforms"),
        (lambda: Flow((2,), hidden=(8, 0)), "hidden"),
        (lambda: Flow((2,), context=-1), "context"),
    ],
)
def test_refusals(make: Callable[[], Family], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()


# Laws of the distribution of a flow


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [1, 3])
def test_flow_remembers_its_density(float64: None, kind: str, d: int) -> None:
    family = Flow((d,), kind=kind, hidden=(16,), context=3)
    q = family(parameters(family, 5))
    y = q.rsample((2,))

    torch.testing.assert_close(q.log_prob(y), q.log_prob(y.clone()), rtol=0, atol=1e-10)


@pytest.mark.parametrize("kind", ["MAF", "NICE", "NSF"])
def test_flow_forgets_draws_without_gradient(kind: str) -> None:
    family = Flow((2,), kind=kind, hidden=(16,), context=3)
    h = parameters(family).requires_grad_()
    q = family(h)
    y = q.sample()
    q.log_prob(y).backward()
    exact = torch.autograd.grad(family(h).log_prob(y.clone()), h)[0]

    torch.testing.assert_close(h.grad, exact)


@pytest.mark.parametrize("kind", ["MAF", "NICE", "NSF"])
@pytest.mark.parametrize("d", [1, 2])
def test_flow_integrates_to_one(float64: None, kind: str, d: int) -> None:
    family = Flow((d,), kind=kind, hidden=(16,), context=3)
    # The density of a spline flow has kinks: errors of the grid are of the order of its step^2,
    # and grow as the density narrows.
    step, error = {1: (1e-2, 1e-3), 2: (1e-1, 5e-3)}[d]
    axis = torch.arange(-8, 8, step)
    grid = torch.cartesian_prod(*[axis] * d).reshape(-1, d)

    with torch.no_grad():
        mass = family(parameters(family) / 2).log_prob(grid).exp().sum() * step**d

    assert abs(mass - 1) < error


@pytest.mark.parametrize("kind", ["MAF", "NICE", "NSF"])
def test_flow_in_nested_plates(float64: None, kind: str) -> None:
    family = Flow((2,), kind=kind, hidden=(16,), context=3)
    h = parameters(family, 5)

    def program() -> None:
        rows = pyro.plate("rows", 2, dim=-2)

        with pyro.plate("particles", 4, dim=-3), rows, pyro.plate("data", 5, dim=-1):
            pyro.sample("z", family(h))

    site = pyro.poutine.trace(program).get_trace().nodes["z"]
    z = site["value"]

    assert z.shape == (4, 2, 5, 2)
    assert len(z.flatten(0, 2).unique(dim=0)) == 40
    torch.testing.assert_close(site["fn"].log_prob(z), family(h).log_prob(z.clone()))
