r"""What a run is made of: data, two programs, an objective, and how they are trained."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from .data import Data
from .objectives import ELBO
from .optimizer import Optimizer
from .svi import SVI
from .weights import Program

__all__ = ["Experiment"]


def adam(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    r"""Adam with a learning rate of 0.001, all parameters in one kernel."""
    return torch.optim.Adam(parameters, lr=1e-3, fused=True)


@dataclass(frozen=True, kw_only=True)
class Experiment:
    r"""The values that a function ``experiment(...)`` returns.

    To write a new one, put a typed function of that name into a file, alone::

        def experiment(latent: int = 8, prior: Callable[[Sequence[int]], Prior] = StandardNormal):
            data = digits()
            return Experiment(data=data, model=..., guide=...)

    Its arguments become options of ``ppl-vae train FILE``; those whose type is a base class are
    chosen by name, with options of their own.
    """

    data: Data
    r"""The data set."""
    model: Program
    r"""The program :math:`p(x, z)`."""
    guide: Program
    r"""The program :math:`q(z \mid x)`."""
    objective: Any = field(default_factory=ELBO)
    r"""The objective, of this library or of Pyro."""
    optimizer: Optimizer = adam
    r"""A function from parameters to an optimizer."""
    scheduler: Callable[[torch.optim.Optimizer], Any] | None = None
    r"""A function from the optimizer to a scheduler, stepped once per epoch."""
    epochs: int = 100
    r"""The number of epochs."""
    batch_size: int = 128
    r"""The number of rows of a minibatch."""
    warmup: int = 0
    r"""The number of epochs over which the KL weight rises from 0 to 1."""
    patience: int | None = None
    r"""The number of epochs without a better validation bound after which to stop."""
    signal: int = 0
    r"""The number of gradients by which each epoch's signal-to-noise ratio is estimated, if any."""
    clip: float | None = None
    r"""The largest norm of the gradient."""
    compile: str = "auto"
    r"""How steps are taken: auto, off, fx, inductor or cudagraph; see :class:`~ppl_vae.SVI`."""
    precision: str = "float32"
    r"""The precision of matrix products: float32, tf32 or bf16."""

    def svi(self) -> SVI:
        r"""The programs, the objective and the optimizer, ready to step."""
        return SVI(
            self.model,
            self.guide,
            self.optimizer,
            self.objective,
            clip=self.clip,
            compile=self.compile,
            precision=self.precision,
        )
