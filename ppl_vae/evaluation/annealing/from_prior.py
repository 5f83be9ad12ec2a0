r"""The prior of a model, as a guide."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pyro import poutine

from ...weights import Program

__all__ = ["FromPrior"]


class FromPrior:
    r"""A guide that draws what the model draws without its data.

    Chains from the prior need no other, so that a model can be evaluated whatever it was trained
    with: a guide without a density, or none.

    Example:
        >>> from ppl_vae.models import Linear
        >>> from ppl_vae.weights import log_weights
        >>> model = Linear(features=5, latent=2)
        >>> weights = log_weights(model, FromPrior(model), model(n=3).detach())
        >>> bool((weights.prior == weights.guide).all())
        True

    Arguments:
        model: The program :math:`p(x, z)`.
    """

    def __init__(self, model: Program) -> None:
        self.model = model
        # What the arguments are called is read off a signature.
        self.forward = getattr(model, "forward", model)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with poutine.block(hide_fn=_hidden):
            return self.model(*args, **kwargs)


def _hidden(site: Mapping[str, Any]) -> bool:
    # What is observed, and what the model sums out, is no latent variable of the chains.
    if site["type"] != "sample":
        return False
    return bool(site["is_observed"] or site["infer"].get("enumerate") == "parallel")
