r"""The power spherical family."""

from __future__ import annotations

from torch import Tensor

from ..distributions.power_spherical import PowerSpherical as Distribution
from .spherical import Spherical

__all__ = ["PowerSpherical"]


class PowerSpherical(Spherical):
    r"""Unit vectors about a direction, cheaper than von Mises and Fisher's and much like them.

    .. math:: p_h(y) \propto (1 + \mu^\top y)^\kappa \quad \|y\| = 1

    The parameters are those of :class:`~ppl_vae.families.spherical.Spherical`; the distribution is
    :class:`ppl_vae.distributions.PowerSpherical`, whose normalizer is elementary and whose draws
    are never rejected.

    Example:
        >>> import torch
        >>> family = PowerSpherical((3,))
        >>> family.param_shape
        torch.Size([4])
        >>> family(torch.zeros(5, 4)).rsample().norm(dim=-1)
        tensor([1.0000, 1.0000, 1.0000, 1.0000, 1.0000])

    References:
        | The Power Spherical Distribution (De Cao & Aziz, 2020)
        | https://arxiv.org/abs/2006.04437

    Arguments:
        event_shape: The shape ``(d,)`` of one draw, where :math:`d \geq 2`.
        floor: The smallest concentration :math:`\kappa`.
        ceiling: The largest concentration :math:`\kappa`.

    Raises:
        ValueError: If a draw is not a vector of two elements or more, or the bounds are not
            ``0 < floor < 1 < ceiling``.
    """

    def of(self, loc: Tensor, concentration: Tensor) -> Distribution:
        return Distribution(loc, concentration)

    def concentration_of(self, length: Tensor) -> Tensor:
        return (self.event_shape[0] - 1) * length / (1 - length)
