r"""What families of directions have in common."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor

from .base import Family, check_vector
from .scale import bounded, check_bounds, unbounded

__all__ = ["Spherical"]


class Spherical(Family):
    r"""A family of unit vectors, symmetric about a direction :math:`\mu`.

    .. math::
        \mu & = \frac{v + e_1}{\|v + e_1\|} \\
        \kappa & = \frac{1}{s^2} \qquad s = \operatorname{bounded}(c - \rho)

    where :math:`h = (v, \rho)` holds :math:`d + 1` parameters. Far from uniform, :math:`s` is the
    standard deviation along the sphere, and falls by a factor with each unit of :math:`\rho`, as
    that of a normal law does: a network that had to say :math:`\kappa` itself, up to thousands,
    learns slowly. The constant :math:`c` is such that :math:`\kappa = d` at :math:`\rho = 0`,
    where the mean is about a half long in any dimension, but no more than half of the ceiling: at
    one :math:`\kappa` for all, codes would tell the less at first the more dimensions they have.
    Parameters near zero give a law about :math:`e_1`, far from :math:`-e_1`, where draws turn fast
    with :math:`\mu`, and far from :math:`v = -e_1`, which has no direction.

    To write a new one, subclass it, build the distribution in :meth:`of`, and tell the
    concentration of a mean in :meth:`concentration_of`.

    Arguments:
        event_shape: The shape ``(d,)`` of one draw, where :math:`d \geq 2`.
        floor: The smallest concentration :math:`\kappa`.
        ceiling: The largest concentration :math:`\kappa`.

    Raises:
        ValueError: If a draw is not a vector of two elements or more, or the bounds are not
            ``0 < floor < 1 < ceiling``.
    """

    def __init__(
        self, event_shape: Sequence[int], floor: float = 1e-4, ceiling: float = 1e4
    ) -> None:
        super().__init__(event_shape)
        self.param_shape = torch.Size([check_vector(self, least=2) + 1])
        self.floor = floor
        self.ceiling = ceiling
        check_bounds(floor, ceiling)
        self._spread = ceiling**-0.5, floor**-0.5  # the bounds of s
        # Well within the bounds: near them gradients fade.
        low, high = 2 * floor, ceiling / 2
        kappa = min(max(self.event_shape[0], low), high) if low < high else (floor * ceiling) ** 0.5
        spread = torch.tensor(kappa**-0.5, dtype=torch.float64)
        self._start = float(unbounded(spread, *self._spread))

    @abstractmethod
    def of(self, loc: Tensor, concentration: Tensor) -> TorchDistribution:
        r"""Returns the distribution about a direction."""

    @abstractmethod
    def concentration_of(self, length: Tensor) -> Tensor:
        r"""Returns the concentration at which the mean has a length, in :math:`[0, 1)`."""

    def forward(self, h: Tensor) -> TorchDistribution:
        v, rho = h[..., :-1], h[..., -1]
        first = _first(v)
        u = v + first
        length = torch.linalg.vector_norm(u, dim=-1, keepdim=True)
        known = length > torch.finfo(length.dtype).tiny
        loc = torch.where(known, u / torch.where(known, length, 1.0), first)
        return self.of(loc, bounded(self._start - rho, *self._spread).square().reciprocal())

    def at_mean(self, mean: Tensor) -> Tensor:
        h = super().at_mean(mean)
        first = _first(mean)
        length = torch.linalg.vector_norm(mean)
        loc = torch.where(length > 0, mean / length.clamp(min=1e-30), first)
        kappa = self.concentration_of(length.clamp(max=1 - 1e-7))
        h[:-1] = loc - first
        h[-1] = self._start - unbounded(kappa.rsqrt(), *self._spread)
        return h


def _first(v: Tensor) -> Tensor:
    # The vector e_1, by arithmetic on the device of v.
    return (torch.arange(v.shape[-1], device=v.device) == 0).to(v.dtype)
