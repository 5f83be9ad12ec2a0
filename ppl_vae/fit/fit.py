r"""Training over epochs, in one call."""

from __future__ import annotations

from typing import Any

from ..svi import SVI
from .row import Row
from .training import Training

__all__ = ["fit"]


def fit(svi: SVI, data: Any, epochs: int, **options: Any) -> list[Row]:
    r"""Trains over epochs of a data set.

    Example:
        >>> from functools import partial
        >>> import torch
        >>> from ppl_vae.data import digits
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.conditional import Conditional
        >>> from ppl_vae.families import Binomial, Normal
        >>> from ppl_vae.models import VAE
        >>> from ppl_vae.networks import mlp
        >>> from ppl_vae.priors import StandardNormal
        >>> data = digits()
        >>> model = VAE(
        ...     StandardNormal((4,)), Conditional((4,), Binomial(data.event_shape, 16), mlp([32]))
        ... )
        >>> guide = Amortized(Conditional(data.event_shape, Normal((4,)), mlp([32]), in_scale=16))
        >>> svi = SVI(model, guide, partial(torch.optim.Adam, lr=1e-3))
        >>> history = fit(svi, data, epochs=2, progress=False)
        >>> sorted(history[-1])[:3]
        ['epoch', 'kl_weight', 'lr']

    Arguments:
        svi: The programs, the objective and the optimizer.
        data: The data set, a :class:`ppl_vae.data.Data`.
        epochs: The number of epochs.
        options: The other arguments of :class:`Training`.

    Returns:
        One row per epoch: loss, true ELBO, reconstruction and KL for training and validation, in
        nats per datum.

    Raises:
        ValueError: See :class:`Training`.
    """
    training = Training(svi, data, epochs, **options)
    training.run()
    return training.history
