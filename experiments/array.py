r"""How well does a variational auto-encoder model a data set of one's own?

By default columns are standardized and the likelihood is normal with one learned scale, so rows of
real numbers work as they are; the change of volume is added back to the evidence. Counts, and other
data with a likelihood of their own, take --scaling none. Missing entries (NaN, empty cells) take
--likelihood Masked, of any family.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from ppl_vae.conditional import Conditional
from ppl_vae.data import Data, array
from ppl_vae.data.stored import recall
from ppl_vae.experiment import Experiment
from ppl_vae.families import Family, Normal, Product
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
        scaling: standardize, unit, or none: counts, and others whose likelihood is not over all
            real numbers, stay as they are.
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
    _check_support(data, family)
    q = Conditional(
        data.event_shape,
        posterior((latent,)),
        encoder,
        in_scale=_range(data),
        missing=data.missing,
    )
    p = Conditional((latent,), family, decoder, mean=_start(data))
    z = prior((latent,)).attach(q, data.examples())
    p.in_scale = z.draw_scale
    model = VAE(z, p, exposure=data.exposure)
    return Experiment(data=data, model=model, guide=guide(q).attach(model), objective=objective)


def _column(name: str | None) -> str | int | None:
    return int(name) if name is not None and name.lstrip("-").isdigit() else name


def _range(data: Data) -> float:
    # Standardized data are in a network's range already; counts and pixels are brought to it.
    return 1.0 if data.scaling is not None else max(data.maximum, 1.0)


def _start(data: Data) -> torch.Tensor:
    # The likelihood starts at the mean of the data, with an exposure at their rate.
    return data.mean / (data.exposure or 1.0)


def _check_support(data: Data, family: Family) -> None:
    # A run that is loaded may be without rows.
    if recall() is not None:
        return

    rows = data.examples(complete=False)

    try:
        with torch.no_grad():
            given = {} if data.exposure is None else {"exposure": torch.ones(())}
            support: Any = family(torch.zeros(family.param_shape), **given).support
        if support.check(rows).all():
            return
    except (TypeError, ValueError):
        return  # whether its exposure is right, the family says when it is asked for a law

    name = type(family).__name__

    if _gaps(family, support, rows):
        raise ValueError(
            f"The rows of {data.name} have missing entries (NaN), which {name} does not take: give "
            f"--likelihood Masked --likelihood.family {name}, or remove or fill them."
        )
    if data.scaling is not None or isinstance(family, Product):
        raise ValueError(_outside(data, family, support, rows))


def _gaps(family: Family, support: Any, rows: torch.Tensor) -> bool:
    if isinstance(family, Product):  # some columns alone may be masked
        parts = zip(rows.unbind(1), support.parts, strict=True)
        return any(bool((y.isnan() & ~part.check(y)).any()) for y, part in parts)

    return bool(rows.isnan().any()) and not support.check(torch.full_like(rows, torch.nan)).all()


def _outside(data: Data, family: Family, support: Any, rows: torch.Tensor) -> str:
    where, cure = f"the support of {type(family).__name__}", "take a likelihood with that support"

    if isinstance(family, Product):
        bad = [i for i, part in enumerate(support.parts) if not part.check(rows[:, i]).all()]
        told = ", ".join(f"{i} ({type(family.columns[i]).__name__})" for i in bad)
        where += f" in column{'s' * (len(bad) > 1)} {told}, counted from 0"
        cure = "take families with the supports of their columns"
    if data.scaling is None:
        return f"The data of {data.name} lie outside of {where}; {cure}."

    raw = data.scaling.inv(rows.double())
    whole = raw.round()  # scaling in float32 and back leaves integers beside themselves
    if support.check(torch.where((raw - whole).abs() < 1e-4, whole, raw)).all():
        cure = "give --scaling none, since as they are they lie in it"
    else:
        cure = f"{cure}, or give --scaling none, which leaves data as they are"

    return (
        f"The data of {data.name}, which --scaling changes (by default each column to mean 0 and "
        f"variance 1), then lie outside of {where}; {cure}."
    )
