r"""Networks that start from stored weights: alone, and in runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import ppl_vae
from ppl_vae.conditional import Conditional
from ppl_vae.data import Data, Split
from ppl_vae.data.stored import stored
from ppl_vae.families import Normal
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE
from ppl_vae.networks import dcgan, mlp, pretrained, spectral
from ppl_vae.priors import StandardNormal
from ppl_vae.svi import SVI

SHAPES = (3,), (2,)
ENCODER = "guide.posterior.net."
OPTIONS = "--latent 2 --batch_size 512 --compile off --decoder mlp --decoder.hidden [8]"
NETWORK = "--encoder.network mlp --encoder.network.hidden [8]"


@pytest.fixture
def net() -> nn.Module:
    return mlp([8])(*SHAPES)


@pytest.fixture
def file(net: nn.Module, tmp_path: Path) -> str:
    save_file(net.state_dict(), tmp_path / "a.safetensors")
    return str(tmp_path / "a.safetensors")


def equal(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))


# Alone


@pytest.mark.parametrize("frozen", [True, False])
def test_weights_are_those_of_the_file(net: nn.Module, file: str, frozen: bool) -> None:
    loaded = pretrained(file, mlp([8]), frozen=frozen)(*SHAPES)
    x = torch.randn(5, 3)

    assert torch.equal(loaded(x), net(x))
    assert all(p.requires_grad is not frozen for p in loaded.parameters())


def test_prefix(net: nn.Module, tmp_path: Path) -> None:
    tensors = {f"a.{k}": v for k, v in net.state_dict().items()}
    save_file(tensors | {"b.weight": torch.zeros(1)}, tmp_path / "a")

    assert equal(pretrained(str(tmp_path / "a"), mlp([8]), prefix="a.")(*SHAPES), net)


def test_a_frozen_network_stays_as_it_is(tmp_path: Path) -> None:
    # Batch normalization and the power method move their buffers in training mode, dropout draws.
    network = spectral(dcgan([4], norm="batch", dropout=0.5))
    net = network((1, 6, 5), (2, 3))
    save_file(net.state_dict(), tmp_path / "a")
    q = Conditional((1, 6, 5), Normal((3,)), pretrained(str(tmp_path / "a"), network))
    p = Conditional((3,), Normal((1, 6, 5)), mlp([8]))
    model, guide = VAE(StandardNormal((3,)), p), Amortized(q)
    x = torch.randn(7, 1, 6, 5)
    svi = SVI(model, guide, partial(torch.optim.Adam, lr=1e-2), compile="fx")
    before = {k: t.clone() for k, t in q.state_dict().items()}
    guide.train()
    svi.step(x)
    svi.step(x)

    assert svi.reason is None and all(name.startswith("model.") for name in svi.parameters)
    assert all(torch.equal(t, before[k]) for k, t in q.state_dict().items())
    assert torch.equal(q.h(x), net.eval()(x))


def test_where_a_run_is_built_again_the_file_is_not_read() -> None:
    rows = {"train": Split({"x": torch.ones(3, 2)})}
    network = pretrained("absent", mlp([8]))

    with stored(Data("toy", lambda: rows).summary()):
        rebuilt = network(*SHAPES)

    with pytest.raises(ValueError, match="no file absent of weights"):
        network(*SHAPES)
    assert not any(p.requires_grad for p in rebuilt.parameters())


@pytest.mark.parametrize(
    "options, shapes, sentence",
    [
        ({"network": mlp([8, 8])}, SHAPES, r"lacks '5.bias'.*as it was"),
        ({"network": mlp([])}, SHAPES, r"holds more than the network: '3.bias'"),
        ({"network": mlp([9])}, SHAPES, r"holds '1.weight' of shape \(8, 3\).*is \(9, 3\)"),
        ({"network": mlp([8])}, ((4,), (2,)), r"holds '1.weight' of shape \(8, 3\).*is \(8, 4\)"),
        ({"network": mlp([8]), "prefix": "net."}, SHAPES, r"prefix 'net.' lacks '1.bias'"),
    ],
)
def test_refusals(file: str, options: dict, shapes: tuple, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        pretrained(file, **options)(*shapes)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("what?")

    with pytest.raises(ValueError, match=r"a is no file of safetensors"):
        pretrained(str(tmp_path / "a"))(*SHAPES)
    with pytest.raises(ValueError, match=r"no file .* of weights"):
        pretrained(str(tmp_path))(*SHAPES)


# In runs


def train(out: Path, options: str, epochs: int = 1) -> ppl_vae.Run:
    options = f"{OPTIONS} --epochs {epochs} {options}"
    return ppl_vae.train("digits", out, options.split(), progress=False)


@pytest.mark.parametrize("prior", ["StandardNormal", "Vamp"])
def test_from_run_to_run(tmp_path: Path, prior: str) -> None:
    first = train(tmp_path / "a", f"--prior {prior} --encoder mlp --encoder.hidden [8]")
    weights = tmp_path / "a" / "checkpoints" / "best.safetensors"
    # Vamp holds the guide's posterior, whose weights are stored under their first name.
    stored_as_such = any(name.startswith(ENCODER) for name in load_file(weights))
    assert stored_as_such is (prior != "Vamp")

    encoder = f"--encoder pretrained --encoder.path {weights} --encoder.prefix {ENCODER} {NETWORK}"
    second = train(tmp_path / "b", encoder)
    assert equal(second.guide.posterior.net, first.guide.posterior.net)

    weights.unlink()
    loaded = ppl_vae.load(tmp_path / "b")
    assert equal(loaded.guide.posterior.net, first.guide.posterior.net)


def test_resumed_without_the_file(tmp_path: Path) -> None:
    file = tmp_path / "a.safetensors"
    save_file(mlp([8])((1, 8, 8), (2, 2)).state_dict(), file)
    encoder = f"--encoder pretrained --encoder.path {file} --encoder.frozen false {NETWORK}"
    whole = train(tmp_path / "whole", encoder, epochs=2)
    part = train(tmp_path / "part", encoder)
    file.unlink()
    config = part.dir / "config.yaml"
    config.write_text(config.read_text().replace("epochs: 1", "epochs: 2"))
    ppl_vae.Run(part.dir).resume(progress=False)

    a, b = (load_file(run.dir / "checkpoints" / "last.safetensors") for run in (whole, part))
    weights = [name for name in a if name.startswith(("model.", "guide."))]
    assert weights and all(torch.equal(a[name], b[name]) for name in weights)
