r"""Draws of a run for ArviZ."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from .posterior import posterior_draws

if TYPE_CHECKING:
    from .run import Run

__all__ = ["to_arviz"]


def to_arviz(
    run: Run,
    split: str = "test",
    *,
    limit: int | None = None,
    draws: int = 500,
    particles: int = 1000,
    method: str = "resampled",
    seed: int = 0,
    **options: Any,
) -> Any:
    r"""Draws of a run as the installed ArviZ takes them: InferenceData, a DataTree from 1.0 on.

    All that is drawn has the dimensions ``chain`` (one: draws are independent), ``draw`` and
    ``datum``, labelled by the rows' index.

    ``log_likelihood`` is that of each datum given its own latent variable,
    :math:`\log p(x_i \mid z_i)`. What ``arviz.loo`` makes of it is **not** a score of
    :math:`p(x_i \mid z_i)`: without :math:`x_i` nothing is known of :math:`z_i`, so that leaving
    the datum out leads back to the prior. It estimates

    .. math:: - \log \mathbb{E}_{p(z \mid x_i)} \Big[ \frac{1}{p(x_i \mid z)} \Big]
        = \log \int p(x_i \mid z) \, p(z) \, dz = \log p(x_i)

    the evidence, at parameters that are *not* left out. Its estimator, the harmonic mean with a
    smoothed tail, takes draws of a narrow posterior for those of the wide prior: expect
    :math:`\hat{k} > 0.7`, and trust ``log_evidence`` in ``constant_data``, with its own ``khat``,
    instead. ``arviz.waic`` is no evidence at all here.

    Example:
        >>> import ppl_vae, arviz  # doctest: +SKIP
        >>> found = to_arviz(ppl_vae.load("runs/digits"), limit=50)  # doctest: +SKIP
        >>> arviz.summary(found, var_names=["z"])  # doctest: +SKIP

    References:
        | ArviZ: A Unified Library for Exploratory Analysis of Bayesian Models in Python
        | (Kumar et al., 2019)
        | https://doi.org/10.21105/joss.01143

        | Practical Bayesian Model Evaluation Using Leave-One-Out Cross-Validation and WAIC
        | (Vehtari et al., 2017)
        | https://arxiv.org/abs/1507.04544

    Arguments:
        run: The run, or anything with its ``model``, ``guide`` and ``batch``.
        split: The split of the data.
        limit: The number of data, chosen at random; None for all.
        draws: The number of draws for each datum.
        particles: The number of draws of the guide that they are chosen from.
        method: ``"resampled"`` for draws of the posterior, chosen among those of the guide by
            their importance weights; ``"guide"`` for draws of the guide as they are, whose
            ``log_weight`` in ``sample_stats`` is what ``arviz.psislw`` takes (that of
            ``arviz_stats`` takes its negative).
        seed: The seed of all that is drawn.
        options: Further options of :func:`~ppl_vae.posterior.posterior_draws`, which tells what
            the groups hold.

    Raises:
        ImportError: If ArviZ is not installed.
        ValueError: As :func:`~ppl_vae.posterior.posterior_draws`.
    """
    try:
        import arviz
    except ImportError as error:
        raise ImportError("ArviZ is not installed; install it: pip install arviz.") from error

    asked: dict[str, Any] = {
        "limit": limit,
        "draws": draws,
        "particles": particles,
        "method": method,
        "seed": seed,
    }
    groups: dict[str, Any] = {**posterior_draws(run, split, **asked, **options)}
    coords = {"datum": groups["constant_data"].pop("index")}
    # The same name has the same dimensions in all groups, but for those of draws.
    dims = {
        name: ["datum", *(f"{name}_dim_{i}" for i in range(value.ndim - before))]
        for group, values in groups.items()
        for before in (1 if group in ("observed_data", "constant_data") else 3,)
        for name, value in values.items()
        if group != "log_likelihood" or name not in groups["observed_data"]
    }

    # Before 1.0 each group was an argument.
    if "posterior" in inspect.signature(arviz.from_dict).parameters:
        result = arviz.from_dict(**groups, coords=coords, dims=dims)
    else:
        result = arviz.from_dict(groups, coords=coords, dims=dims)

    told = {"split": split, **asked, "inference_library": "ppl_vae"}
    result.attrs.update({name: value for name, value in told.items() if value is not None})
    return result
