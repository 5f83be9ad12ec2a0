r"""The uniform prior on the sphere."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..distributions.spherical_uniform import SphericalUniform as Distribution
from .base import Prior

__all__ = ["SphericalUniform"]


class SphericalUniform(Prior):
    r"""The prior of directions, all alike.

    .. math:: p(z) = \frac{\Gamma(d/2)}{2 \pi^{d/2}} \quad \|z\| = 1

    Elements of a draw have the size :math:`1 / \sqrt{d}`, which :attr:`draw_scale` tells: a decoder
    that takes them as they are learns slowly.

    Its posteriors are :class:`ppl_vae.families.VonMisesFisher` and
    :class:`ppl_vae.families.PowerSpherical`, whose divergences from it are known in closed form.

    Example:
        >>> SphericalUniform((8,))().event_shape
        torch.Size([8])
        >>> SphericalUniform((4,)).draw_scale
        0.5

    References:
        | Hyperspherical Variational Auto-Encoders (Davidson et al., 2018)
        | https://arxiv.org/abs/1804.00891

    Arguments:
        event_shape: The shape ``(d,)`` of one draw, where :math:`d \geq 2`.

    Raises:
        ValueError: If a draw is not a vector of two elements or more.
    """

    zero: Tensor

    def __init__(self, event_shape: Sequence[int]) -> None:
        super().__init__(event_shape)

        if len(self.event_shape) != 1:
            raise ValueError(
                f"SphericalUniform is over vectors, got event_shape {tuple(self.event_shape)}; "
                "give it one dimension, such as (8,)."
            )
        if self.event_shape[0] < 2:
            raise ValueError(
                "SphericalUniform needs 2 elements or more, got event_shape "
                f"{tuple(self.event_shape)}."
            )

        self.draw_scale = self.event_shape[0] ** -0.5
        # A buffer, so that draws follow the device and the dtype of the module.
        self.register_buffer("zero", torch.zeros(()), persistent=False)

    def forward(self) -> Distribution:
        return Distribution(self.event_shape[0], self.zero.dtype, self.zero.device)
