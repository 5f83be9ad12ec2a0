r"""The Poisson distribution, exact for large counts."""

from __future__ import annotations

import pyro.distributions as dist
from torch import Tensor

from .numerics.saddle import poisson_log_prob

__all__ = ["Poisson"]


class Poisson(dist.Poisson):
    r"""Pyro's distribution, with the density of :mod:`ppl_vae.distributions.numerics.saddle`.

    .. math:: p(y) = \frac{r^y}{y!} e^{-r}

    Example:
        >>> import torch
        >>> p = Poisson(torch.tensor([0.5, 1e5]))
        >>> p.log_prob(torch.tensor([0.0, 1e5]))
        tensor([-0.5000, -6.6754])

    Arguments:
        rate: The mean :math:`r`.
        validate_args: Whether arguments and values are checked.
    """

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)

        return poisson_log_prob(value.to(self.rate.dtype), self.rate)
