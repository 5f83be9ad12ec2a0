r"""How good is a model of MNIST, under a named protocol?

By default: fixed binarization (protocol C), a VAE 784-200-200-50 with tanh, which published
numbers are for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ppl_vae.conditional import Conditional
from ppl_vae.data import mnist
from ppl_vae.experiment import Experiment
from ppl_vae.families import Bernoulli, Family, Normal
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE
from ppl_vae.networks import Network, mlp
from ppl_vae.objectives import MeanFieldELBO, Objective
from ppl_vae.priors import Prior, StandardNormal
from ppl_vae.program import Program


def experiment(
    root: str | None = None,
    protocol: str = "C",
    latent: int = 50,
    prior: Callable[[Sequence[int]], Prior] = StandardNormal,
    likelihood: Callable[[Sequence[int]], Family] = Bernoulli,
    posterior: Callable[[Sequence[int]], Family] = Normal,
    guide: Callable[[Conditional], Program] = Amortized,
    encoder: Network = mlp(hidden=[200, 200], activation="Tanh"),
    decoder: Network = mlp(hidden=[200, 200], activation="Tanh"),
    objective: Objective = MeanFieldELBO(),
) -> Experiment:
    r"""MNIST, 28 x 28 binary pixels, under protocol A, B or C.

    Arguments:
        root: The folder of the files, or its parent.
        protocol: A (IWAE: redrawn), B (VampPrior: redrawn), or C (the fixed .amat files).
        latent: The number of elements of z.
        prior: The prior p(z).
        likelihood: The family of p(x | z).
        posterior: The family of q(z | x).
        guide: The structure of the guide.
        encoder: The network from x to the posterior.
        decoder: The network from z to the likelihood.
        objective: The objective.
    """
    data = mnist(root, protocol)
    q = Conditional(data.event_shape, posterior((latent,)), encoder)
    p = Conditional((latent,), likelihood(data.event_shape), decoder, mean=data.mean)
    z = prior((latent,)).attach(q, data.examples())
    p.in_scale = z.draw_scale
    model = VAE(z, p)
    return Experiment(
        data=data,
        model=model,
        guide=guide(q).attach(model),
        objective=objective,
        epochs=100,
    )
