r"""The variational auto-encoder."""

from __future__ import annotations

import math

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

    Data that are counted over a time, in a volume or among a total come with that, their exposure
    :math:`e_i`, of which the likelihood is a function too: :math:`p(x_i \mid z_i, e_i)`.

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
        exposure: The exposure of data that come without one, such as draws. Observed data whose
            likelihood is given their total (Multinomial) have that instead.

    Raises:
        ValueError: If prior and likelihood disagree on the shape of :math:`z`, or the exposure is
            not positive and finite; upon a call, if there is one and the likelihood takes none.
    """

    def __init__(
        self, prior: Prior, likelihood: Conditional, exposure: float | None = None
    ) -> None:
        super().__init__()

        if prior.event_shape != likelihood.in_shape:
            raise ValueError(
                f"The prior draws z of shape {tuple(prior.event_shape)}, but the likelihood takes "
                f"{tuple(likelihood.in_shape)}; give both the same shape."
            )

        if exposure is not None and not 0 < exposure < math.inf:
            raise ValueError(f"The exposure of VAE must be positive and finite, got {exposure}.")

        self.prior = prior
        self.likelihood = likelihood
        self.exposure = exposure

    def forward(
        self, x: Tensor | None = None, exposure: Tensor | None = None, *, n: int = 1
    ) -> Tensor:
        r"""
        Arguments:
            x: The observed data, with shape ``(n, *x_shape)``; drawn if None.
            exposure: The exposures of the data, with shape ``(n,)``, if they have any.
            n: The number of data to draw, if there are none.

        Returns:
            The data, with shape ``(n, *x_shape)``.
        """
        self.register()

        n = next((len(t) for t in (x, exposure) if t is not None), n)

        with pyro.plate("data", n, dim=-1):
            z = pyro.sample("z", self.prior())
            given = self.likelihood.given(x, exposure, self.exposure)
            return pyro.sample("x", self.likelihood(z, **given), obs=x)

    def exposure_of(self, x: Tensor) -> Tensor | None:
        r"""What data tell of their exposure; see :meth:`~ppl_vae.families.Family.exposure_of`."""
        return self.likelihood.family.exposure_of(x)
