r"""How the latent variables are used, in one call."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pyro
import torch
from torch import Tensor

from ...modules import evaluating, home_of, preserving
from ...weights import Program, plate_depth
from ..rows import Rows
from ..two_sample import TwoSample
from .clusters import k_means
from .dci import dci
from .draws import draw
from .factor_vae import factor_vae_metric
from .information import surgery
from .known import as_factors, as_labels
from .mig import mig
from .pairs import mixture
from .prior import prior_codes, prior_is_given, standardized
from .probe import Probe, linear_probe
from .result import LatentUse
from .sap import sap
from .site import SiteUse, compared, site_use, spaced

__all__ = ["latent_use"]


def latent_use(
    model: Program,
    guide: Program,
    batch: Mapping[str, Tensor] | Tensor,
    *,
    labels: Tensor | np.ndarray | None = None,
    factors: Tensor | np.ndarray | None = None,
    draws: int = 4,
    seed: int = 0,
    memory: int = 2**29,
    vectorized: bool = True,
    progress: Callable[[int], None] | None = None,
) -> LatentUse:
    r"""Tells which latent variables are used, what they hold, and whether their law is the prior.

    The density of each of :math:`S n` draws is asked for under the posterior of each of :math:`n`
    data, for guides of any structure: time grows with :math:`S n^2`. Where the prior differs
    between data, as it does given labels, the rate is that against each datum's own, and bounds
    the information of the codes no longer; the marginal divergence is not told then.

    Draws come in blocks of fixed size, each from a seed of its own, so the result depends on
    ``seed`` but not on the memory, but for rounding. The programs are run in evaluation mode; no
    parameter, buffer, flag or random state changes.

    Example:
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import Linear
        >>> model = Linear(features=5, latent=2)
        >>> x = model(n=100).detach()
        >>> use = latent_use(model, Amortized(model.posterior), x)
        >>> use.sites["z"].active, len(use.rate)
        (tensor([True, True]), 100)

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`.
        batch: The data: the observed sites by name, or the one tensor of data.
        labels: The class of each datum, an integer, with shape ``(n,)``.
        factors: The level of each factor behind each datum, an integer, with shape ``(n, F)``.
        draws: The number :math:`S` of draws for each datum.
        seed: The seed of all draws.
        memory: The number of bytes that the densities of pairs may take.
        vectorized: Whether draws are made at once; programs that reshape them need False.
        progress: Called with the number of data of each block that is done.

    Raises:
        ValueError: As :func:`~ppl_vae.weights.log_weights`; if there are fewer than two data or
            draws, a site is masked or lies outside of the plate of the data, or the density of a
            draw changes from run to run; or as the metrics of labels and factors.
    """
    rows = Rows(batch, home_of(model, guide))
    _check(len(rows), draws, labels, factors)

    with evaluating(model, guide), preserving(model, guide):
        depth = plate_depth(model, guide, rows[:2])
        with pyro.validation_enabled(True):
            drawn = draw(model, guide, rows, draws, seed, vectorized=vectorized, depth=depth)
        with pyro.validation_enabled(False):
            pair = mixture(
                guide,
                rows,
                drawn,
                seed,
                depth=depth,
                memory=memory,
                vectorized=vectorized,
                progress=progress,
            )
            priors = prior_codes(model, rows, drawn, seed)

        given = prior_is_given(model, rows, drawn, depth)

    sites = {name: site_use(drawn, name, *priors[name], seed) for name in drawn.values}
    z = torch.cat([site.mean for site in sites.values()], 1)
    return LatentUse(
        sites=sites,
        rate=torch.stack([site.kl for site in sites.values()]).sum(0),
        distortion=-drawn.likelihood.mean(0),
        information=surgery(*pair, drawn.prior),
        test=_together(sites, {name: scale for name, (_, scale) in priors.items()}, seed),
        draws=draws,
        given=given,
        probe=None if labels is None else _probe(z, labels, seed),
        clusters=None if labels is None else k_means(z, labels, seed=seed),
        disentanglement=None if factors is None else _disentanglement(z, factors, seed),
    )


def _check(
    n: int, draws: int, labels: Tensor | np.ndarray | None, factors: Tensor | np.ndarray | None
) -> None:
    if n < 2:
        raise ValueError(f"The use of codes shows in two data or more, got {n}.")
    if draws < 2:
        raise ValueError(f"The use of codes takes two draws or more for each datum, got {draws}.")
    # Before the draws, which take longer.
    if labels is not None:
        as_labels(labels, n)
    if factors is not None:
        as_factors(np.zeros((n, 1)), factors)


def _probe(z: Tensor, labels: Tensor | np.ndarray, seed: int) -> Probe | None:
    # A label that no two data share cannot be learned from one of them.
    levels = np.unique(torch.as_tensor(labels).cpu().numpy())
    return linear_probe(z, labels, seed=seed) if len(levels) < len(labels) else None


def _together(sites: Mapping[str, SiteUse], scales: Mapping[str, Tensor], seed: int) -> TwoSample:
    if len(sites) == 1:
        return next(iter(sites.values())).test

    q, p = (
        standardized({name: spaced(getattr(site, law)) for name, site in sites.items()}, scales)
        for law in ("posterior", "prior")
    )
    return compared(q, p, seed)


def _disentanglement(z: Tensor, factors: Tensor | np.ndarray, seed: int) -> dict[str, float]:
    # A code that is the same for all data tells no factor.
    varied = z[:, z.std(0) > 0]
    if varied.shape[1] == 0:
        return {}

    return {
        "mig": mig(varied, factors),
        "sap": sap(varied, factors, seed=seed),
        "factor_vae": factor_vae_metric(varied, factors, seed=seed),
        **dci(varied, factors, seed=seed),
    }
