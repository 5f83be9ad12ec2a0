r"""Programs that are staged: this library's, and others as users of Pyro write them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pyro
import pyro.distributions as dist
import pyro.distributions.transforms as transforms
import pyro.infer
import pytest
import torch
from program_cases import PROGRAMS
from pyro.nn import PyroModule, PyroParam
from test_svi import PAIRS
from torch import Tensor, nn

from ppl_vae.objectives import ELBO, IWAE, LinearWarmup, MeanFieldELBO
from ppl_vae.staging.inductor import has_compiler
from ppl_vae.svi import SVI

Pair = tuple[Any, Any, Tensor]
adam = partial(torch.optim.Adam, lr=1e-2)
compiler = pytest.mark.skipif(
    not has_compiler(torch.device("cpu")), reason="Inductor needs a C++ compiler, such as g++"
)

OBJECTIVES: dict[str, Callable[[], Any]] = {
    "ELBO": lambda: ELBO(particles=2),
    "MeanFieldELBO": lambda: MeanFieldELBO(kl_weight=LinearWarmup(steps=10)),
    "IWAE": lambda: IWAE(particles=3),
    "looped": lambda: ELBO(particles=2, vectorized=False),
    "Trace_ELBO": lambda: pyro.infer.Trace_ELBO(num_particles=2, vectorize_particles=True),
}


# Programs in the ways of Pyro, written by somebody else


class Custom(nn.Module):
    r"""A small VAE whose parts the cases below change."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(5, 4), nn.Linear(2, 5)
        self.register_buffer("temperature", torch.tensor(1.0))

    temperature: Tensor

    def posterior(self, x: Tensor) -> Any:
        loc, rho = self.encoder(x).chunk(2, -1)
        return dist.Normal(loc, rho.exp() * self.temperature).to_event(1)

    def prior(self, x: Tensor) -> Any:
        return dist.Normal(x.new_zeros(2), 1.0).to_event(1)

    def likelihood(self, z: Tensor) -> Any:
        return dist.Bernoulli(logits=self.decoder(z)).to_event(1)

    def model(self, x: Tensor) -> None:
        pyro.module("custom", self)
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", self.prior(x))
            pyro.sample("x", self.likelihood(z), obs=x)

    def guide(self, x: Tensor) -> None:
        pyro.module("custom", self)
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", self.posterior(x))


class Normalized(Custom):
    r"""BatchNorm and dropout: buffers that change, and noise in the network."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4), nn.Dropout(0.3))


class Masked(Custom):
    def model(self, x: Tensor) -> None:
        pyro.module("custom", self)
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", self.prior(x))
            with pyro.poutine.mask(mask=x[:, 0] > 0):
                pyro.sample("x", self.likelihood(z), obs=x)
            pyro.factor("pull", -0.1 * z.square().sum(-1))


class Subsampled(Custom):
    r"""A minibatch of a larger data set, and a latent variable outside of the plate."""

    def model(self, x: Tensor) -> None:
        pyro.module("custom", self)
        shift = pyro.sample("shift", dist.Normal(0.0, 1.0))
        with pyro.plate("data", 50, subsample_size=len(x), dim=-1):
            z = pyro.sample("z", self.prior(x))
            pyro.sample("x", self.likelihood(z + shift.unsqueeze(-1)), obs=x)

    def guide(self, x: Tensor) -> None:
        pyro.module("custom", self)
        pyro.sample("shift", dist.Normal(pyro.param("loc", torch.tensor(0.1)), 0.3))
        with pyro.plate("data", 50, subsample_size=len(x), dim=-1):
            pyro.sample("z", self.posterior(x))


class InverseFlow(Custom):
    r"""Pyro's autoregressive transforms, which keep their last result as attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.flow = transforms.affine_autoregressive(2, [8])
        self.planar = transforms.planar(2)

    def posterior(self, x: Tensor) -> Any:
        base = super().posterior(x).base_dist
        return dist.TransformedDistribution(base, [self.flow, self.planar])


class Positive(Custom):
    def posterior(self, x: Tensor) -> Any:
        a, b = self.encoder(x).exp().chunk(2, -1)
        return dist.Gamma(a + 1, b).to_event(1)

    def prior(self, x: Tensor) -> Any:
        return dist.Gamma(x.new_ones(2), 1.0).to_event(1)


class Simplex(Custom):
    def posterior(self, x: Tensor) -> Any:
        return dist.Dirichlet(self.encoder(x)[..., :2].exp() + 0.5)

    def prior(self, x: Tensor) -> Any:
        return dist.Dirichlet(x.new_ones(2))


class Relaxed(Custom):
    def posterior(self, x: Tensor) -> Any:
        logits = self.encoder(x)[..., :2]
        return dist.RelaxedOneHotCategorical(self.temperature, logits=logits)

    def prior(self, x: Tensor) -> Any:
        return dist.RelaxedOneHotCategorical(self.temperature, logits=x.new_zeros(2))


class Correlated(Custom):
    def posterior(self, x: Tensor) -> Any:
        h = self.encoder(x)
        scale = torch.diag_embed(h[..., 2:].exp())
        return dist.MultivariateNormal(h[..., :2], scale_tril=scale)


class Pyroic(PyroModule):
    r"""A PyroModule with a constrained parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = PyroParam(torch.ones(2, 5))
        self.scale = PyroParam(torch.tensor(0.7), dist.constraints.positive)

    def model(self, x: Tensor) -> None:
        with pyro.plate("data", len(x), dim=-1):
            z = pyro.sample("z", dist.Normal(x.new_zeros(2), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z @ self.weight, self.scale).to_event(1), obs=x)

    def guide(self, x: Tensor) -> None:
        loc = pyro.param("loc", torch.zeros(2))
        scale = pyro.param("width", torch.ones(2), constraint=dist.constraints.positive)
        with pyro.plate("data", len(x), dim=-1):
            pyro.sample("z", dist.Normal(loc, scale).to_event(1))


def custom(kind: Callable[[], Any]) -> Callable[[], Pair]:
    def build() -> Pair:
        program = kind()
        return program.model, program.guide, (torch.rand(6, 5) < 0.5).float()

    return build


OTHERS: dict[str, Callable[[], Pair]] = {
    kind.__name__: custom(kind)
    for kind in (
        *(Custom, Normalized, Masked, Subsampled, InverseFlow, Positive),
        *(Simplex, Relaxed, Correlated, Pyroic),
    )
}
EVERY = {**PROGRAMS, **OTHERS}
# Global latent variables have no weights for each datum; discrete sites no divergence.
ALL_PAIRS = [
    (name, o)
    for name in EVERY
    for o in OBJECTIVES
    if (name in OTHERS or o not in ("MeanFieldELBO",) or (name, o) in PAIRS)
    and not (name == "Subsampled" and o == "IWAE")
]
# Each program with one objective or two, each objective with many programs: the rest runs in
# `make test-all`.
COVER = [pair for i, pair in enumerate(ALL_PAIRS) if i % 4 == 0]
REST = [pair for pair in ALL_PAIRS if pair not in COVER]


def trained(
    name: str, objective: str, backend: str, steps: int = 20, **options: Any
) -> tuple[list[float], list[Tensor], SVI]:
    r"""The losses of some steps, all tensors after them, and the SVI."""
    pyro.clear_param_store()
    torch.manual_seed(0)
    model, guide, x = EVERY[name]()
    svi = SVI(model, guide, adam, OBJECTIVES[objective](), compile=backend, **options)
    torch.manual_seed(1)
    losses = [float(svi.step(x if i % 3 else x[:-1])) for i in range(steps)]
    modules = [m for m in (model, guide) if isinstance(m, nn.Module)]
    modules += [m.__self__ for m in (model,) if hasattr(m, "__self__")]
    tensors = [*svi.parameters.values(), *(b for m in modules for b in m.buffers())]
    return losses, [t.detach().clone() for t in tensors], svi


def assert_bits(name: str, objective: str, **options: Any) -> None:
    eager, replayed = (trained(name, objective, b, **options) for b in ("off", "fx"))

    assert replayed[2].reason is None and replayed[2].backend == "fx"
    assert eager[0] == replayed[0]
    assert all(a.equal(b) for a, b in zip(eager[1], replayed[1], strict=True))


def graphs(svi: SVI) -> int:
    r"""The number of graphs that were captured."""
    (way,) = (way for _, way in svi._ways.values())
    return sum(len(entries) for staged in way.passes for entries in staged.entries.values())
