r"""Laws of flows: what is drawn is what is scored, at any point, and in one static graph."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pyro.distributions as dist
import pytest
import torch
from torch import Tensor

from ppl_vae.conditional import Conditional
from ppl_vae.families import Family, Flow, Normal, Planar, Sylvester
from ppl_vae.families.flow import KINDS
from ppl_vae.families.flows.gated import GatedTransform
from ppl_vae.families.flows.layers import SLOPE, sech2
from ppl_vae.families.flows.planar_layer import PlanarLayer
from ppl_vae.families.flows.root import solve
from ppl_vae.families.flows.sigmoidal import SigmoidalTransform
from ppl_vae.families.flows.sylvester_layer import SylvesterLayer
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE
from ppl_vae.networks import mlp
from ppl_vae.priors import FamilyPrior, StandardNormal
from ppl_vae.priors import Flow as FlowPrior
from ppl_vae.svi import SVI

Constructor = Callable[[Sequence[int]], Family]

# A new flow is one more line.
FLOWS: dict[str, Constructor] = {
    **{kind: partial(Flow, kind=kind, hidden=(16,), context=3) for kind in KINDS},
    "Planar": partial(Planar, transforms=3),
    "Sylvester": partial(Sylvester, transforms=2, reflections=3),
}

flows = pytest.mark.parametrize("name", FLOWS)


def trained(family: Family) -> Family:
    r"""The family with its own parameters away from where they start."""
    with torch.no_grad():
        for parameter in family.parameters():
            parameter += 0.1 * torch.randn_like(parameter)

    return family


def transform(name: str, d: int, *batch: int, dtype: torch.dtype = torch.float64) -> Any:
    r"""The map of a flow, at random parameters."""
    family = trained(FLOWS[name]((d,)).to(dtype))
    return family(torch.randn(*batch, *family.param_shape, dtype=dtype)).transform


# Laws of every flow


@flows
@pytest.mark.parametrize("d", [1, 2, 5])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_inverse(name: str, d: int, dtype: torch.dtype) -> None:
    r"""There and back, and back and there, from points near and far."""
    f = transform(name, d, 20, dtype=dtype)
    # Networks compute slopes from the point itself: far from where they are trained, rounding grows
    # with each map and element. Slopes of zuko's maps go to 1e3.
    networks, zuko = name in KINDS, name in ("MAF", "NICE", "NSF", "RealNVP")
    if dtype == torch.float64:
        size, error = 100.0 if zuko else 1e3, 1e-6 if networks else 1e-8
    else:
        size, error = 3.0 if zuko else 30.0 if networks else 1e3, 1e-4
    far = size * (2 * torch.rand(10, 20, d, dtype=dtype) - 1)

    for y in (far, torch.randn(10, 20, d, dtype=dtype)):
        for there, back in [(f.inv, f), (f, f.inv)]:
            x, ladj = there.call_and_ladj(y)
            again, inverse_ladj = back.call_and_ladj(x)
            off = (again - y).norm(dim=-1) / (1 + y.norm(dim=-1))
            assert off.max() < error
            assert (ladj + inverse_ladj).abs().max() < 10 * error


@flows
@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("way", ["forward", "inverse"])
def test_jacobian(name: str, d: int, way: str) -> None:
    r"""The determinant is that of the map's derivative, in both directions."""
    f = transform(name, d)
    f = f if way == "forward" else f.inv
    x = torch.randn(d, dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda x: f.call_and_ladj(x)[0], x)

    torch.testing.assert_close(f.call_and_ladj(x)[1], torch.linalg.slogdet(jacobian)[1])


@flows
def test_gradient_of_scores(name: str) -> None:
    r"""Densities at given points have the gradients of their finite differences."""
    family = trained(FLOWS[name]((2,)).double())
    h = torch.randn(family.param_shape, dtype=torch.float64).requires_grad_()
    y = torch.randn(3, 2, dtype=torch.float64).requires_grad_()

    # Splines have kinks in their derivatives, and rectified networks have them everywhere; the
    # seed is of points away from them.
    assert torch.autograd.gradcheck(lambda h, y: family(h).log_prob(y.clone()), (h, y))


@flows
@pytest.mark.parametrize("d", [1, 2])
def test_integrates_to_one(name: str, d: int) -> None:
    family = trained(FLOWS[name]((d,)).double())
    # The density of a spline flow has kinks: errors of the grid are of the order of its step^2,
    # and grow as the density narrows.
    step, error = {1: (1e-2, 1e-3), 2: (0.125, 5e-3)}[d]
    axis = torch.arange(-8, 8, step, dtype=torch.float64)
    grid = torch.cartesian_prod(*[axis] * d).reshape(-1, d)

    with torch.no_grad():
        h = torch.randn(family.param_shape, dtype=torch.float64) / 2
        mass = family(h).log_prob(grid).exp().sum() * step**d

    assert abs(mass - 1) < error


def model(name: str, role: str) -> tuple[VAE, Amortized]:
    d = 3
    family = FLOWS[name]

    if role != "prior":
        prior: Any = StandardNormal((d,))
    elif name in KINDS:
        prior = FlowPrior((d,), kind=name, hidden=(8,))
    else:
        prior = FamilyPrior((d,), family, learned=True)

    likelihood = family((2,)) if role == "likelihood" else Normal((2,))
    posterior = family((d,)) if role == "posterior" else Normal((d,))
    return (
        VAE(prior, Conditional((d,), likelihood, mlp([8]))),
        Amortized(Conditional((2,), posterior, mlp([8]))),
    )


@pytest.mark.parametrize(
    "name, role",
    [
        (name, role)
        for name in FLOWS
        for role in ("posterior", "prior", "likelihood")
        if (name, role) != ("IAF", "prior")  # refused: slow to score
    ],
)
def test_training_is_captured(name: str, role: str) -> None:
    x = torch.randn(16, 2)
    losses = {}

    for way in ("off", "fx"):
        torch.manual_seed(0)
        svi = SVI(*model(name, role), partial(torch.optim.Adam, lr=1e-3), compile=way)
        svi.plan(1000, None, x)
        torch.manual_seed(1)
        losses[way] = [float(svi.step(x)) for _ in range(3)]
        assert svi.backend == way and svi.reason is None

    assert losses["off"] == losses["fx"]
    assert all(math.isfinite(loss) for loss in losses["fx"])


# Laws of the parts


@pytest.mark.parametrize("at", [0.0, 1.0, -1e3, 1e6])
def test_solve_finds_roots(at: float) -> None:
    y = torch.tensor(at, dtype=torch.float64)
    x = solve(lambda x: x + x**3, lambda x: 1 + 3 * x**2, y, -1 - y.abs(), 1 + y.abs(), 60)

    torch.testing.assert_close(x + x**3, y, rtol=1e-14, atol=1e-14)


def test_solve_has_implicit_derivatives() -> None:
    a, y = torch.tensor([2.0, 0.3], dtype=torch.float64).requires_grad_(), torch.ones(2).double()

    def root(a: Tensor, y: Tensor) -> Tensor:
        return solve(lambda x: a * x + x.sinh(), lambda x: a + x.cosh(), y, y - 9, y + 9)

    assert torch.autograd.gradcheck(root, (a, y.requires_grad_()))


def test_sech2_keeps_its_digits() -> None:
    s = torch.tensor([0.0, 1.0, 20.0, -20.0])
    exact = s.double().cosh() ** -2

    torch.testing.assert_close(sech2(s).double(), exact, rtol=1e-6, atol=0)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e2, 1e6])
def test_planar_has_an_inverse_for_any_parameters(size: float) -> None:
    u, w, y = (torch.randn(100, 4, dtype=torch.float64) for _ in range(3))
    layer = PlanarLayer(size * u, w, torch.randn(100, dtype=torch.float64))
    x, ladj = layer.inverse(y)
    again, forward_ladj = layer.forward(x)

    assert (layer.product > SLOPE - 1).all() and (layer.product < 1 / SLOPE).all()
    torch.testing.assert_close(layer.product, (layer.w * layer.u).sum(-1))
    # Where slopes are 1 / 1000 or u is large, points are rounded by as much more.
    torch.testing.assert_close(again, y, rtol=0, atol=1e-8 * max(1, size / 100))
    torch.testing.assert_close(ladj, -forward_ladj, rtol=0, atol=1e-8)


def test_planar_is_the_formula() -> None:
    u, w, x = (torch.randn(4, dtype=torch.float64) for _ in range(3))
    b = torch.randn((), dtype=torch.float64)
    u = u * (w @ u).sign()  # w u > 0: the paper leaves u nearly as it is

    exact = x + u / (1 + SLOPE * (w @ u)) * (w @ x + b).tanh()
    torch.testing.assert_close(PlanarLayer(u, w, b).forward(x)[0], exact)


def test_sylvester_is_the_formula() -> None:
    d = 4
    normals, outer, inner = (torch.randn(d, d, dtype=torch.float64) for _ in range(3))
    normals = normals[:3]
    outer, inner = outer.triu() / 9, inner.triu() / 9
    b, x = torch.randn(2, d, dtype=torch.float64).unbind()
    Q = torch.eye(d, dtype=torch.float64)

    for v in normals:
        Q = Q @ (torch.eye(d) - 2 * torch.outer(v, v) / (v @ v))

    layer = SylvesterLayer(normals, outer, inner, b)
    torch.testing.assert_close(layer.forward(x)[0], x + Q @ outer @ (inner @ Q.T @ x + b).tanh())


def test_sylvester_reflects_by_nothing() -> None:
    zero, x = torch.zeros(2, 3), torch.randn(3)
    layer = SylvesterLayer(zero, torch.eye(3) / 2, torch.eye(3) / 2, torch.zeros(3))

    torch.testing.assert_close(layer.forward(x)[0], x + (x / 2).tanh() / 2)


@pytest.mark.parametrize("name", ["Planar", "Sylvester"])
def test_starts_at_the_standard_normal(name: str) -> None:
    family = FLOWS[name]((3,))
    y = torch.randn(5, 3)
    exact = dist.Normal(0.0, 1.0).log_prob(y).sum(-1)

    # The scale at h = 0 is 1 - 3.3e-7, hence an error of 3.3e-7 * (1 + y^2) per element.
    torch.testing.assert_close(family(torch.zeros(family.param_shape)).log_prob(y), exact)


def test_sigmoidal_has_straight_tails() -> None:
    slope, offset, logits = torch.randn(3, 16, dtype=torch.float64).unbind()
    f = SigmoidalTransform(slope, offset, logits, torch.tensor(0.7, dtype=torch.float64))
    x = torch.tensor([-1e5, -1e4, 1e4, 1e5], dtype=torch.float64)
    ladj = f.call_and_ladj(x)[1]

    # Far out, the least slope is left.
    torch.testing.assert_close(ladj, f.log_a.min().expand(4), rtol=0, atol=1e-9)


def test_sigmoidal_has_an_inverse_for_any_parameters() -> None:
    slope, offset, logits = (100 * torch.randn(200, 16, dtype=torch.float64) for _ in range(3))
    f = SigmoidalTransform(slope, offset, logits, torch.randn(200, dtype=torch.float64))

    for size in (1.0, 1e3, 1e6):
        y = size * torch.randn(10, 200, dtype=torch.float64)
        torch.testing.assert_close(f(f.inv(y)), y, rtol=1e-9, atol=1e-9)


def test_gated_is_a_convex_combination() -> None:
    mean, gate, x = torch.randn(3, 5, dtype=torch.float64).unbind()
    f = GatedTransform(mean, gate)
    sigma = (gate / (1 + gate.abs() / 7) + 2).sigmoid()
    y, ladj = f.call_and_ladj(x)

    torch.testing.assert_close(y, sigma * x + (1 - sigma) * mean)
    torch.testing.assert_close(ladj, sigma.log())
    torch.testing.assert_close(f.inv(y), x)


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: Planar((2,), transforms=0), "one transform or more, got 0"),
        (lambda: Sylvester((2,), transforms=0), "one transform and one reflection or more"),
        (lambda: Sylvester((2,), reflections=0), "one transform and one reflection or more"),
    ],
)
def test_refusals(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()


@pytest.mark.parametrize("part", ["Flow((2,))", "Autoregressive((2,))"])
def test_torch_goes_on_checking(part: str) -> None:
    r"""zuko turns off the checks of all distributions as it is loaded: they are put back."""
    code = f"import torch\nfrom ppl_vae.priors import *\n{part}\ntorch.distributions.Normal(0, -1)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and "found invalid values" in done.stderr
