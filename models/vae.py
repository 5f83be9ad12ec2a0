r"""The variational auto-encoder."""

from __future__ import annotations

import pyro
from torch import Tensor

from ppl_vae.conditional import Conditional
from ppl_vae.priors.base import Prior
from ppl_vae.program import Program

__all__ = ["VAE"]


class VAE(Program):
    r"""One latent variable per datum.

    .. math::
        z_i & \sim p(z) \\
        x_i & \sim p(x \mid z_i)

    Example:
        >>> from ppl_vae.families import Bernoulli
        >>> from ppl_vae.networks import mlp
        >>> from ppl_vae.priors import StandardNormal
        >>> model = VAE(StandardNormal((8,)), Conditional((8,), Bernoulli((28, 28)), mlp()))
        >>> model(n=5).shape
        torch.Size([5, 28, 28])

    References:
        | Auto-Encoding Variational Bayes (Kingma & Welling, 2014)
        | https://arxiv.org/abs/1312.6114

    Arguments:
        prior: The prior :math:`p(z)`.
        likelihood: The likelihood :math:`p(x \mid z)`.

    Raises:
        ValueError: If prior and likelihood disagree on the shape of :math:`z`.
    """

    def __init__(self, prior: Prior, likelihood: Conditional) -> None:
        super().__init__()

        if prior.event_shape != likelihood.in_shape:
            raise ValueError(
                f"The prior draws z of shape {tuple(prior.event_shape)}, but the likelihood takes "
                f"{tuple(likelihood.in_shape)}; give both the same shape."
            )

        self.prior = prior
        self.likelihood = likelihood

    def forward(self, x: Tensor | None = None, *, n: int = 1) -> Tensor:
        r"""
        Arguments:
            x: The observed data, with shape ``(n, *x_shape)``; drawn if None.
            n: The number of data to draw, if there are none.

        Returns:
            The data, with shape ``(n, *x_shape)``.
        """
        self.register()

        with pyro.plate("data", n if x is None else len(x), dim=-1):
            z = pyro.sample("z", self.prior())
            return pyro.sample("x", self.likelihood(z), obs=x)
