r"""Any prior of an exponential family, flattened or sharpened."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pyro.distributions as dist
from torch import Tensor

from .base import Prior
from .power import tempered
from .standard_normal import StandardNormal

__all__ = ["Tempered", "tempered"]


class Tempered(Prior):
    r"""A prior whose density is raised to a power, and normalized anew.

    .. math:: p_T(z) \propto p(z)^{1 / T}

    A temperature above one flattens the prior, one below sharpens it. It works on the priors whose
    distribution :func:`tempered` knows, such as ``StandardNormal``, ``LearnedNormal``,
    ``Laplace``, ``Categorical``, or ``FamilyPrior`` of ``Dirichlet``, and refuses mixtures and
    flows: their powers have no known integral.

    Example:
        >>> Tempered((8,), temperature=0.25)().variance[0]
        tensor(0.2500)

    Arguments:
        event_shape: The shape of one draw.
        prior: The prior :math:`p(z)` but for its shape.
        temperature: The temperature :math:`T`.

    Raises:
        ValueError: If the temperature is not positive and finite, or the power of the prior has no
            known closed form.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        prior: Callable[[Sequence[int]], Prior] = StandardNormal,
        temperature: float = 1.0,
    ) -> None:
        super().__init__(event_shape)

        if not 0 < temperature < math.inf:
            raise ValueError(
                f"The temperature of Tempered must be positive and finite, got {temperature}."
            )

        self.prior = prior(self.event_shape)
        self.temperature = temperature
        self._check(self.prior)

    def attach(self, posterior: Any = None, data: Tensor | None = None) -> Prior:
        self.prior.attach(posterior, data)
        return self

    def _check(self, prior: Prior) -> None:
        try:
            with dist.validation_enabled():
                p = prior()
        except ValueError:
            return  # it has no posterior yet
        try:
            with dist.validation_enabled():
                tempered(p, self.temperature)
        except ValueError as error:
            if "Expected parameter" not in str(error):
                raise
            raise ValueError(
                f"The density of {type(prior).__name__} to the power 1/{self.temperature:g} has no "
                "finite integral; take a temperature nearer to one."
            ) from error

    def forward(self) -> dist.TorchDistribution:
        return tempered(self.prior(), self.temperature)
