r"""Bidirectional Monte Carlo."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from ...modules import evaluating, home_of, preserving
from ...weights import Program
from ...weights.traces import batch_size
from ..imitation import in_place, repeated
from ..importance import log_evidence
from ..seeds import SIMULATION, mix
from .annealer import Annealer, Kept, Told
from .chain import backward
from .path import Start
from .sandwich import Sandwich
from .schedule import Spacing
from .settings import Settings
from .sizes import StepSizes

__all__ = ["sandwich"]


def sandwich(
    model: Program,
    guide: Program | None,
    batch: Mapping[str, Tensor],
    n: int = 100,
    *,
    particles: int = 5000,
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
) -> Sandwich:
    r"""Bounds :math:`\log p(x)` from both sides, for data that are simulated from the model.

    A draw :math:`(z, x)` of the model is a draw of its posterior, from which the chains of
    annealed importance sampling can be run backwards,

    .. math:: \log \hat{p}(x) = - \log \frac{1}{C} \sum_{c=1}^C \frac{1}{w_c}

    which is at least :math:`\log p(x)` on average, as the chains forward are at most. Both take
    the same transitions. What lies between tells how good the estimators are for data such as
    the model believes in; importance weighting is put beside them, on the same data.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> x = model(n=10).detach()
        >>> found = sandwich(model, Amortized(model.posterior), {"x": x}, n=10, steps=50)
        >>> low, high = found.edges
        >>> low < high < low + 1
        True

    References:
        | Sandwiching the Marginal Likelihood Using Bidirectional Monte Carlo (Grosse et al., 2015)
        | https://arxiv.org/abs/1511.02543

        | Measuring the Reliability of MCMC Inference with Bidirectional Monte Carlo (Grosse et
        | al., 2016)
        | https://arxiv.org/abs/1606.02275

    Arguments:
        model: The program :math:`p(x, z)`, which takes the number of data as ``n``.
        guide: The program :math:`q(z \mid x)`. If None, chains start from the prior, and there
            is no importance weighting.
        batch: Real data by name, in whose place data are simulated: with their labels or
            exposures, if there are any, and their missing entries. Rows are used over again.
        n: The number of data to simulate.
        particles: The number of particles of importance weighting; zero leaves it out.
        steps: As for :func:`annealed_evidence`, and so are the arguments that follow.
        chains: The number of chains of each datum, forward and backward.
        leapfrog: The number of leapfrog steps of each transition.
        start: What chains start from: ``"prior"`` or ``"guide"``.
        spacing: How the powers are spaced.
        seed: The seed of the data and of all draws.
        memory: The number of bytes that intermediate results may take.
        compile: How gradients are run.
        kept: Finished blocks of data by number; those that are there are not run again.
        progress: Called with numbers of data that add up to all; steps taken count as parts.

    Raises:
        ValueError: As :func:`annealed_evidence`, and if the model takes no ``n``.
    """
    settings = Settings(steps, chains, leapfrog, start, spacing, seed)
    simulated, latent = _simulated(model, guide, batch, n, seed)
    annealer = Annealer(model, guide, simulated, settings, memory, compile)

    def both(part: slice, rows: Any, sizes: StepSizes, told: Told) -> dict[str, Tensor]:
        below = annealer.lower(part, rows, sizes, told, share=0.5)
        path = annealer.path
        exact = path.coordinates(path.repeated(latent, part, chains))
        log_w = backward(
            path,
            rows,
            exact,
            annealer.betas,
            sizes,
            leapfrog,
            watch=lambda t: told(1 - t / (2 * steps)),
        )
        lower, accept = below["log_evidence"], below["acceptance"]
        upper = math.log(chains) - (-log_w).logsumexp(0)
        return {"lower": lower, "upper": upper.to(lower), "acceptance": accept}

    found = annealer.run(both, kept, progress)
    beside: dict[str, Any] = {"data": simulated, "settings": settings}
    if particles and guide is not None:
        e = log_evidence(model, guide, simulated, particles, seed=seed, memory=memory)
        # The squares of the weights, by their effective sample size.
        cubo = e.log_evidence + (particles / e.ess).log() / 2
        beside |= {"importance": e.log_evidence.cpu(), "cubo": cubo.cpu(), "particles": particles}

    return Sandwich(**{**found, **beside})


def _simulated(
    model: Program, guide: Program | None, batch: Mapping[str, Tensor], n: int, seed: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    # The data, and the latent variables behind them.
    given = {name: t for name, t in batch.items() if name != "index"}
    rows = batch_size(given)

    if not rows:
        raise ValueError("There are no data to simulate in the place of; the batch is empty.")
    if n < 1:
        raise ValueError(f"The number of data to simulate must be positive, got {n}.")

    home = home_of(model, guide)

    with evaluating(model), preserving(model):
        torch.manual_seed(mix(seed, 0, SIMULATION))
        simulated, latent = in_place(model, repeated(given, rows, 0, n, home), n)

    return simulated, latent
