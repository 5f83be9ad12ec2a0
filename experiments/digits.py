r"""Which prior, likelihood, posterior and objective suit handwritten digits of 8 x 8 counts?

The data are embedded in scikit-learn: for each block of 4 x 4 pixels, how many are black, 0 to 16.
A binomial likelihood of 16 trials is the one they are draws of.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ppl_vae.conditional import Conditional
from ppl_vae.data import digits
from ppl_vae.experiment import Experiment
from ppl_vae.families import Binomial, Family, Normal
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE
from ppl_vae.networks import Network, mlp
from ppl_vae.objectives import ELBO, Objective
from ppl_vae.priors import Prior, StandardNormal
from ppl_vae.program import Program


def experiment(
    latent: int = 8,
    prior: Callable[[Sequence[int]], Prior] = StandardNormal,
    likelihood: Callable[[Sequence[int]], Family] = lambda shape: Binomial(shape, total=16),
    posterior: Callable[[Sequence[int]], Family] = Normal,
    guide: Callable[[Conditional], Program] = Amortized,
    encoder: Network = mlp(),
    decoder: Network = mlp(),
    objective: Objective = ELBO(),
) -> Experiment:
    r"""Handwritten digits of 8 x 8 counts, embedded in scikit-learn.

    Arguments:
        latent: The number of elements of z.
        prior: The prior p(z).
        likelihood: The family of p(x | z).
        posterior: The family of q(z | x).
        guide: The structure of the guide.
        encoder: The network from x to the posterior.
        decoder: The network from z to the likelihood.
        objective: The objective.
    """
    data = digits()
    q = Conditional(data.event_shape, posterior((latent,)), encoder, in_scale=data.maximum)
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
