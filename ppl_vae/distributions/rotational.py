r"""Distributions on the sphere that are symmetric about a direction.

A unit vector :math:`y` at the angle :math:`t` from the direction :math:`\mu` has the density

.. math:: p(y) = \frac{1}{Z(\kappa)} \exp \big( \kappa \, T(t) \big)
    \qquad \cos t = \mu^\top y

where the statistic :math:`T` falls from :math:`T(0) = 0`. The angle alone has the density
:math:`\sin(t)^{d-2} \exp(\kappa \, T(t))` up to a constant, and given the angle, all vectors are
alike. Angles go by :math:`\sin^2 (t/2)` and :math:`\cos^2 (t/2)`: half the distances of
:math:`\cos t` from one and from minus one, which near these ends keep what :math:`\cos t` rounds
away.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, TypeVar

import torch
import torch.nn.functional as F
from pyro.distributions import TorchDistribution, constraints
from torch import Tensor
from torch.distributions import register_kl

from .numerics.angle import Grid, widest
from .numerics.reflection import reflect
from .sphere import log_area, sphere
from .spherical_uniform import SphericalUniform

__all__ = ["Rotational"]

R = TypeVar("R", bound="Rotational")


class Rotational(TorchDistribution):
    r"""A distribution on the sphere, symmetric about a direction :math:`\mu`.

    Draws are reparameterized to first order: the derivative of the angle :math:`t` with respect to
    :math:`\kappa` is that which leaves its distribution function :math:`F` as it is,

    .. math:: \frac{\partial t}{\partial \kappa} = - \frac{\partial F / \partial \kappa}{f(t)}
        = - \int_0^t \big( T(u) - \mathbb{E}[T] \big) \frac{f(u)}{f(t)} \, du ,

    taken from the end of the sphere from which the integrand has one sign.

    To write a new one, subclass it, give the statistic :math:`T` as a function of
    :math:`\sin^2 (t/2)` and :math:`\cos^2 (t/2)`, the logarithm of :math:`Z`, the expectations of
    :math:`T`, :math:`\cos t` and :math:`\sin^2 t`, and draws of both squares.

    References:
        | Implicit Reparameterization Gradients (Figurnov et al., 2018)
        | https://arxiv.org/abs/1805.08498

    Arguments:
        loc: The direction :math:`\mu`, of unit length, with shape ``(*, d)``, where
            :math:`d \geq 2`.
        concentration: The concentration :math:`\kappa > 0`, with shape ``(*)``.
    """

    first_order = True
    r"""Draws have no second derivative: the first one is no function of the parameters."""

    arg_constraints: ClassVar[dict[str, Any]] = {
        "loc": sphere,
        "concentration": constraints.positive,
    }
    support = sphere
    has_rsample = True

    def __init__(
        self, loc: Tensor, concentration: Tensor, validate_args: bool | None = None
    ) -> None:
        if loc.ndim < 1 or loc.shape[-1] < 2:
            raise ValueError(
                f"{type(self).__name__} needs a direction of 2 elements or more, got the shape "
                f"{tuple(loc.shape)}."
            )

        batch_shape = torch.broadcast_shapes(loc.shape[:-1], concentration.shape)
        self.loc = loc.expand(batch_shape + loc.shape[-1:])
        self.concentration = concentration.expand(batch_shape)
        super().__init__(batch_shape, loc.shape[-1:], validate_args=validate_args)

    @abstractmethod
    def statistic(self, sin2: Tensor, cos2: Tensor) -> Tensor:
        r"""Returns :math:`T(t)`, given :math:`\sin^2 (t/2)` and :math:`\cos^2 (t/2)`."""

    @abstractmethod
    def log_normalizer(self) -> Tensor:
        r"""Returns :math:`\log Z(\kappa)`, with the batch shape."""

    @abstractmethod
    def mean_statistic(self) -> Tensor:
        r"""Returns :math:`\mathbb{E}[T]`, with the batch shape."""

    @abstractmethod
    def mean_cosine(self) -> Tensor:
        r"""Returns :math:`\mathbb{E}[\cos t]`, the length of the mean, with the batch shape."""

    @abstractmethod
    def mean_square_sine(self) -> Tensor:
        r"""Returns :math:`\mathbb{E}[\sin^2 t]`, with the batch shape."""

    @abstractmethod
    def draw_squares(self, shape: torch.Size) -> tuple[Tensor, Tensor]:
        r"""Draws :math:`\sin^2 (t/2)` and :math:`\cos^2 (t/2)`, without gradients."""

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))

        with torch.no_grad():
            squares = self.draw_squares(shape[:-1])
            sin2, cos2 = (x.clamp(min=torch.finfo(x.dtype).tiny) for x in squares)
            t = 2 * torch.atan2(sin2.sqrt(), cos2.sqrt())
            around = F.normalize(
                torch.randn(
                    *shape[:-1], shape[-1] - 1, dtype=self.loc.dtype, device=self.loc.device
                ),
                dim=-1,
            )

        if torch.is_grad_enabled():
            with torch.no_grad():
                slope = self._slope(t, self.statistic(sin2, cos2))
            # Zero in value, and the derivative of t in its own.
            t = t + slope * (self.concentration - self.concentration.detach())

        t = t.unsqueeze(-1)
        return reflect(torch.cat([-t.cos(), t.sin() * around], dim=-1), self.loc)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)

        # Equal to (1 - cos t) / 2 and (1 + cos t) / 2, without the rounding of the inner product.
        sin2 = ((value - self.loc) / 2).square().sum(-1)
        cos2 = ((value + self.loc) / 2).square().sum(-1)
        return self.concentration * self.statistic(sin2, cos2) - self.log_normalizer()

    def entropy(self) -> Tensor:
        return self.log_normalizer() - self.concentration * self.mean_statistic()

    @property
    def mean(self) -> Tensor:
        return self.mean_cosine().unsqueeze(-1) * self.loc

    @property
    def variance(self) -> Tensor:
        across = (self.mean_square_sine() / (self.event_shape[0] - 1)).unsqueeze(-1)
        along = (1 - self.mean_square_sine() - self.mean_cosine().square()).unsqueeze(-1)
        return across + self.loc.square() * (along - across)

    def expand(self: R, batch_shape: Sequence[int], _instance: Any = None) -> R:
        shape = torch.Size(batch_shape)
        new = type(self)(
            self.loc.expand(shape + self.event_shape),
            self.concentration.expand(shape),
            validate_args=False,
        )
        new._validate_args = self._validate_args
        return new

    def _slope(self, t: Tensor, statistic: Tensor) -> Tensor:
        r"""Returns :math:`\partial t / \partial \kappa` at a draw."""
        (d,) = self.event_shape
        mean = self.mean_statistic()
        early = statistic > mean
        zero = torch.zeros_like(t)
        last = torch.maximum(widest(self.concentration, d), t)
        grid = Grid(torch.where(early, zero, t), torch.where(early, t, last), d)
        inner = self.statistic(grid.sin2, grid.cos2)
        kappa, here = self.concentration.unsqueeze(-1), statistic.unsqueeze(-1)
        sine = t.sin().clamp(min=torch.finfo(t.dtype).tiny).log().unsqueeze(-1)
        ratio = (d - 2) * (grid.log_sin - sine) + kappa * (inner - here)
        integral = ((inner - mean.unsqueeze(-1)) * (ratio + grid.log_weight).exp()).sum(-1)
        return torch.where(early, -integral, integral)


@register_kl(Rotational, SphericalUniform)
def _kl_to_uniform(p: Rotational, q: SphericalUniform) -> Tensor:
    return log_area(q.event_shape[0]) - p.entropy()
