r"""The variational auto-encoder with several layers of latent variables."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pyro
from torch import Tensor, nn

from ppl_vae.conditional import Conditional
from ppl_vae.priors.base import Prior
from ppl_vae.program import Program

__all__ = ["Hierarchical"]


class Hierarchical(Program):
    r"""A chain of latent variables per datum, from the top layer :math:`L` down to the data.

    .. math::
        z_L & \sim p(z_L) \\
        z_l & \sim p(z_l \mid z_{l + 1}) \quad l = L - 1, \dots, 1 \\
        x & \sim p(x \mid z_1)

    The sites are named ``z1`` (next to the data) to ``zL`` (the top).

    Example:
        >>> from ppl_vae.families import Bernoulli, Normal
        >>> from ppl_vae.networks import mlp
        >>> from ppl_vae.priors import StandardNormal
        >>> model = Hierarchical(
        ...     StandardNormal((4,)),
        ...     [Conditional((4,), Normal((8,)), mlp())],
        ...     Conditional((8,), Bernoulli((28, 28)), mlp()),
        ... )
        >>> model(n=5).shape
        torch.Size([5, 28, 28])

    References:
        | Stochastic Backpropagation and Approximate Inference in Deep Generative Models
        | (Rezende et al., 2014)
        | https://arxiv.org/abs/1401.4082

    Arguments:
        prior: The prior :math:`p(z_L)` of the top layer.
        layers: The conditionals :math:`p(z_l \mid z_{l + 1})`, from the top down; none makes it
            a VAE.
        likelihood: The likelihood :math:`p(x \mid z_1)`.
        exposure: The exposure of data that come without one; see :class:`~ppl_vae.models.VAE`.

    Raises:
        ValueError: If a layer does not take the shape that the layer above it draws, or the
            exposure is not positive and finite.
    """

    def __init__(
        self,
        prior: Prior,
        layers: Sequence[Conditional],
        likelihood: Conditional,
        exposure: float | None = None,
    ) -> None:
        super().__init__()

        if exposure is not None and not 0 < exposure < math.inf:
            raise ValueError(
                f"The exposure of Hierarchical must be positive and finite, got {exposure}."
            )

        self.exposure = exposure
        self.prior = prior
        self.layers = nn.ModuleList(layers)
        self.likelihood = likelihood

        drawn = [prior.event_shape, *(layer.family.event_shape for layer in layers)]
        taken = [layer.in_shape for layer in [*layers, likelihood]]

        for level, (a, b) in enumerate(zip(drawn, taken, strict=True)):
            if a != b:
                raise ValueError(
                    f"Latent z{len(drawn) - level} is drawn with shape {tuple(a)}, but the layer "
                    f"below takes {tuple(b)}; give both the same shape."
                )

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
        L = len(self.layers) + 1

        n = next((len(t) for t in (x, exposure) if t is not None), n)

        with pyro.plate("data", n, dim=-1):
            z = pyro.sample(f"z{L}", self.prior())

            for level, layer in zip(range(L - 1, 0, -1), self.layers, strict=True):
                z = pyro.sample(f"z{level}", layer(z))

            given = self.likelihood.given(x, exposure, self.exposure)
            return pyro.sample("x", self.likelihood(z, **given), obs=x)

    def exposure_of(self, x: Tensor) -> Tensor | None:
        r"""What data tell of their exposure; see :meth:`~ppl_vae.families.Family.exposure_of`."""
        return self.likelihood.family.exposure_of(x)
