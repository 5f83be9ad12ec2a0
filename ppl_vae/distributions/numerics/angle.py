r"""Integrals over the angle from a direction, on the sphere."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .quadrature import legendre

__all__ = ["Grid", "widest"]


class Grid:
    r"""Angles :math:`u_k` between two, and the weights of their rule of quadrature.

    There are :math:`64 + 8 \sqrt d` of them: twice as many as single and double precision need
    for densities :math:`\sin(u)^{d-2} \exp(\kappa \, T(u))` up to the angle :func:`widest`.

    Example:
        >>> grid = Grid(torch.tensor(0.0), torch.tensor(math.pi), d=3)
        >>> round(float((grid.log_weight + grid.log_sin).exp().sum()), 5)
        2.0

    Arguments:
        start: The smaller angle, with shape ``(*)``.
        stop: The larger angle, with shape ``(*)``.
        d: The number of elements of a vector on the sphere.
    """

    def __init__(self, start: Tensor, stop: Tensor, d: int) -> None:
        tiny = torch.finfo(stop.dtype).tiny
        x, w = legendre(64 + 8 * math.ceil(math.sqrt(d)), stop.dtype, stop.device)
        length = (stop - start).unsqueeze(-1)
        u = start.unsqueeze(-1) + length * x
        self.log_weight = length.clamp(min=tiny).log() + w.log()
        r"""The logarithms of the weights, with shape ``(*, k)``."""
        self.log_sin = u.sin().clamp(min=tiny).log()
        r"""The values of :math:`\log \sin u_k`, with shape ``(*, k)``."""
        self.sin2 = (u / 2).sin().square()
        r"""The values of :math:`\sin^2 (u_k / 2)`, with shape ``(*, k)``."""
        self.cos2 = (u / 2).cos().square().clamp(min=tiny)
        r"""The values of :math:`\cos^2 (u_k / 2)`, with shape ``(*, k)``."""


def widest(concentration: Tensor, d: int) -> Tensor:
    r"""Returns an angle beyond which no more than a share of 1e-17 of the sphere's mass lies.

    .. math:: \min \Big( \pi, \frac{\pi}{2} \frac{\sqrt{d - 1} + 9}{\sqrt \kappa} \Big)

    It holds for the statistics :math:`\cos t - 1` and :math:`2 \log \cos (t/2)`, both of which
    stay below :math:`-2 t^2 / \pi^2`.

    Arguments:
        concentration: The concentration :math:`\kappa > 0`, with any shape.
        d: The number of elements of a vector on the sphere.
    """
    wide = math.pi / 2 * (math.sqrt(d - 1) + 9)
    return (wide / concentration.sqrt()).clamp(max=math.pi)
