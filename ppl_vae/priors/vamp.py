r"""The variational mixture of posteriors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from ..distributions import is_implicit
from ..families.temperature import held
from .base import Prior
from .rows import check_posterior, pick_rows

__all__ = ["Vamp"]


class Vamp(Prior):
    r"""The variational mixture of posteriors, or VampPrior.

    .. math:: p(z) = \frac{1}{C} \sum_{k=1}^C q(z \mid u_k)

    where :math:`q(z \mid x)` is the posterior of the guide and the pseudo-inputs :math:`u_k` are
    learned. They live in the range of the data and start at rows of the training set.

    Example:
        >>> import torch
        >>> from ppl_vae.conditional import Conditional
        >>> from ppl_vae.families import Normal
        >>> from ppl_vae.networks import mlp
        >>> posterior = Conditional((64,), Normal((8,)), mlp())
        >>> prior = Vamp((8,), components=3).attach(posterior, torch.rand(100, 64))
        >>> prior().event_shape
        torch.Size([8])

    References:
        | VAE with a VampPrior (Tomczak & Welling, 2018)
        | https://arxiv.org/abs/1705.07120

    Arguments:
        event_shape: The shape of one draw.
        components: The number :math:`C` of pseudo-inputs.

    Raises:
        ValueError: If there is no component, if the posterior or the rows do not fit (another
            shape, parameters per datum, BatchNorm, missing entries), if the posterior has no
            density, or if the prior is used before :meth:`attach` gave it the posterior.
    """

    low: Tensor
    high: Tensor

    def __init__(self, event_shape: Sequence[int], components: int = 500) -> None:
        super().__init__(event_shape)

        if components < 1:
            raise ValueError(f"Vamp needs one component or more, got {components}.")

        self.components = components
        self.posterior: Any = None

    def attach(self, posterior: Any = None, data: Tensor | None = None) -> Prior:
        data = check_posterior(self, posterior, data)
        _check_density(posterior)
        inputs = pick_rows("Vamp", data, self.components)
        self.posterior = posterior
        self.inputs = nn.Parameter(inputs)
        self.register_buffer("low", data.min().to(inputs.dtype))
        self.register_buffer("high", data.max().to(inputs.dtype))
        return self

    def forward(self) -> dist.TorchDistribution:
        if self.posterior is None:
            raise ValueError("Vamp has no posterior yet; call prior.attach(posterior, data) first.")

        # The gradient passes the bounds, on which pseudo-inputs of binary data start: a clamp
        # alone would leave them there.
        inputs = self.inputs + (self.inputs.clamp(self.low, self.high) - self.inputs).detach()
        logits = inputs.new_zeros(self.components)
        # The guide asks the posterior too: a temperature falls once a step.
        with held(self.posterior):
            parts = self.posterior(inputs)
        return dist.MixtureSameFamily(dist.Categorical(logits=logits), parts)


def _check_density(posterior: Any) -> None:
    family = posterior.family

    with torch.no_grad(), held(posterior):
        law = family(torch.zeros(1, *family.param_shape))
    if is_implicit(law):
        raise ValueError(
            f"Vamp mixes densities of the posterior, and {type(family).__name__} has none; take a "
            "posterior that has one, such as Normal, or a prior that needs none, such as "
            "GaussianMixture."
        )
