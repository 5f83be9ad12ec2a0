r"""Laws of networks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import nn

from ppl_vae.networks import Network, conv, mlp, resnet

# A new network is one more line, here or below.
IMAGES: dict[str, Callable[[], Network]] = {
    "conv": lambda: conv(channels=[4, 6]),
    "conv of one stage": lambda: conv(channels=[4]),
    "resnet": lambda: resnet(channels=[4, 6]),
    "resnet of three stages": lambda: resnet(channels=[3, 8, 16], blocks=2),
}
NETWORKS: dict[str, Callable[[], Network]] = {
    **IMAGES,
    "mlp": lambda: mlp(hidden=[8, 6]),
    "mlp affine": lambda: mlp(hidden=[]),
    "mlp Tanh": lambda: mlp(hidden=[8], activation=nn.Tanh),
}

Shape = tuple[int, ...]

PICTURES: list[Shape] = [(1, 1, 1), (1, 9, 7), (3, 32, 32), (28, 28), (2, 8, 1)]
VECTORS: list[Shape] = [(), (1,), (5,), (2, 3)]

# From a picture to the parameters of a posterior, and from a latent variable to those of pixels.
PAIRS: list[tuple[Shape, Shape]] = [
    *((shape, (2, 5)) for shape in PICTURES),
    *(((5,), (2, *shape)) for shape in PICTURES),
    ((1, 9, 7), (9,)),
    ((), (1, 9, 7)),
    ((2, 3), (2, 1, 9, 7)),
]
CASES = [
    *((name, *pair) for name in NETWORKS for pair in PAIRS),
    *((name, a, (2, *b)) for name in NETWORKS if "mlp" in name for a in VECTORS for b in VECTORS),
]

networks = pytest.mark.parametrize("name, in_shape, out_shape", CASES)


# Laws of every network


@networks
@pytest.mark.parametrize("n", [1, 3])
def test_shapes(name: str, in_shape: Shape, out_shape: Shape, n: int) -> None:
    net = NETWORKS[name]()(torch.Size(in_shape), torch.Size(out_shape))

    assert net(torch.randn(n, *in_shape)).shape == (n, *out_shape)


@networks
def test_gradients(name: str, in_shape: Shape, out_shape: Shape) -> None:
    net = NETWORKS[name]()(in_shape, out_shape)
    x = torch.randn(8, *in_shape, requires_grad=True)
    y = net(x)
    (y * torch.randn_like(y)).sum().backward()

    assert x.grad is not None and x.grad.any()

    for key, parameter in net.named_parameters():
        assert parameter.grad is not None and parameter.grad.isfinite().all(), key
        assert parameter.grad.any(), key


@networks
def test_rows_do_not_mix(name: str, in_shape: Shape, out_shape: Shape) -> None:
    net = NETWORKS[name]()(in_shape, out_shape)
    x = torch.randn(4, *in_shape)

    with torch.no_grad():
        rows = torch.cat([net(row[None]) for row in x])
        torch.testing.assert_close(net(x), rows, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("shape", [(1, 9, 7), (6, 8)])
def test_every_pixel_counts(name: str, shape: Shape) -> None:
    encoder, decoder = NETWORKS[name]()(shape, (2, 5)), NETWORKS[name]()((5,), (2, *shape))
    x, z = torch.randn(8, *shape, requires_grad=True), torch.randn(8, 5)
    encoder(x).square().sum().backward()

    assert x.grad is not None and x.grad.any(0).all()
    # Every pixel depends on the latent variable.
    assert (decoder(z).std(0) > 0).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_options_are_shown(name: str) -> None:
    network = NETWORKS[name]()

    assert type(network).__name__ in repr(network)
    assert all(f"{key}=" in repr(network) for key in vars(network))


# Refusals


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("in_shape, out_shape", [((5,), (2, 5)), ((), (9,)), ((1, 2, 3, 4), (2,))])
def test_images_only(name: str, in_shape: Shape, out_shape: Shape) -> None:
    with pytest.raises(ValueError, match=r"needs an image.*on one side.*take mlp for vectors"):
        IMAGES[name]()(in_shape, out_shape)


@pytest.mark.parametrize(
    "make, sentence",
    [
        (partial(mlp, hidden=[8, -1]), r"mlp.hidden needs positive sizes, got \[8, -1\]"),
        (partial(mlp, hidden=[0]), r"mlp.hidden needs positive sizes"),
        (partial(conv, channels=[0, 4]), r"conv.channels needs positive sizes"),
        (partial(conv, channels=[]), r"conv.channels needs one stage or more"),
        (partial(resnet, channels=[-4]), r"resnet.channels needs positive sizes"),
        (partial(resnet, channels=[]), r"resnet.channels needs one stage or more"),
        (partial(resnet, blocks=0), r"resnet.blocks needs positive sizes"),
        *(
            (partial(network, activation="SiLLU"), "no activation 'SiLLU' in torch.nn")
            for network in (mlp, conv, resnet)
        ),
    ],
)
def test_refusals(make: Callable[[], Network], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()
