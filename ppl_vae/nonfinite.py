r"""Where a loss stops being finite."""

from __future__ import annotations

from collections.abc import Mapping

import pyro
import torch
from torch import Tensor

from .weights import Batch, Program, densities

__all__ = ["NonFiniteError", "explain"]

CURE = "Lower the learning rate, clip the gradient, or raise the floor of the scales."


class NonFiniteError(ValueError):
    r"""The loss is NaN or infinite; the message names the step, the site and the term."""


@torch.no_grad()
def explain(model: Program, guide: Program, batch: Batch, parameters: Mapping[str, Tensor]) -> str:
    r"""Tells, in one sentence, which parameter, site and term is not finite.

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`.
        batch: The batch at which the loss was not finite.
        parameters: The parameters of both programs by name.
    """
    for name, parameter in parameters.items():
        if not parameter.isfinite().all():
            return f"parameter {name!r} is not, since the gradient of a step before was not. {CURE}"

    try:
        with pyro.validation_enabled(False):
            found = [
                (term, site, values)
                for term, site, values in densities(model, guide, batch)
                if not values.isfinite().all()
            ]
    except Exception as error:
        return f"the programs fail, with {error}. {CURE}"

    if not found:
        return f"no single term is at fault; their sum overflows. {CURE}"

    term, site, values = found[0]
    rows = (~values.isfinite()).reshape(-1).sum().item()
    return f"{term} of site {site!r} is not, for {rows} of its {values.numel()} values. {CURE}"
