r"""Laws of networks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

import pyro
import pytest
import torch
import yaml
from pyro.infer import Trace_ELBO
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from ppl_vae.conditional import Conditional
from ppl_vae.families import Normal
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE
from ppl_vae.networks import (
    Network,
    conv,
    dcgan,
    gated,
    gru,
    initialized,
    mlp,
    resnet,
    spectral,
    transformer,
)
from ppl_vae.networks.attention import AttentionBlock, Positions
from ppl_vae.networks.recurrence import Recurrence
from ppl_vae.objectives import ELBO
from ppl_vae.options import Options
from ppl_vae.priors import StandardNormal
from ppl_vae.svi import SVI

# A new network is one more line, in the first of these that fits.
IMAGES: dict[str, Callable[[], Network]] = {
    "conv": lambda: conv(channels=[4, 6]),
    "conv of one stage": lambda: conv(channels=[4]),
    "conv with dropout": lambda: conv(channels=[4, 6], dropout=0.2),
    "dcgan": lambda: dcgan(channels=[4, 6]),
    "dcgan of three stages": lambda: dcgan(channels=[3, 8, 16], activation="ReLU"),
    "dcgan batch": lambda: dcgan(channels=[4, 6], norm="batch"),
    "dcgan none": lambda: dcgan(channels=[4, 6], norm="none", dropout=0.2),
    "resnet": lambda: resnet(channels=[4, 6]),
    "resnet of three stages": lambda: resnet(channels=[3, 8, 16], blocks=2),
    "resnet with dropout": lambda: resnet(channels=[4, 6], dropout=0.2),
}
SEQUENCES: dict[str, Callable[[], Network]] = {
    "gru": lambda: gru(width=6),
    "gru of two layers": lambda: gru(width=6, layers=2),
}
PATCHES: dict[str, Callable[[], Network]] = {
    "transformer": lambda: transformer(patch=3, layers=1, heads=2, width=8),
    "transformer deep": lambda: transformer(patch=2, layers=3, heads=1, width=4, dropout=0.2),
}
VECTORIAL: dict[str, Callable[[], Network]] = {
    "mlp": lambda: mlp(hidden=[8, 6]),
    "mlp affine": lambda: mlp(hidden=[]),
    "mlp Tanh": lambda: mlp(hidden=[8], activation=nn.Tanh),
    "mlp with dropout": lambda: mlp(hidden=[8, 6], dropout=0.2),
    "mlp batch": lambda: mlp(hidden=[8, 6], norm="batch"),
    "mlp layer": lambda: mlp(hidden=[8, 6], norm="layer", dropout=0.2),
    "gated": lambda: gated(hidden=[8, 6]),
    "gated with dropout": lambda: gated(hidden=[8], dropout=0.2),
    "spectral mlp": lambda: spectral(mlp(hidden=[8])),
    "initialized mlp": lambda: initialized(mlp(hidden=[8], norm="batch"), "orthogonal"),
}
WRAPPED: dict[str, Callable[[], Network]] = {
    "spectral conv": lambda: spectral(conv(channels=[4, 6]), iterations=2),
    "spectral transformer": lambda: spectral(transformer(patch=3, layers=1, heads=2, width=8)),
    "initialized conv": lambda: initialized(conv(channels=[4, 6]), "orthogonal"),
    "spectral initialized": lambda: spectral(initialized(mlp(hidden=[8]))),
}
# What is staged in `make test`: one of each kind, with state and noise; the rest in `test-all`.
STAGED = (
    *("conv with dropout", "dcgan batch", "resnet", "gru", "transformer"),
    *("mlp with dropout", "gated", "spectral mlp"),
)
NETWORKS = {**IMAGES, **SEQUENCES, **PATCHES, **VECTORIAL, **WRAPPED}

Shape = tuple[int, ...]

PICTURES: list[Shape] = [(1, 1, 1), (1, 9, 7), (3, 32, 32), (28, 28), (2, 8, 1)]
VECTORS: list[Shape] = [(), (1,), (5,), (2, 3)]
STEPS: list[Shape] = [(2, 1), (7, 3)]


def pairs(shapes: list[Shape], vector: Shape) -> list[tuple[Shape, Shape]]:
    r"""From data to the parameters of a posterior, from a latent variable to those of data."""
    some = shapes[1]
    return [
        *((shape, (2, 5)) for shape in shapes),
        *(((5,), (2, *shape)) for shape in shapes),
        (some, (9,)),
        ((), some if len(some) > 2 else (1, *some)),
        (vector, (2, *some)),
    ]


def plain(names: Iterable[str]) -> list[str]:
    # Dropout and wrappers change no shapes: they are tried on fewer.
    changing = "dropout", "spectral", "initialized"
    return [name for name in names if not any(word in name for word in changing)]


IMAGED = [name for name in NETWORKS if name not in SEQUENCES]
CASES = [
    *((name, *pair) for name in plain(IMAGED) for pair in pairs(PICTURES, (4,))),
    *((name, *pair) for name in plain([*SEQUENCES, *PATCHES]) for pair in pairs(STEPS, (4,))),
    *((name, (2, 3), (2, 1, 9, 7)) for name in plain([*IMAGES, *VECTORIAL])),
    *((name, a, (2, *b)) for name in plain(VECTORIAL) for a in VECTORS for b in VECTORS),
    *(
        (name, *pair)
        for name in IMAGED
        if name not in plain(NETWORKS)
        for pair in [((1, 9, 7), (2, 5)), ((5,), (2, 1, 9, 7))]
    ),
]

networks = pytest.mark.parametrize("name, in_shape, out_shape", CASES)
each = pytest.mark.parametrize("name", NETWORKS)


def data_shape(name: str) -> Shape:
    return (3, 5) if name in SEQUENCES else (1, 6, 5)


def both(name: str) -> list[tuple[nn.Module, Tensor]]:
    r"""An encoder and a decoder, each with a batch of inputs."""
    shape = data_shape(name)
    network = NETWORKS[name]()
    return [
        (network(shape, (2, 3)), torch.randn(4, *shape)),
        (network((3,), (2, *shape)), torch.randn(4, 3)),
    ]


def steady(net: nn.Module) -> nn.Module:
    r"""In training mode, unless runs in training differ or mix rows."""
    stateful = nn.Dropout, nn.BatchNorm1d, nn.BatchNorm2d
    return net.train(not any(isinstance(m, stateful) or is_parametrized(m) for m in net.modules()))


# Laws of every network


@networks
@pytest.mark.parametrize("n", [1, 3])
def test_shapes(name: str, in_shape: Shape, out_shape: Shape, n: int) -> None:
    net = NETWORKS[name]()(torch.Size(in_shape), torch.Size(out_shape))
    net.train(n > 1)  # one 1 x 1 image has no variance for a batch normalization

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
    net = steady(NETWORKS[name]()(in_shape, out_shape))
    x = torch.randn(4, *in_shape)

    with torch.no_grad():
        rows = torch.cat([net(row[None]) for row in x])
        torch.testing.assert_close(net(x), rows, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "name, shape",
    [
        (name, s)
        for name in NETWORKS
        for s in [(1, 9, 7), (6, 8)]
        if len(s) == 2 or name not in SEQUENCES
    ],
)
def test_every_pixel_counts(name: str, shape: Shape) -> None:
    encoder, decoder = NETWORKS[name]()(shape, (2, 5)), NETWORKS[name]()((5,), (2, *shape))
    x, z = torch.randn(8, *shape, requires_grad=True), torch.randn(8, 5)
    encoder(x).square().sum().backward()

    assert x.grad is not None and x.grad.any(0).all()
    # Every pixel depends on the latent variable.
    assert (decoder.eval()(z).std(0) > 0).all()


@each
def test_one_seed_one_network(name: str) -> None:
    def run() -> list[Tensor]:
        torch.manual_seed(7)
        return [net(x) for net, x in both(name)]  # in training: dropout too follows the seed

    assert all(torch.equal(a, b) for a, b in zip(run(), run(), strict=True))


@each
def test_evaluation_changes_nothing(name: str) -> None:
    for net, x in both(name):
        before = {key: t.clone() for key, t in net.state_dict().items()}
        first = net.eval()(x)
        assert torch.equal(net(x), first)
        assert all(torch.equal(t, before[key]) for key, t in net.state_dict().items())


@each
def test_double_precision(name: str) -> None:
    for net, x in both(name):
        single = net.eval()(x)
        double = net.double()(x.double())
        assert double.dtype == torch.float64
        torch.testing.assert_close(double.float(), single, rtol=1e-4, atol=1e-4)


@each
@pytest.mark.parametrize("training", [True, False])
def test_second_derivatives(name: str, training: bool) -> None:
    # Refining a code by gradient inside a program differentiates its gradient.
    if name == "mlp affine":
        return  # its second derivative is zero

    for net, x in both(name):
        net.train(training)
        x.requires_grad_()
        (gradient,) = torch.autograd.grad(net(x).square().sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(gradient.square().sum(), x)
        assert second.isfinite().all() and second.any()


@each
def test_stock_pyro_trains_all(name: str) -> None:
    # Pyro's parameter store would train a copy of a weight that is not contiguous.
    model, guide, x = programs(name)
    parameters = {**dict(model.named_parameters()), **dict(guide.named_parameters())}
    before = {key: p.detach().clone() for key, p in parameters.items()}
    svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": 1e-2}), Trace_ELBO())
    svi.step(x)

    assert [k for k, p in parameters.items() if torch.equal(p, before[k])] == []


@pytest.mark.parametrize(
    "name", [n if n in STAGED else pytest.param(n, marks=pytest.mark.slow) for n in NETWORKS]
)
def test_staged_to_the_bit(name: str) -> None:
    eager, staged = (trained(name, backend) for backend in ("off", "fx"))

    assert staged[2].backend == "fx" and staged[2].reason is None
    assert eager[0] == staged[0]
    assert all(torch.equal(a, b) for a, b in zip(eager[1], staged[1], strict=True))


def programs(name: str) -> tuple[VAE, Amortized, Tensor]:
    shape, network = data_shape(name), NETWORKS[name]()
    posterior = Conditional(shape, Normal((3,)), network)
    likelihood = Conditional((3,), Normal(shape), network)
    return VAE(StandardNormal((3,)), likelihood), Amortized(posterior), torch.randn(7, *shape)


def trained(name: str, backend: str) -> tuple[list[float], list[Tensor], SVI]:
    r"""The losses of some steps, and parameters and buffers (power method, means) after them."""
    torch.manual_seed(0)
    model, guide, x = programs(name)
    svi = SVI(model, guide, partial(torch.optim.Adam, lr=1e-2), compile=backend)
    svi.plan(1000, None, x)
    torch.manual_seed(1)
    losses = [float(svi.step(x)) for _ in range(10 if "spectral" in name else 3)]
    return losses, [t for m in (model, guide) for t in m.state_dict().values()], svi


@each
def test_options_are_shown(name: str) -> None:
    network = NETWORKS[name]()

    assert type(network).__name__ in repr(network)
    assert all(f"{key}=" in repr(network) for key in vars(network))


# Dropout


@pytest.mark.parametrize("network", [mlp, gated, conv, dcgan, resnet, transformer])
def test_dropout_is_for_training(network: Callable[..., Network]) -> None:
    plain, dropping = (network(dropout=p)((1, 6, 5), (2, 3)) for p in (0.0, 0.5))
    x = torch.randn(4, 1, 6, 5)
    # The same names of weights, with and without.
    dropping.load_state_dict(plain.state_dict())

    assert not torch.equal(dropping(x), dropping(x))
    assert torch.equal(dropping.eval()(x), plain(x))


# The gated perceptron


def test_gates() -> None:
    net = gated(hidden=[4])((3,), (2,))
    x, layer = torch.randn(5, 3), net[1]
    w, v = layer.weight.chunk(2)
    b, c = layer.bias.chunk(2)
    h = (x @ w.T + b) * torch.sigmoid(x @ v.T + c)

    torch.testing.assert_close(net(x), net[3](h))


# Batch normalization


@pytest.mark.parametrize("track", [True, False])
def test_batch_norm_mixes_no_particles(track: bool) -> None:
    def network(in_shape: Shape, out_shape: Shape) -> nn.Module:
        norm = nn.BatchNorm1d(8, track_running_stats=track)
        return nn.Sequential(mlp([])(in_shape, (8,)), norm, mlp([])((8,), out_shape))

    p = Conditional((3,), Normal((2,)), network)
    sentence = r"BatchNorm, which would mix .* \(4, 7, 3\) .*norm='group'.*vectorized=False"

    assert p(torch.randn(7, 3)).batch_shape == (7,)
    assert p(torch.randn(1, 7, 3)).batch_shape == (1, 7)
    with pytest.raises(ValueError, match=sentence):
        p(torch.randn(4, 7, 3))

    p.eval()
    if track:
        # Each row for itself.
        assert p(torch.randn(4, 7, 3)).batch_shape == (4, 7)
    else:
        with pytest.raises(ValueError, match=sentence):
            p(torch.randn(4, 7, 3))


@pytest.mark.parametrize("name, backend", [("dcgan batch", "off"), ("mlp batch", "fx")])
def test_batch_norm_and_particles(name: str, backend: str) -> None:
    model, guide, x = programs(name)
    adam = partial(torch.optim.Adam, lr=1e-2)

    with pytest.raises(ValueError, match="BatchNorm, which would mix the particles"):
        SVI(model, guide, adam, ELBO(particles=3), compile=backend).step(x)

    loop = SVI(model, guide, adam, ELBO(particles=3, vectorized=False), compile=backend)
    assert loop.step(x).isfinite() and loop.reason is None
    assert loop.evaluate_loss(x).isfinite()


def test_batch_norm_in_an_encoder_alone() -> None:
    q = Conditional((1, 6, 5), Normal((3,)), dcgan([4], norm="batch"))
    p = Conditional((3,), Normal((1, 6, 5)), dcgan([4]))
    model, guide = VAE(StandardNormal((3,)), p), Amortized(q)
    svi = SVI(model, guide, partial(torch.optim.Adam, lr=1e-2), ELBO(particles=3))

    assert svi.step(torch.randn(7, 1, 6, 5)).isfinite()


def test_dcgan_keeps_brightness() -> None:
    # What normalization next to the image would take away.
    net = dcgan([4])((1, 8, 8), (2,))
    x = torch.zeros(2, 1, 8, 8)
    x[1] = 1

    assert (net(x)[0] - net(x)[1]).abs().max() > 1e-3


# Norms of the perceptron


def test_no_norm_changes_no_names() -> None:
    names = mlp([4, 3])((2,), (5,)).state_dict().keys()
    assert list(names) == [f"{i}.{kind}" for i in (1, 3, 5) for kind in ("weight", "bias")]


def test_batch_norm_in_training_and_evaluation() -> None:
    net = mlp([4], activation=nn.Identity, norm="batch")((3,), (2,))
    seen: list[Tensor] = []
    norm = net[2]
    norm.register_forward_hook(lambda module, given, out: seen.append(out.detach()))
    x = 5 + 3 * torch.randn(64, 3)
    h = net[1](x)

    net.train()(x)
    torch.testing.assert_close(seen[0].mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    variance = h.var(0, correction=0)
    torch.testing.assert_close(seen[0].var(0, correction=0), variance / (variance + norm.eps))
    # Running means start at 0 and 1, and take a tenth of each batch.
    torch.testing.assert_close(norm.running_mean, 0.1 * h.mean(0))
    torch.testing.assert_close(norm.running_var, 0.9 + 0.1 * h.var(0))

    net.eval()(x[:1])
    wanted = (h[:1] - norm.running_mean) / (norm.running_var + norm.eps).sqrt()
    torch.testing.assert_close(seen[1], wanted)


def test_layer_norm_is_of_each_datum() -> None:
    net = mlp([50], activation=nn.Identity, norm="layer")((3,), (2,))
    h = net[:3](5 + 3 * torch.randn(7, 3))

    torch.testing.assert_close(h.mean(1), torch.zeros(7), atol=1e-5, rtol=0)
    torch.testing.assert_close(h.var(1, correction=0), torch.ones(7), atol=1e-3, rtol=0)


# Initialization


SCHEMES = "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"
GAINS = {"Tanh": 5 / 3, "ReLU": 2**0.5, "Sigmoid": 1.0, "SiLU": 1.0, "Identity": 1.0}


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("activation", GAINS)
def test_weights_have_the_variance_of_their_scheme(scheme: str, activation: str) -> None:
    network = mlp([200, 150], activation, norm="layer", dropout=0.1)
    net = initialized(network, scheme)((100,), (300,))  # type: ignore[arg-type]
    layers = [m for m in net.modules() if isinstance(m, nn.Linear)]
    gains = [GAINS[activation]] * 2 + [1.0]
    kurtosis = 1.8 if "uniform" in scheme else 3.0

    for layer, gain in zip(layers, gains, strict=True):
        out, fan = layer.weight.shape
        wanted = gain**2 * (2 / (fan + out) if "xavier" in scheme else 1 / fan)
        squares = layer.weight.double().square().mean().item() / wanted
        # The mean of n squares is off by sqrt((kurtosis - 1) / n): 4 of that is 6e-5 by chance.
        assert abs(squares - 1) < 4 * ((kurtosis - 1) / (out * fan)) ** 0.5
        if "uniform" in scheme:
            assert layer.weight.abs().max() <= (3 * wanted) ** 0.5
        assert not layer.bias.any()


def test_orthogonal_weights() -> None:
    net = initialized(mlp([20, 30], "ReLU"), "orthogonal")((40,), (5,)).double()
    first, second, last = (m.weight for m in net.modules() if isinstance(m, nn.Linear))
    gain = 2.0  # of ReLU, squared

    torch.testing.assert_close(first @ first.T, gain * torch.eye(20).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(second.T @ second, gain * torch.eye(20).double(), atol=1e-5, rtol=0)
    torch.testing.assert_close(last @ last.T, torch.eye(5).double(), atol=1e-5, rtol=0)


def test_a_transposed_convolution_starts_as_if_it_were_not() -> None:
    # Its weight has the inputs first.
    net = initialized(conv([32, 8], "Tanh"), "kaiming_uniform")((3,), (2, 1, 8, 8))
    layer = next(m for m in net.modules() if isinstance(m, nn.ConvTranspose2d))
    bound = 5 / 3 * (3 / (8 * 9)) ** 0.5  # of a uniform law with variance gain^2 / (8 * 3 * 3)

    assert layer.weight.shape == (8, 32, 3, 3)
    # That the largest of 2304 falls short by a twentieth has a chance of 0.95^2304.
    assert 0.95 * bound < layer.weight.abs().max() <= bound


def test_what_is_no_weight_keeps_its_start() -> None:
    net = initialized(mlp([4], norm="batch"))((3,), (2,))
    assert net[2].weight.eq(1).all() and net[2].bias.eq(0).all()


def test_initialized_and_spectral_go_one_way_round() -> None:
    with pytest.raises(ValueError, match="spectral around initialized"):
        initialized(spectral(mlp([4])))((3,), (2,))


# Spectral normalization


@pytest.mark.parametrize("network", [mlp([8]), conv([4, 6]), transformer(2, 1, 2, 8)])
def test_spectral_norms_are_one(network: Network) -> None:
    net = spectral(network, iterations=50)((1, 6, 5), (2, 3))
    net(torch.randn(4, 1, 6, 5))
    layers = [m for m in net.modules() if is_parametrized(m)]
    kinds = nn.Linear, nn.Conv2d, nn.ConvTranspose2d

    assert len(layers) == sum(isinstance(m, kinds) for m in net.modules()) > 0
    for layer in layers:
        largest = torch.linalg.matrix_norm(layer.weight.flatten(1), ord=2)
        # The power method comes from below, and converges by the ratio of singular values.
        assert 1 - 1e-4 < largest < 1.02


def test_spectral_of_a_transposed_convolution() -> None:
    # The outputs are its second dimension.
    net = spectral(conv([4]), iterations=200)((3,), (2, 1, 6, 5))
    net(torch.randn(4, 3))
    (layer,) = (m for m in net.modules() if isinstance(m, nn.ConvTranspose2d))
    matrix = layer.weight.transpose(0, 1).flatten(1)

    torch.testing.assert_close(torch.linalg.matrix_norm(matrix, ord=2), torch.ones(()))


def test_power_method_rests_in_evaluation() -> None:
    net = spectral(mlp([8]))((3,), (2,))
    x = torch.randn(4, 3)
    before = [b.clone() for b in net.buffers()]

    net.eval()(x)
    assert all(torch.equal(a, b) for a, b in zip(before, net.buffers(), strict=True))
    net.train()(x)
    assert not all(torch.equal(a, b) for a, b in zip(before, net.buffers(), strict=True))


# The transformer


def test_block_is_that_of_torch() -> None:
    ours = AttentionBlock(8, heads=2, activation="GELU", dropout=0.0).double()
    theirs = nn.TransformerEncoderLayer(
        8, 2, 32, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    ).double()

    for p in ours.parameters():
        nn.init.normal_(p)
    nn.init.zeros_(theirs.self_attn.in_proj_bias)
    for a, b in [
        (theirs.self_attn.in_proj_weight, ours.projections.weight),
        *zip(theirs.self_attn.out_proj.parameters(), ours.out.parameters(), strict=True),
        *zip(theirs.norm1.parameters(), ours.norm.parameters(), strict=True),
        *zip(theirs.norm2.parameters(), ours.f[0].parameters(), strict=True),
        *zip(theirs.linear1.parameters(), ours.f[1].parameters(), strict=True),
        *zip(theirs.linear2.parameters(), ours.f[3].parameters(), strict=True),
    ]:
        a.data.copy_(b)

    x = torch.randn(3, 5, 8, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x))


def test_order_is_told_by_positions_alone() -> None:
    net = transformer(layers=2, heads=2, width=8)((6, 3), (4,))
    x, order = torch.randn(5, 6, 3), torch.randperm(6)
    (places,) = (m for m in net.modules() if isinstance(m, Positions))

    assert not torch.allclose(net(x), net(x[:, order]), rtol=1e-3)
    nn.init.zeros_(places.places)
    torch.testing.assert_close(net(x), net(x[:, order]))


def test_uneven_images_are_padded() -> None:
    network = transformer(patch=4, layers=1, heads=2, width=8)
    small, large = network((1, 9, 7), (4,)), network((1, 12, 8), (4,))
    large.load_state_dict(small.state_dict())
    x = torch.randn(5, 1, 9, 7)
    torch.testing.assert_close(small(x), large(nn.functional.pad(x, (0, 1, 0, 3))))

    small, large = network((4,), (2, 3, 9, 7)), network((4,), (2, 3, 12, 8))
    large.load_state_dict(small.state_dict())
    z = torch.randn(5, 4)
    torch.testing.assert_close(small(z), large(z)[..., :9, :7])


# The recurrent network


def copy_gru(theirs: nn.GRU, recurrences: list[Recurrence]) -> None:
    for ours, weights in zip(recurrences, theirs.all_weights, strict=True):
        wanted = (ours.inputs.weight, ours.states.weight, ours.inputs.bias, ours.states.bias)
        for p, q in zip(wanted, weights, strict=True):
            q.data.copy_(p)


@pytest.mark.parametrize("layers", [1, 2])
def test_gru_is_that_of_torch(layers: int) -> None:
    encoder = gru(width=4, layers=layers)((5, 3), (2,)).double()
    decoder = gru(width=4, layers=layers)((3,), (2, 5, 6)).double()
    ours = [[m for m in net.modules() if isinstance(m, Recurrence)] for net in (encoder, decoder)]
    both_ways = nn.GRU(3, 4, layers, batch_first=True, bidirectional=True).double()
    ahead = nn.GRU(3, 4, layers, batch_first=True).double()
    copy_gru(both_ways, ours[0])
    copy_gru(ahead, ours[1])
    x, z = torch.randn(7, 5, 3).double(), torch.randn(7, 3).double()

    _, last = both_ways(x)
    wanted = encoder[-2:](torch.cat([last[-2], last[-1]], -1))
    torch.testing.assert_close(encoder(x), wanted)
    states, _ = ahead(z[:, None].expand(-1, 5, -1))
    torch.testing.assert_close(decoder(z), decoder[-3:](states))


# On the command line


def nested(encoder: Network = mlp()) -> None:  # noqa: B008
    r"""Something to be given options."""


@pytest.mark.parametrize(
    "tokens, shown",
    [
        ("--encoder dcgan --encoder.norm batch", "dcgan(channels=(32, 64), activation='SiLU'"),
        ("--encoder transformer --encoder.patch 2", "transformer(patch=2, layers=2"),
        ("--encoder spectral", "spectral(network=mlp(hidden=(256, 256)"),
        (
            "--encoder spectral --encoder.network mlp --encoder.network.hidden [64]",
            "spectral(network=mlp(hidden=(64,)",
        ),
        (
            "--encoder spectral --encoder.iterations 2 --encoder.network spectral "
            "--encoder.network.network dcgan --encoder.network.network.norm none",
            "spectral(network=spectral(network=dcgan(",
        ),
        (
            "--encoder initialized --encoder.scheme orthogonal --encoder.network mlp "
            "--encoder.network.hidden [64] --encoder.network.norm batch",
            "initialized(network=mlp(hidden=(64,), activation='SiLU', dropout=0.0, norm='batch'), "
            "scheme='orthogonal'",
        ),
        (
            "--encoder pretrained --encoder.path a --encoder.network gated "
            "--encoder.network.hidden [8] --encoder.frozen false",
            "pretrained(path='a', network=gated(hidden=(8,), dropout=0.0), frozen=False",
        ),
    ],
)
def test_nested_options(tokens: str, shown: str) -> None:
    options = Options(nested)
    config = options.parse(tokens.split())
    built = options.build(config)[0]["encoder"]

    assert repr(built).startswith(shown)
    # What a run's folder keeps builds the same.
    kept = yaml.safe_load(yaml.safe_dump(config))
    assert repr(Options(nested).build(kept)[0]["encoder"]) == repr(built)


# Refusals


@pytest.mark.parametrize("name", IMAGES)
@pytest.mark.parametrize("in_shape, out_shape", [((5,), (2, 5)), ((), (9,)), ((1, 2, 3, 4), (2,))])
def test_images_only(name: str, in_shape: Shape, out_shape: Shape) -> None:
    with pytest.raises(ValueError, match=r"needs an image.*on one side.*take mlp for vectors"):
        IMAGES[name]()(in_shape, out_shape)


@pytest.mark.parametrize("in_shape, out_shape", [((5,), (2, 5)), ((), (9,)), ((1, 2, 3, 4), (2,))])
def test_tokens_only(in_shape: Shape, out_shape: Shape) -> None:
    with pytest.raises(ValueError, match=r"needs a sequence.*on one side.*take mlp for vectors"):
        gru()(in_shape, out_shape)
    with pytest.raises(ValueError, match=r"needs an image.*or a sequence.*take mlp for vectors"):
        transformer()(in_shape, out_shape)


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
            for network in (mlp, conv, dcgan, resnet, transformer)
        ),
        *(
            (partial(network, dropout=p), "probability 0 or more, below 1; got")
            for network in (mlp, gated, conv, dcgan, resnet, transformer)
            for p in (-0.1, 1.0, float("nan"))
        ),
        (partial(gated, hidden=[0]), r"gated.hidden needs positive sizes"),
        (partial(dcgan, channels=[]), r"dcgan.channels needs one stage or more"),
        (partial(dcgan, norm="layer"), r"no norm 'layer'; take one of group, batch, none"),
        (partial(mlp, norm="group"), r"no norm 'group'; take one of none, batch, layer"),
        (partial(initialized, scheme="zeros"), r"no scheme 'zeros'; take one of xavier_uniform,"),
        (partial(spectral, iterations=0), r"spectral.iterations needs positive sizes"),
        (partial(gru, width=0), r"gru.width needs positive sizes"),
        (partial(gru, layers=0), r"gru.layers needs positive sizes"),
        *(
            (partial(transformer, **{name: 0}), rf"transformer.{name} needs positive sizes")
            for name in ("patch", "layers", "heads", "width")
        ),
        (partial(transformer, width=9, heads=2), r"must be a multiple of heads.*9 for 2 heads"),
    ],
)
def test_refusals(make: Callable[[], Network], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        make()
