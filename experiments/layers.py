r"""Do more layers of latent variables help?

Handwritten digits as in the experiment digits, under a chain of latent variables. The guide is
built from one conditional for each layer, the same for every guide of several layers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from ppl_vae.conditional import Conditional
from ppl_vae.data import digits
from ppl_vae.experiment import Experiment
from ppl_vae.families import Binomial, Family, Normal
from ppl_vae.guides import Ladder
from ppl_vae.models import Hierarchical
from ppl_vae.networks import Network, mlp
from ppl_vae.objectives import ELBO, Objective
from ppl_vae.priors import Prior, StandardNormal
from ppl_vae.program import Program


def experiment(
    latents: Sequence[int] = (8, 4),
    prior: Callable[[Sequence[int]], Prior] = StandardNormal,
    likelihood: Callable[[Sequence[int]], Family] = lambda shape: Binomial(shape, total=16),
    conditional: Callable[[Sequence[int]], Family] = Normal,
    posterior: Callable[[Sequence[int]], Family] = Normal,
    guide: Callable[[Sequence[Conditional]], Program] = Ladder,
    encoder: Network = mlp(),
    decoder: Network = mlp(),
    objective: Objective = ELBO(),
) -> Experiment:
    r"""Handwritten digits of 8 x 8 counts, under several layers of latent variables.

    Arguments:
        latents: The numbers of elements of z1, z2, ..., from the data up.
        prior: The prior of the top layer.
        likelihood: The family of p(x | z1).
        conditional: The family of p(z1 | z2), p(z2 | z3), ...
        posterior: The family of the guide's layers.
        guide: The structure of the guide, of several layers: Ladder or BottomUp.
        encoder: The network of each layer of the guide.
        decoder: The network of each layer of the model.
        objective: The objective.
    """
    if not latents:
        raise ValueError("The experiment layers needs one latent variable or more: --latents [8].")

    data = digits()
    shapes = [data.event_shape, *((size,) for size in latents)]
    q = [
        Conditional(a, posterior(b), encoder, in_scale=data.maximum if level == 0 else 1.0)
        for level, (a, b) in enumerate(pairwise(shapes))
    ]
    p = [Conditional(a, conditional(b), decoder) for a, b in pairwise(shapes[:0:-1])]
    likely = Conditional(shapes[1], likelihood(data.event_shape), decoder, mean=data.mean)
    top = prior(shapes[-1]).attach()
    (p[0] if p else likely).in_scale = top.draw_scale
    model = Hierarchical(top, p, likely)
    return Experiment(
        data=data,
        model=model,
        guide=guide(q).attach(model),
        objective=objective,
        epochs=100,
    )
