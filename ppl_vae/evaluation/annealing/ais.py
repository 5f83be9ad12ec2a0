r"""Annealed importance sampling."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from ...weights import Program
from .annealed import Annealed
from .annealer import Annealer, Kept
from .path import Start
from .schedule import Spacing
from .settings import Settings

__all__ = ["annealed_evidence"]


def annealed_evidence(
    model: Program,
    guide: Program | None,
    batch: Mapping[str, Tensor] | Tensor,
    *,
    steps: int = 1000,
    chains: int = 16,
    leapfrog: int = 2,
    start: Start = "prior",
    spacing: Spacing = "sigmoid",
    seed: int = 0,
    memory: int = 2**29,
    compile: str = "auto",
    kept: Kept | None = None,
    progress: Callable[[int], None] | None = None,
) -> Annealed:
    r"""Estimates :math:`\log p(x)` of each datum by annealed importance sampling.

    Chains go from the prior, or the guide, to the posterior, by Hamiltonian Monte Carlo: in
    coordinates without bounds, along great circles on spheres, and by Metropolis steps proposed
    from the start at discrete sites. Step sizes are adapted in a pilot run, at each power a size
    for each datum and a width for each element, and then frozen. From the prior, the estimate owes
    nothing to the guide. Data run in blocks of 50, which share the seed and the widths.

    .. math:: \log \hat{p}(x) = \log \frac{1}{C} \sum_{c=1}^C w_c

    is at most :math:`\log p(x)` on average, and its gap falls as one over the number of steps.

    Example:
        >>> import torch
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> x = model(n=10).detach()
        >>> found = annealed_evidence(model, Amortized(model.posterior), x, steps=100)
        >>> torch.allclose(found.log_evidence, model.log_evidence(x), atol=0.5)
        True

    References:
        | Annealed Importance Sampling (Neal, 2001)
        | https://arxiv.org/abs/physics/9803008

        | On the Quantitative Analysis of Decoder-Based Generative Models (Wu et al., 2017)
        | https://arxiv.org/abs/1611.04273

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`. It is not asked, and may be None, where
            chains start from the prior.
        batch: The data: the observed sites by name, or the one tensor of data.
        steps: The number :math:`T` of steps from the start to the posterior.
        chains: The number :math:`C` of chains of each datum.
        leapfrog: The number of leapfrog steps of each transition.
        start: What chains start from: ``"prior"`` or ``"guide"``.
        spacing: How the powers are spaced: ``"sigmoid"``, ``"linear"`` or ``"geometric"``.
        seed: The seed of all draws.
        memory: The number of bytes that intermediate results may take.
        compile: How gradients are run, as for :class:`~ppl_vae.SVI`.
        kept: Finished blocks of data by number; those that are there are not run again.
        progress: Called with numbers of data that add up to all; steps taken count as parts.

    Raises:
        ValueError: As :func:`~ppl_vae.weights.log_weights`, if there are no data, a number is not
            positive, a site lies outside of the plate of the data, or has a support in which it
            cannot be moved.
    """
    settings = Settings(steps, chains, leapfrog, start, spacing, seed)
    annealer = Annealer(model, guide, batch, settings, memory, compile)
    found = annealer.run(annealer.lower, kept, progress)
    return Annealed(**found, settings=settings)
