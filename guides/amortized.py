r"""The amortized guide."""

from __future__ import annotations

from collections.abc import Callable

import pyro
from pyro.distributions import TorchDistribution
from torch import Tensor

from ppl_vae.program import Program

__all__ = ["Amortized"]


class Amortized(Program):
    r"""One posterior per datum, from a network that all data share.

    .. math:: z_i \sim q(z \mid x_i)

    Example:
        >>> import torch
        >>> from ppl_vae.conditional import Conditional
        >>> from ppl_vae.families import Normal
        >>> from ppl_vae.networks import mlp
        >>> guide = Amortized(Conditional((28, 28), Normal((8,)), mlp()))
        >>> guide(torch.zeros(5, 28, 28)).shape
        torch.Size([5, 8])

    References:
        | Auto-Encoding Variational Bayes (Kingma & Welling, 2014)
        | https://arxiv.org/abs/1312.6114

    Arguments:
        posterior: The posterior :math:`q(z \mid x)`: a conditional of any family, or any function
            from :math:`x` to a distribution.

    Raises:
        ValueError: If the posterior cannot be called.
    """

    def __init__(self, posterior: Callable[[Tensor], TorchDistribution]) -> None:
        super().__init__()

        if not callable(posterior):
            raise ValueError(
                "Amortized needs one conditional of the data, got "
                f"{type(posterior).__name__}; for several layers take Ladder or BottomUp."
            )

        self.posterior = posterior

    def forward(self, x: Tensor, exposure: Tensor | None = None) -> Tensor:
        r"""
        Arguments:
            x: The data, with shape ``(n, *x_shape)``.
            exposure: The exposures of the data, which only the model needs.

        Returns:
            Draws of :math:`z`, with shape ``(n, *z_shape)``.
        """
        self.register()

        with pyro.plate("data", len(x), dim=-1):
            return pyro.sample("z", self.posterior(x))
