r"""The cases in this library, trained by its own SVI and by Pyro's."""

from __future__ import annotations

from functools import partial
from typing import Any

import pyro.distributions as dist
import pyro.infer
import torch
from pyro.distributions import TorchDistribution
from pyro.distributions.transforms import affine_autoregressive
from torch import Tensor, nn

from ppl_vae import SVI, Conditional
from ppl_vae.experiments.benchmarks.cases import PSEUDO, Case, Run
from ppl_vae.families import Bernoulli, Normal
from ppl_vae.guides import Amortized, BottomUp
from ppl_vae.models import VAE, Hierarchical
from ppl_vae.networks import conv, mlp
from ppl_vae.objectives import ELBO, IWAE, MeanFieldELBO, Objective
from ppl_vae.priors import StandardNormal, Vamp
from ppl_vae.program import Program

__all__ = ["our_svi", "programs", "pyro_svi"]


class Autoregressive(nn.Module):
    r"""A normal posterior whose draws pass two inverse autoregressive layers."""

    def __init__(self, base: Conditional, latent: int, hidden: int) -> None:
        super().__init__()
        self.base = base
        self.flows = nn.ModuleList(affine_autoregressive(latent, [hidden]) for _ in range(2))

    def forward(self, x: Tensor) -> TorchDistribution:
        return dist.TransformedDistribution(self.base(x), list(self.flows))


def programs(case: Case, data: Tensor) -> tuple[Program, Program]:
    r"""Returns the model and the guide of a case, on the device of the data."""
    x, z = case.shape, (case.latent,)
    perceptron = mlp(hidden=[case.hidden, case.hidden], activation="Tanh")
    network = conv() if case.program == "conv" else perceptron
    likelihood = Conditional(z, Bernoulli(x), network)
    posterior = Conditional(x, Normal(z), network)
    model: Program = VAE(StandardNormal(z), likelihood)
    guide: Program = Amortized(posterior)

    if case.program == "iaf":
        guide = Amortized(Autoregressive(posterior, case.latent, case.hidden))
    elif case.program == "vamp":
        model = VAE(Vamp(z, components=PSEUDO).attach(posterior, data.cpu()), likelihood)
    elif case.program == "two-level":
        down, up = (Conditional(z, Normal(z), network) for _ in range(2))
        model = Hierarchical(StandardNormal(z), [down], likelihood)
        guide = BottomUp([posterior, up])

    return model.to(data.device), guide.to(data.device)


def our_svi(case: Case, data: Tensor, rows: Tensor, *, compile: str) -> Run:
    r"""Our SVI, which picks the rows of a batch within the step."""
    objectives: dict[str, Objective] = {
        "mean-field": MeanFieldELBO(),
        "elbo": ELBO(),
        "iwae": IWAE(case.particles),
    }
    optimizer = partial(torch.optim.Adam, lr=1e-3, fused=True)
    objective = objectives[case.objective]
    svi = SVI(*programs(case, data), optimizer, objective, compile=compile)

    def feed(part: Tensor) -> dict[str, Tensor]:
        return {"x": data.index_select(0, part)}

    def run() -> Tensor:
        return svi.run(feed, rows)["loss"][-1]

    return run


def pyro_svi(case: Case, data: Tensor, rows: Tensor) -> Run:
    r"""Pyro's SVI, over the same programs."""
    objectives: dict[str, Any] = {
        "mean-field": pyro.infer.TraceMeanField_ELBO(max_plate_nesting=1),
        "elbo": pyro.infer.Trace_ELBO(max_plate_nesting=1),
        "iwae": pyro.infer.RenyiELBO(
            alpha=0,
            num_particles=case.particles,
            max_plate_nesting=1,
            vectorize_particles=True,
        ),
    }
    model, guide = programs(case, data)
    optimizer = pyro.optim.PyroOptim(torch.optim.Adam, {"lr": 1e-3})
    svi = pyro.infer.SVI(model, guide, optimizer, objectives[case.objective])
    parts = rows.unbind()

    def run() -> float:
        for part in parts:
            loss: float = svi.step(data.index_select(0, part))
        return loss / case.batch

    return run
