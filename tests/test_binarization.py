r"""Grey values to binary ones."""

from __future__ import annotations

import math

import pytest
import torch
from data_cases import toy

from ppl_vae.data import Data, Split


def test_threshold() -> None:
    data, grey = toy(binarization="threshold"), toy()
    top = grey["train"].sites["x"].max()

    assert data["test"].sites["x"].bool().equal(grey["test"].sites["x"] > top / 2)


def test_static_is_reproducible() -> None:
    first, again, other = (toy(binarization="static", seed=seed) for seed in (0, 0, 1))

    assert set(first["train"].sites["x"].unique().tolist()) == {0, 1}
    assert first.hash == again.hash != other.hash
    assert first.batch("train")["x"].equal(first.batch("train")["x"])


def test_dynamic_redraws_the_training_split_only() -> None:
    data = toy(binarization="dynamic")
    torch.manual_seed(0)
    a, b = data.batch("train")["x"], data.batch("train")["x"]

    assert not a.equal(b)
    assert a.unique().tolist() == [0.0, 1.0]
    assert data.batch("test")["x"].equal(data.batch("test")["x"])
    assert data["test"].sites["x"].unique().tolist() == [0, 1]

    torch.manual_seed(0)
    assert a.equal(data.draw(data["train"].sites)["x"])

    g = torch.Generator()
    c, d = (data.batch("train", generator=g.manual_seed(1))["x"] for _ in range(2))
    assert c.equal(d)


@pytest.mark.parametrize("kind", ["dynamic", "static"])
def test_draws_have_the_right_mean(kind: str) -> None:
    p = torch.linspace(0, 1, 50).expand(4000, 50)
    data = Data("grey", lambda: {"train": Split({"x": p})}, binarization=kind, seed=3)
    torch.manual_seed(0)
    x = data.batch("train")["x"].double()
    inner = slice(1, -1)
    z = (x.mean(0) - p[0])[inner] * math.sqrt(4000) / (p[0] * (1 - p[0]))[inner].sqrt()

    # sum of 48 squared z-scores: a correct sampler exceeds 93 with probability 1e-4
    assert z.square().sum() < 93
    assert x[:, 0].max() == 0 and x[:, -1].min() == 1


def test_draw_can_be_captured() -> None:
    from torch.fx.experimental.proxy_tensor import make_fx

    data = toy(binarization="dynamic")
    x = data["train"].sites["x"]
    graph = make_fx(lambda x: data.draw({"x": x})["x"])(x)

    assert not graph(x).equal(graph(x))


def test_bytes_and_unit_reals_draw_alike() -> None:
    bits = torch.tensor([[0, 1], [1, 1]], dtype=torch.uint8)

    for x in (bits, bits * 255, bits.float(), bits.double() * 255):
        for kind in ("threshold", "static", "dynamic"):
            data = Data("bits", lambda x=x: {"train": Split({"x": x})}, binarization=kind)
            assert data.batch("train")["x"].equal(bits.float())
            assert data.mean.equal(torch.tensor([0.5, 1.0])) and data.maximum == 1.0


@pytest.mark.parametrize("value", [-1.0, 300.0, math.nan])
def test_binarization_refuses_what_is_not_grey(value: float) -> None:
    rows = {"train": Split({"x": torch.tensor([[0.5], [value]])})}

    for kind in ("threshold", "static", "dynamic"):
        with pytest.raises(ValueError, match=r"0\.\.1 or 0\.\.255"):
            Data("bad", lambda: rows, binarization=kind, allow_nan=True)["train"]
