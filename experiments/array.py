r"""How well does a variational auto-encoder model a data set of one's own?

By default columns are standardized and the likelihood is normal with one learned scale, so rows of
real numbers work as they are; the change of volume is added back to the evidence. Missing entries
(NaN, empty cells) take --likelihood Masked, of any family.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ppl_vae.conditional import Conditional
from ppl_vae.data import Data, array
from ppl_vae.experiment import Experiment
from ppl_vae.families import Family, Normal
from ppl_vae.guides import Amortized
from ppl_vae.models import VAE
from ppl_vae.networks import Network, mlp
from ppl_vae.objectives import ELBO, Objective
from ppl_vae.priors import Prior, StandardNormal
from ppl_vae.program import Program


def experiment(
    file: str | None = None,
    train_file: str | None = None,
    validation_file: str | None = None,
    test_file: str | None = None,
    splits: tuple[float, float, float] = (0.8, 0.1, 0.1),
    split_seed: int = 0,
    labels: str | None = None,
    key: str | None = None,
    event_shape: list[int] | None = None,
    scaling: str = "standardize",
    binarization: str = "none",
    exposure: str | None = None,
    latent: int = 8,
    prior: Callable[[Sequence[int]], Prior] = StandardNormal,
    likelihood: Callable[[Sequence[int]], Family] = lambda shape: Normal(shape, scale="shared"),
    posterior: Callable[[Sequence[int]], Family] = Normal,
    guide: Callable[[Conditional], Program] = Amortized,
    encoder: Network = mlp(),
    decoder: Network = mlp(),
    objective: Objective = ELBO(),
) -> Experiment:
    r"""A file of one's own: .npy, .npz, .mat, .csv, .txt, .amat, or a folder of images.

    Arguments:
        file: The file or folder, whose rows are split.
        train_file: The file of training rows, instead.
        validation_file: The file of validation rows.
        test_file: The file of test rows.
        splits: The fractions of train, validation and test.
        split_seed: The seed of the split.
        labels: The column of labels, by name or number.
        key: The array in a .npz or .mat file.
        event_shape: The shape of one datum, such as [1,28,28].
        scaling: none, standardize or unit.
        binarization: none, threshold, static or dynamic.
        exposure: For counts, with --scaling none: total, the sum of each row, or the column that
            holds it, by name or number; the likelihood is then Poisson, NegativeBinomial or
            Multinomial.
        latent: The number of elements of z.
        prior: The prior p(z).
        likelihood: The family of p(x | z).
        posterior: The family of q(z | x).
        guide: The structure of the guide.
        encoder: The network from x to the posterior.
        decoder: The network from z to the likelihood.
        objective: The objective.
    """
    if file is None and train_file is None:
        raise ValueError("The experiment array needs a file: give --file, or --train_file.")

    data = array(
        file,
        labels=_column(labels),
        splits=splits,
        seed=split_seed,
        scaling="none" if binarization != "none" else scaling,
        binarization=binarization,
        event_shape=event_shape,
        key=key,
        train_file=train_file,
        validation_file=validation_file,
        test_file=test_file,
        exposure=_column(exposure),
        allow_nan=binarization == "none",
    )
    family = likelihood(data.event_shape)
    _check_missing(data, family)
    q = Conditional(
        data.event_shape,
        posterior((latent,)),
        encoder,
        in_scale=_range(data),
        missing=data.missing,
    )
    p = Conditional((latent,), family, decoder, mean=_start(data))
    model = VAE(prior((latent,)).attach(q, data.examples()), p, exposure=data.exposure)
    return Experiment(data=data, model=model, guide=guide(q).attach(model), objective=objective)


def _column(name: str | None) -> str | int | None:
    return int(name) if name is not None and name.lstrip("-").isdigit() else name


def _range(data: Data) -> float:
    # Standardized data are in a network's range already; counts and pixels are brought to it.
    return 1.0 if data.scaling is not None else max(data.maximum, 1.0)


def _start(data: Data) -> torch.Tensor:
    # The likelihood starts at the mean of the data, with an exposure at their rate.
    return data.mean / (data.exposure or 1.0)


def _check_missing(data: Data, family: Family) -> None:
    rows = data.examples(complete=False)
    rows = rows[rows.isnan().flatten(1).any(1)]

    if len(rows) == 0:
        return

    with torch.no_grad():
        given = {} if data.exposure is None else {"exposure": torch.ones(())}
        support: Any = family(torch.zeros(family.param_shape), **given).support

    # Some columns alone may be masked.
    if not support.check(rows).all() and not support.check(torch.full_like(rows, torch.nan)).all():
        name = type(family).__name__
        raise ValueError(
            f"The rows of {data.name} have missing entries (NaN), which {name} does not take: give "
            f"--likelihood Masked --likelihood.family {name}, or remove or fill them."
        )
