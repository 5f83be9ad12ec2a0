r"""What priors made of the posterior ask of it, and of the rows of data they start at."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from .base import Prior

__all__ = ["check_posterior", "pick_rows"]


def check_posterior(prior: Prior, posterior: Any, data: Tensor | None) -> Tensor:
    r"""Checks what is handed to :meth:`Prior.attach`, and returns the rows of data.

    Raises:
        ValueError: If posterior or data are missing, if they do not fit the prior or each other,
            if the parameters of the posterior are per datum, or if its network normalizes batches.
    """
    name = type(prior).__name__

    if posterior is None or data is None:
        raise ValueError(
            f"{name} needs the posterior and rows of data; give both by attach(posterior, data). "
            "The top layer of a guide of several layers has no density q(z | x) given the data "
            "alone: take another prior there, such as GaussianMixture."
        )

    if posterior.family.event_shape != prior.event_shape:
        raise ValueError(
            f"{name} is over {tuple(prior.event_shape)}, but the posterior is over "
            f"{tuple(posterior.family.event_shape)}; give both the same shape."
        )

    # A conditional with free parameters: `h` is a tensor there, and a method elsewhere.
    if torch.is_tensor(getattr(posterior, "h", None)):
        raise ValueError(
            f"{name} looks at the posterior of rows of its own, but the parameters of this "
            "posterior belong to given data; attach the conditional with the network instead."
        )

    if any(isinstance(module, _BatchNorm) for module in posterior.modules()):
        raise ValueError(
            f"{name} passes rows of its own through the encoder, where BatchNorm would normalize "
            "them together, apart from the data; take an encoder without BatchNorm."
        )

    if len(data) == 0 or data.shape[1:] != posterior.in_shape:
        raise ValueError(
            f"{name} needs one or more rows of data, rows of shape {tuple(posterior.in_shape)}, "
            f"got {tuple(data.shape)}."
        )

    return data


def pick_rows(name: str, data: Tensor, n: int) -> Tensor:
    r"""Copies ``n`` random rows, none of them twice before all came once.

    Raises:
        ValueError: If entries of the data are missing.
    """
    if data.is_floating_point() and bool(data.isnan().any()):
        raise ValueError(
            f"{name} starts at rows of data, but entries of these are missing (NaN); take another "
            "prior, or attach rows without missing entries."
        )

    rows = torch.randperm(len(data))[:n]
    rows = rows.repeat(-(-n // len(rows)))[:n]
    return data[rows].to(torch.get_default_dtype())  # a copy, as all that is indexed by a tensor
