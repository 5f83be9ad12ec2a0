r"""Mixtures of the members of a family."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor

from .base import Family
from .normal import Normal
from .wrapper import Builder, built, check_given

__all__ = ["Mixture"]


class Mixture(Family):
    r"""A mixture of whole draws of another family.

    .. math:: p_h(y) = \sum_{k=1}^K \pi_k \, p_{h_k}(y)

    where :math:`h` holds the :math:`K` logits of :math:`\pi` and then the parameters of each
    component in turn, in one flat dimension. All components are equal at :math:`h = 0`; where a
    network computes :math:`h`, its weights tell them apart, but a free :math:`h` has to start
    elsewhere (the prior :class:`ppl_vae.priors.GaussianMixture` does). Draws are not
    reparameterized.

    Example:
        >>> from ppl_vae.families import Bernoulli
        >>> family = Mixture((28, 28), Bernoulli, components=3)
        >>> family.param_shape
        torch.Size([2355])
        >>> family(torch.zeros(5, 2355)).event_shape
        torch.Size([28, 28])

    Arguments:
        event_shape: The shape of one draw.
        family: The family of the components, but for its shape.
        components: The number :math:`K` of components.

    Raises:
        ValueError: If there is no component.
    """

    def __init__(
        self, event_shape: Sequence[int], family: Builder = Normal, components: int = 10
    ) -> None:
        super().__init__(event_shape)

        if components < 1:
            raise ValueError(f"Mixture needs one component or more, got {components}.")

        self.family = built("Mixture", family, self.event_shape)
        self.components = components
        self.param_shape = torch.Size([components * (1 + self.family.param_shape.numel())])

    def forward(self, h: Tensor, **given: Any) -> dist.TorchDistribution:
        r"""
        Arguments:
            h: The unconstrained parameters, with shape ``(*, *param_shape)``.
            given: What else the family takes, such as an exposure, a number for each datum.
        """
        check_given(self.family, given)
        # The components share what is given.
        given = {name: value.unsqueeze(-1) for name, value in given.items()}
        K = self.components
        logits, rest = h.split([K, h.shape[-1] - K], dim=-1)
        parts = self.family(rest.unflatten(-1, (K, *self.family.param_shape)), **given)
        return dist.MixtureSameFamily(dist.Categorical(logits=logits), parts)

    def exposure_of(self, x: Tensor) -> Tensor | None:
        return self.family.exposure_of(x)

    def at_mean(self, mean: Tensor) -> Tensor:
        h = super().at_mean(mean)
        h[self.components :] = self.family.at_mean(mean).flatten().repeat(self.components)
        return h
