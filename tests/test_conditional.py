r"""Laws of conditionals: folding, units, means, free parameters, refusals."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ppl_vae.conditional import Conditional
from ppl_vae.families import (
    Bernoulli,
    Binomial,
    Categorical,
    Flow,
    FullRankNormal,
    Laplace,
    Normal,
)
from ppl_vae.networks import conv, mlp, resnet


def build(**options: Any) -> Conditional:
    return Conditional((3,), Normal((2,)), mlp(hidden=[8]), **options)


# A new kind of conditional is one more line.
CONDITIONALS: dict[str, Callable[..., Conditional]] = {
    "vector": build,
    "scalars": lambda **o: Conditional((), Laplace(()), mlp(hidden=[8]), **o),
    "encoder": lambda **o: Conditional((1, 5, 4), FullRankNormal((2,)), conv([4]), **o),
    "decoder": lambda **o: Conditional((2,), Bernoulli((1, 5, 4)), resnet([4]), **o),
    "counts": lambda **o: Conditional((2,), Binomial((5, 4), total=16), conv([4]), **o),
    "shared scale": lambda **o: Conditional((2, 3), Normal((4,), scale="shared"), mlp([8]), **o),
    "categories": lambda **o: Conditional((2,), Categorical((4,), categories=3), mlp([8]), **o),
    "flow": lambda **o: Conditional((3,), Flow((2,), hidden=(8,), context=3), mlp([8]), **o),
}

conditionals = pytest.mark.parametrize("name", CONDITIONALS)


class Zero(nn.Module):
    r"""A network that outputs zero."""

    def __init__(self, in_shape: torch.Size, out_shape: torch.Size) -> None:
        super().__init__()
        self.out_shape = out_shape

    def forward(self, c: Tensor) -> Tensor:
        return c.new_zeros(len(c), *self.out_shape)


# Laws of every conditional


@conditionals
@pytest.mark.parametrize("lead", [(), (1,), (4,), (3, 4), (2, 3, 4)])
def test_shapes(name: str, lead: tuple[int, ...]) -> None:
    q = CONDITIONALS[name]()
    c = torch.randn((*lead, *q.in_shape))

    assert q.h(c).shape == (*lead, *q.family.param_shape)
    assert q.h(c.expand(0, *c.shape)).shape == (0, *lead, *q.family.param_shape)
    assert q(c).batch_shape == lead
    assert q(c).event_shape == q.family.event_shape


@conditionals
def test_folding_is_a_loop(name: str) -> None:
    q = CONDITIONALS[name]()
    c = torch.randn(2, 3, *q.in_shape)
    y = q(c).sample()
    loop = torch.stack([q(c[k, i]).log_prob(y[k, i]) for k in range(2) for i in range(3)])

    torch.testing.assert_close(q(c).log_prob(y.clone()), loop.reshape(2, 3))


@conditionals
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_integers(name: str, dtype: torch.dtype, precision: torch.dtype) -> None:
    q = CONDITIONALS[name](in_scale=16.0).to(precision)
    c = torch.randint(0, 2, (4, *q.in_shape)).to(dtype)

    assert q.h(c).dtype == precision
    assert torch.equal(q.h(c), q.h(c.to(precision)))


@conditionals
def test_in_scale(name: str) -> None:
    q, scaled = CONDITIONALS[name](), CONDITIONALS[name](in_scale=255.0)
    scaled.load_state_dict(q.state_dict())
    c = torch.randn(4, *q.in_shape)

    torch.testing.assert_close(scaled.h(255 * c), q.h(c))


@conditionals
def test_gradients(name: str) -> None:
    q = CONDITIONALS[name]()
    c = torch.randn(8, *q.in_shape, requires_grad=True)
    p = q(c)
    p.log_prob(p.sample().clone()).sum().backward()

    assert c.grad is not None and c.grad.any()
    assert all(v.grad is not None and v.grad.any() for v in q.parameters())


@conditionals
def test_replace(name: str) -> None:
    q = CONDITIONALS[name]()
    c = torch.randn(4, *q.in_shape)
    p, free = q(c), q.replace(q.h(c))
    y = p.sample().clone()

    assert free.in_shape == q.in_shape and free.family is q.family
    assert free(c).batch_shape == (4,)
    assert torch.equal(free(c).log_prob(y), p.log_prob(y))
    # Particles of the conditions share the parameters of their datum.
    assert torch.equal(free(c.expand(3, *c.shape)).log_prob(y), p.log_prob(y))


@conditionals
def test_free_parameters_can_be_trained(name: str) -> None:
    q = CONDITIONALS[name]()
    c = torch.randn(4, *q.in_shape)
    free = q.replace(nn.Parameter(q.h(c).detach()))
    y = q(c).sample().clone()
    optimizer = torch.optim.Adam([free.h], lr=0.05)
    before = free(c).log_prob(y).sum()

    assert "h" in dict(free.named_parameters())

    for _ in range(20):
        optimizer.zero_grad()
        (-free(c).log_prob(y).sum()).backward()
        optimizer.step()

    assert free(c).log_prob(y).sum() > before
    assert all(v.grad is None for v in q.net.parameters())


# The mean


@pytest.mark.parametrize("name", ["vector", "encoder", "decoder", "counts", "shared scale"])
def test_starts_at_the_mean(name: str) -> None:
    family = CONDITIONALS[name]().family
    total = getattr(family, "total", 1)
    mean = (0.1 + 0.8 * torch.rand(family.event_shape)) * total
    q = Conditional((2,), family, Zero, mean=mean)
    started = q(torch.randn(3, 2)).mean

    torch.testing.assert_close(started, mean.expand_as(started))


def test_offset_is_state_but_no_parameter() -> None:
    mean = torch.tensor([3.0, -2.0])
    q, other = build(mean=mean), build(mean=torch.zeros(2))
    c = torch.randn(4, 3)

    assert "offset" in q.state_dict()
    assert "offset" not in dict(q.named_parameters())
    assert "offset" not in build().state_dict()

    other.load_state_dict(q.state_dict())
    assert torch.equal(other.h(c), q.h(c))
    torch.testing.assert_close(q.h(c)[:, 0] - q.net(c)[:, 0], mean.expand(4, 2))
    torch.testing.assert_close(q.h(c)[:, 1], q.net(c)[:, 1])


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64])
def test_mean_of_another_dtype(dtype: torch.dtype) -> None:
    q = build(mean=torch.tensor([3, -2], dtype=dtype))

    assert q.h(torch.randn(4, 3)).dtype == torch.float32


# Refusals


@pytest.mark.parametrize("name", [name for name in CONDITIONALS if name != "scalars"])
def test_wrong_conditions(name: str) -> None:
    q = CONDITIONALS[name]()
    free = q.replace(torch.zeros(4, *q.family.param_shape))

    for shape in [(4, *q.in_shape, 7), q.in_shape[1:], (4, *q.in_shape[:-1])]:
        with pytest.raises(ValueError, match=r"conditions of shape \(\*.*got"):
            q(torch.zeros(shape))
        with pytest.raises(ValueError, match=r"Free parameters are for 4 data.*got"):
            free(torch.zeros(shape))


@conditionals
@pytest.mark.parametrize("n", [1, 3, 5])
def test_free_parameters_of_other_data(name: str, n: int) -> None:
    q = CONDITIONALS[name]()

    with pytest.raises(ValueError, match=r"Free parameters are for 4 data.*got"):
        q.replace(torch.zeros(4, *q.family.param_shape))(torch.zeros(n, *q.in_shape))


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: build(in_scale=0.0), "in_scale of Conditional must be positive"),
        (lambda: build(in_scale=float("nan")), "in_scale of Conditional must be positive"),
        (lambda: build(mean=torch.zeros(3)), r"mean.*has shape \(3,\).*draws \(2,\)"),
        (lambda: build(mean=torch.zeros(())), r"mean.*has shape \(\).*draws \(2,\)"),
        (lambda: Conditional((0,), Normal((2,)), mlp()), "positive sizes in in_shape"),
        (lambda: build().replace(torch.zeros(4, 2)), r"need shape \(n, 2, 2\), got \(4, 2\)"),
        (lambda: build().replace(torch.zeros(2, 2)), r"need shape \(n, 2, 2\), got \(2, 2\)"),
        (
            lambda: Conditional((3,), Normal((2,)), lambda a, b: nn.Linear(3, 4))(
                torch.zeros(5, 3)
            ),
            r"network .* must return tensors of shape \(n, 2, 2\), got \(5, 4\)",
        ),
    ],
)
def test_refusals(make: Callable[[], object], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()


def test_doubles_are_taken_by_a_float_network() -> None:
    q = Conditional((3,), Normal((2,)), mlp([4]))
    c = torch.randn(5, 3)
    assert torch.equal(q(c.double()).mean, q(c).mean)
