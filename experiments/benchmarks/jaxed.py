r"""The cases in NumPyro, which is no dependency: without it, they are left out."""

from __future__ import annotations

import os
from importlib import import_module
from typing import Any

from torch import Tensor

from ppl_vae.experiments.benchmarks.cases import PSEUDO, Case, Run

__all__ = ["Programs", "load", "numpyro_jit", "numpyro_scan"]


def load() -> None:
    r"""Imports JAX and NumPyro."""
    # PyTorch works on the same GPU: JAX is not to take most of its memory.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

    for name in ("jax", "numpyro.infer", "numpyro.nn"):
        import_module(name)


class Programs:
    r"""The model and the guide of a case, and the libraries that they are written in."""

    def __init__(self, case: Case, data: Tensor) -> None:
        load()
        self.case = case
        self.jax = import_module("jax")
        self.np = import_module("jax.numpy")
        self.stax = import_module("jax.example_libraries.stax")
        self.numpyro = import_module("numpyro")
        self.dist = import_module("numpyro.distributions")
        self.nn = import_module("numpyro.nn")
        self.inputs = self.array(data[:PSEUDO])
        # As in Pyro, the order of the elements is drawn, once.
        keys = self.jax.random.split(self.jax.random.PRNGKey(1), 2)
        self.orders = [self.jax.random.permutation(key, case.latent) for key in keys]

    def array(self, data: Tensor) -> Any:
        r"""Data of PyTorch on JAX's device; channels come last there."""
        data = data.movedim(1, -1) if self.case.program == "conv" else data
        return self.np.asarray(data.cpu().numpy())

    def model(self, x: Any) -> None:
        sample, case = self.numpyro.sample, self.case
        decoder = self.network("decoder", "down", (case.latent,), case.shape)
        down = self.network("down", "inner", (case.latent,), (2 * case.latent,))
        prior = self.prior()

        with self.numpyro.plate("data", case.batch):
            z = sample("z2" if down else "z", prior)
            z = sample("z", self.normal(down(z))) if down else z
            logits = self.dist.Bernoulli(logits=decoder(z))
            sample("x", self.dist.Independent(logits, len(case.shape)), obs=x)

    def guide(self, x: Any) -> None:
        sample, case = self.numpyro.sample, self.case
        up = self.network("up", "inner", (case.latent,), (2 * case.latent,))
        q = self.normal(self.encoder()(x))
        q = self.dist.TransformedDistribution(q, self.flows()) if case.program == "iaf" else q

        with self.numpyro.plate("data", case.batch):
            z = sample("z", q)
            if up:
                sample("z2", self.normal(up(z)))

    def prior(self) -> Any:
        zero = self.np.zeros(self.case.latent)

        if self.case.program != "vamp":
            return self.dist.Independent(self.dist.Normal(zero, 1.0), 1)

        inputs = self.numpyro.param("inputs", self.inputs)
        # As in our VampPrior, the gradient passes the bounds.
        inputs = inputs + self.jax.lax.stop_gradient(inputs.clip(0, 1) - inputs)
        weights = self.dist.Categorical(logits=self.np.zeros(PSEUDO))
        return self.dist.MixtureSameFamily(weights, self.normal(self.encoder()(inputs)))

    def flows(self) -> list[Any]:
        flows = import_module("numpyro.distributions.flows")
        size, hidden = self.case.latent, [self.case.hidden]
        nets = [self.nn.AutoregressiveNN(size, hidden, permutation=order) for order in self.orders]
        bound = [self.numpyro.module(f"flow{i}", net, (size,)) for i, net in enumerate(nets)]
        return [flows.InverseAutoregressiveTransform(net) for net in bound]

    def normal(self, h: Any) -> Any:
        loc, rho = self.np.split(h, 2, axis=-1)
        return self.dist.Independent(self.dist.Normal(loc, self.jax.nn.softplus(rho) + 1e-4), 1)

    def encoder(self) -> Any:
        return self.network("encoder", "up", self.case.shape, (2 * self.case.latent,))

    def network(self, name: str, kind: str, a: tuple[int, ...], b: tuple[int, ...]) -> Any:
        r"""A network from one shape to another, with its parameters; an inner one may be None."""
        case = self.case
        if kind == "inner" and case.program != "two-level":
            return None
        if case.program == "conv":
            net, a = self.convolutions(kind), (*a[1:], *a[:1])
        else:
            net = self.perceptron(case.hidden, b[0])
        return self.numpyro.module(name, net, (case.batch, *a))

    def perceptron(self, hidden: int, out: int) -> Any:
        s = self.stax
        return s.serial(s.Dense(hidden), s.Tanh, s.Dense(hidden), s.Tanh, s.Dense(out))

    def convolutions(self, kind: str) -> Any:
        s, silu = self.stax, self.stax.elementwise(self.jax.nn.silu)
        strided: dict[str, Any] = {"strides": (2, 2), "padding": "SAME"}

        if kind == "up":
            return s.serial(
                *(s.Conv(32, (3, 3), **strided), silu),
                *(s.Conv(64, (3, 3), **strided), silu),
                *(s.Flatten, s.Dense(2 * self.case.latent)),
            )

        def init(key: Any, shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[()]]:
            return (shape[0], 7, 7, 64), ()

        def reshape(parameters: tuple[()], h: Any, **kwargs: Any) -> Any:
            return h.reshape(-1, 7, 7, 64)

        return s.serial(
            *(s.Dense(64 * 7 * 7), (init, reshape), silu),
            *(s.ConvTranspose(32, (3, 3), **strided), silu),
            *(s.ConvTranspose(32, (3, 3), **strided), silu),
            s.Conv(1, (3, 3), padding="SAME"),
        )

    def svi(self) -> Any:
        infer = import_module("numpyro.infer")
        objectives = {
            "mean-field": infer.TraceMeanField_ELBO(),
            "elbo": infer.Trace_ELBO(),
            "iwae": infer.RenyiELBO(alpha=0, num_particles=self.case.particles),
        }
        optimizer = self.numpyro.optim.Adam(1e-3)
        return infer.SVI(self.model, self.guide, optimizer, objectives[self.case.objective])


def numpyro_jit(case: Case, data: Tensor, rows: Tensor) -> Run:
    r"""NumPyro's SVI, each update compiled by XLA."""
    programs = Programs(case, data)
    svi = programs.svi()
    batches = [programs.array(data[part]) for part in rows]
    update = programs.jax.jit(svi.update, donate_argnums=0)
    state = svi.init(programs.jax.random.PRNGKey(0), batches[0])

    def run() -> Any:
        nonlocal state
        for x in batches:
            state, loss = update(state, x)
        return loss / case.batch

    return run


def numpyro_scan(case: Case, data: Tensor, rows: Tensor) -> Run:
    r"""NumPyro's SVI, all updates of a run compiled into one loop by XLA."""
    programs = Programs(case, data)
    jax, svi = programs.jax, programs.svi()
    batches = programs.np.stack([programs.array(data[part]) for part in rows])

    def updates(state: Any, batches: Any) -> Any:
        return jax.lax.scan(svi.update, state, batches)

    compiled = jax.jit(updates, donate_argnums=0)
    state = svi.init(jax.random.PRNGKey(0), batches[0])

    def run() -> Any:
        nonlocal state
        state, losses = compiled(state, batches)
        return losses[-1] / case.batch

    return run
