r"""Whether a model, a guide and an objective go together."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any, NamedTuple

import pyro
import torch
from torch import Tensor

from .modules import preserving
from .objectives import ELBO, as_objective
from .weights import Program, simulate

__all__ = ["Verdict", "judge", "sentence_of"]

DRAWS = 64
r"""The number of data that are looked at: draws outside of a support are rare in some pairs."""


class Verdict(NamedTuple):
    r"""Whether a combination is legal."""

    legal: bool
    r"""Whether it has a bound, and the objective can follow its gradient."""
    reason: str = ""
    r"""If not: why, and what to use instead."""


def judge(
    model: Program,
    guide: Program,
    objective: Any = None,
    batch: Mapping[str, Tensor] | None = None,
) -> Verdict:
    r"""Tells whether a prior, likelihood, posterior, guide and objective make a legal combination.

    The programs hold the first four. Nothing is looked up: the distributions that the programs
    draw from tell their supports, whether draws are reparameterized and which divergences are
    known, and each part refuses by itself what it excludes. So a part of a user's own, which
    declares nothing, is judged like any other.

    Example:
        >>> from ppl_vae.conditional import Conditional
        >>> from ppl_vae.families import Bernoulli, Categorical, Normal
        >>> from ppl_vae.guides import Amortized
        >>> from ppl_vae.models import VAE
        >>> from ppl_vae.networks import mlp
        >>> from ppl_vae.priors import StandardNormal
        >>> model = VAE(StandardNormal((2,)), Conditional((2,), Bernoulli((5,)), mlp([8])))
        >>> judge(model, Amortized(Conditional((5,), Normal((2,)), mlp([8])))).legal
        True
        >>> judge(model, Amortized(Conditional((5,), Categorical((2,)), mlp([8])))).reason[:49]
        "Site 'z' is continuous in the model, Normal, but "

    Arguments:
        model: The program :math:`p(x, z)`.
        guide: The program :math:`q(z \mid x)`.
        objective: The objective, of this library or of Pyro; the ELBO if None.
        batch: Data to judge by; draws of the model if None.

    Returns:
        The verdict; the reason of a refusal is one sentence.
    """
    objective = ELBO() if objective is None else as_objective(objective)

    try:
        with preserving(model, guide), torch.no_grad(), pyro.validation_enabled(True):
            if batch is None:
                # Observed sites are what a program takes by name.
                taken = signature(getattr(model, "forward", model)).parameters
                drawn = simulate(model, DRAWS)
                batch = {name: x for name, x in drawn.items() if name in taken}
            objective.check(model, guide, **batch)
            objective.estimate(model, guide, **batch)
    except ValueError as error:
        return Verdict(False, sentence_of(error))

    return Verdict(True)


def sentence_of(error: BaseException) -> str:
    r"""What an error says in one line, without the table of shapes that Pyro adds to it.

    Example:
        >>> sentence_of(ValueError("It is wrong;\n mend it.\nTrace Shapes:\n  z 3"))
        'It is wrong; mend it.'
    """
    return " ".join(str(error).partition("Trace Shapes:")[0].split())
