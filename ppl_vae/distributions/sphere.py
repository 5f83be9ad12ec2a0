r"""The unit sphere :math:`S^{d-1} = \{ y \in \mathbb{R}^d : \|y\| = 1 \}`."""

from __future__ import annotations

import math

import torch
from pyro.distributions import constraints
from pyro.distributions.transforms import Normalize
from torch import Tensor
from torch.distributions.constraint_registry import transform_to

__all__ = ["Sphere", "log_area", "sphere"]


class Sphere(type(constraints.sphere)):  # type: ignore[misc]
    r"""Vectors of unit length, up to rounding.

    Pyro's own constraint asks for ten units in the last place, which directions that were stored
    in single precision and are read in double miss.

    Example:
        >>> import torch
        >>> sphere.check(torch.tensor([[0.6, 0.8], [0.6, 0.9]]))
        tensor([ True, False])
    """

    def check(self, value: Tensor) -> Tensor:
        error = (torch.linalg.vector_norm(value, dim=-1) - 1).abs()
        return error < max(1e-4, 8 * torch.finfo(value.dtype).eps)


sphere = Sphere()


@transform_to.register(Sphere)
def _to_sphere(constraint: Sphere) -> Normalize:
    return Normalize()


def log_area(d: int) -> float:
    r"""Returns the logarithm of the area of the sphere of unit vectors of :math:`d` elements.

    .. math:: |S^{d-1}| = \frac{2 \pi^{d/2}}{\Gamma(d/2)}

    Example:
        >>> round(math.exp(log_area(3)) / math.pi, 6)
        4.0
    """
    return math.log(2) + d / 2 * math.log(math.pi) - math.lgamma(d / 2)
