r"""The programs whose training steps are timed, and their sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from torch import Tensor

__all__ = ["CASES", "PSEUDO", "STEPS", "Build", "Case", "Run"]

STEPS = 16
r"""The number of steps, each on a batch of its own, that a run takes."""

PSEUDO = 50
r"""The number of pseudo-inputs of the VampPrior."""


class Case(NamedTuple):
    r"""A variational auto-encoder, with two hidden layers in each network, and a batch."""

    program: Literal["plain", "iaf", "vamp", "two-level", "conv"] = "plain"
    objective: Literal["mean-field", "elbo", "iwae"] = "mean-field"
    shape: tuple[int, ...] = (784,)
    hidden: int = 200
    latent: int = 50
    batch: int = 128
    particles: int = 1


CASES = {
    "vae": Case(),
    "iwae": Case(objective="iwae", batch=20, particles=50),
    "tiny": Case(shape=(16,), hidden=16, latent=4),
    "iaf": Case("iaf", "elbo"),
    "vamp": Case("vamp", "elbo"),
    "two-level": Case("two-level", "elbo"),
    "conv": Case("conv", shape=(1, 28, 28), latent=32),
}

Run = Callable[[], Any]
r"""Takes :data:`STEPS` steps, and returns the loss of the last, in nats per datum."""

Build = Callable[[Case, Tensor, Tensor], Run]
r"""Makes a run from a case, its data, and the rows of each batch, with shape ``(STEPS, batch)``."""
