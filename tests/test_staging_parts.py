r"""Laws of the parts of staging: graphs, products, Adam on raw tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ppl_vae.staging import Adam, StagingError
from ppl_vae.staging.agree import check_agreement
from ppl_vae.staging.graph import ATEN, capture
from ppl_vae.staging.matmul import LINEAR, rewrite


def test_a_wrong_graph_is_not_trusted() -> None:
    layer = nn.Linear(3, 2)
    x = torch.randn(4, 3)

    check_agreement(layer, layer, [[x]], [[]])
    for wrong in (
        lambda x: layer(x) * 1.01,
        lambda x: layer(x) + torch.randn(2) * 1e-2,
        lambda x: layer(x).T.contiguous().T,
        lambda x: layer(x).double(),
    ):
        with pytest.raises(StagingError):
            check_agreement(layer, wrong, [[x]], [[]])


def test_constants_are_inputs() -> None:
    r"""A tensor that a function holds elsewhere is followed, a number is kept."""
    held, numbers = torch.ones(3), [2.0]

    def function(x: Tensor) -> Tensor:
        return x * held + torch.tensor(numbers[0])

    graph = capture(function, [torch.zeros(3)], [])
    held.fill_(5.0)
    numbers[0] = 7.0

    assert graph(torch.ones(3))[0].tolist() == [7.0, 7.0, 7.0]


@pytest.mark.parametrize("size", [3, 60, 200])
@pytest.mark.parametrize("kind", ["plain", "bias", "left", "right"])
def test_products(size: int, kind: str) -> None:
    r"""However a product is written, and whatever it becomes, it is the product."""
    a, b, bias = torch.randn(size, size + 1), torch.randn(size + 1, 2 * size), torch.randn(2 * size)
    functions: dict[str, Callable[..., Tensor]] = {
        "plain": lambda a, b, bias: a @ b,
        "bias": lambda a, b, bias: torch.addmm(bias, a, b),
        "left": lambda a, b, bias: b.T @ a.T,
        "right": lambda a, b, bias: a @ b.T.contiguous().T,
    }
    graph = capture(functions[kind], [a, b, bias], [])
    module = rewrite(graph.module)
    targets = {node.target for node in module.graph.nodes}
    with torch.no_grad():
        (out,) = module(a, b, bias)

    want = functions[kind](a.double(), b.double(), bias.double())
    torch.testing.assert_close(out.double(), want, rtol=1e-4, atol=1e-4)
    assert (size < 40) == (ATEN.sum.dim_IntList in targets)
    assert size != 200 or LINEAR in targets or not torch.backends.mkldnn.is_available()


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_adam(float64: None, kind: Any) -> None:
    r"""The raw update is the optimizer's to the bit, the inlined one up to rounding."""
    start = [torch.randn(4, 3), torch.randn(5)]
    found = []

    for way in ("optimizer", "update", "inline"):
        torch.manual_seed(1)
        parameters = [nn.Parameter(p.clone()) for p in start]
        groups = [{"params": parameters[:1]}, {"params": parameters[1:], "weight_decay": 0.1}]
        optimizer = kind(groups, lr=1e-2, fused=True)
        raw = Adam(optimizer)
        rates = {i: torch.tensor([1e-2, 0.9, 0.999]) for i in range(2)}  # float64
        for _ in range(5):
            gradients = [torch.randn_like(p) for p in parameters]
            if way == "optimizer":
                for p, g in zip(parameters, gradients, strict=True):
                    p.grad = g
                optimizer.step()
            elif way == "update":
                raw.update(parameters, gradients)
            else:
                raw.inline(parameters, gradients, rates, torch.tensor(True))
        found.append([p.detach() for p in parameters])

    assert all(a.equal(b) for a, b in zip(found[0], found[1], strict=True))
    torch.testing.assert_close(found[2], found[0], rtol=1e-12, atol=1e-12)


def test_a_bad_step_is_none() -> None:
    for way in ("update", "inline"):
        p = nn.Parameter(torch.ones(3))
        raw = Adam(torch.optim.Adam([p], fused=True))
        before = {k: v.clone() for k, v in raw.state(p).items()}
        if way == "update":
            raw.update([p], [torch.ones(3)], {0: torch.tensor([0.1, 0.9, 0.999])}, torch.ones(()))
        else:
            raw.inline(
                [p], [torch.ones(3)], {0: torch.tensor([0.1, 0.9, 0.999])}, torch.tensor(False)
            )
        assert p.tolist() == [1.0] * 3
        assert all(raw.state(p)[k].equal(v) for k, v in before.items())


def test_only_plain_adam_is_raw() -> None:
    def make(**options: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam([nn.Parameter(torch.ones(1))], fused=True, **options)

    hooked = make()
    hooked.register_step_post_hook(lambda *_: None)

    assert Adam.takes(make()) and Adam.takes(make(weight_decay=0.1))
    assert not Adam.takes(make(amsgrad=True)) and not Adam.takes(make(maximize=True))
    assert not Adam.takes(hooked)
    assert not Adam.takes(torch.optim.SGD([nn.Parameter(torch.ones(1))]))
