r"""The tails of the Huber law."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from .mills import log_mills, residual
from .tails import Tails

__all__ = ["HuberTails"]


class HuberTails(Tails):
    r"""The tails of the standard Huber law of some :math:`\beta`.

    With the loss :math:`\rho`, and :math:`x = \min(a, \beta)`, they are

    .. math::
        S(a) & = e^{-\rho(a)} M(x) / Z \\
        M(x) & = \sqrt{\beta} \, m \left( \frac{x}{\sqrt{\beta}} \right) +
            e^{\rho(x) - \rho(\beta)} \left( 1 - \sqrt{\beta} \, m(\sqrt{\beta}) \right)

    by Mills' ratio :math:`m` of the normal law; both terms are positive, and :math:`M(\beta) = 1`.

    Example:
        >>> a, t = torch.tensor([0.0, 1e4]), torch.tensor([1.0, 0.5])
        >>> HuberTails(torch.tensor(1.0)).drop(a, t)  # the second one is exponential
        tensor([-0.8799, -0.5000])

    Arguments:
        beta: Where the tails begin, in units of the scale.
    """

    def __init__(self, beta: Tensor) -> None:
        self.beta = beta
        self.root = beta.sqrt()
        # 1 - x m(x) is m(x) times the residual of x.
        self.rest = log_mills(self.root).exp() * residual(self.root)

    def drop(self, a: Tensor, t: Tensor) -> Tensor:
        return -self._rise(a, t) + self._log_ratio(a + t) - self._log_ratio(a)

    def undrop(self, a: Tensor, drop: Tensor) -> Tensor:
        # As for the normal law: where the loss rose by as much, first within the centre.
        x, beta = a.minimum(self.beta), self.beta
        most = (beta - x) * (beta + x) / (2 * beta)
        rise = (-drop).minimum(most)
        step = (
            2
            * beta
            * rise
            / ((x**2 + 2 * beta * rise).sqrt() + x).clamp(min=torch.finfo(a.dtype).tiny)
        )
        t = step - drop - rise

        for _ in range(8):
            t = (t + (self.drop(a, t) - drop) * self._log_ratio(a + t).exp()).clamp(min=0)

        return t

    def excess(self, a: Tensor, t: Tensor) -> Tensor:
        return -self._rise(a, t) - self._log_ratio(a)

    def residual(self, a: Tensor) -> Tensor:
        x = a.minimum(self.beta)
        u = x / self.root
        within = self.beta * log_mills(u).exp() * residual(u)
        return (within + self._fall(x) * (1 - x * self.rest)) / self._log_ratio(a).exp()

    def centre(self, z: Tensor) -> Tensor:
        beta, tail = self.beta, (-self.beta / 2).exp()
        # At the ends of the centre one gradient counts, not one of each side.
        x = torch.where(z.abs() > beta, z.sign() * beta, z)
        rest = z - x
        within = math.sqrt(math.pi / 2) * self.root * torch.erf(x / self.root / math.sqrt(2))
        beyond = tail * (torch.expm1(rest.clamp(max=0)) - torch.expm1(-rest.clamp(min=0)))
        zero = torch.zeros_like(beta)
        return (within + beyond) / (2 * self._log_ratio(zero).exp())

    def _rise(self, a: Tensor, t: Tensor) -> Tensor:
        # Of the loss, from a to a + t: in the centre, and beyond.
        x = a.minimum(self.beta)
        step = t.minimum(self.beta - x)
        return step * (x + step / 2) / self.beta + (t - step)

    def _log_ratio(self, a: Tensor) -> Tensor:
        x = a.minimum(self.beta)
        within = self.root * log_mills(x / self.root).exp()
        return (within + self._fall(x) * self.rest).log()

    def _fall(self, x: Tensor) -> Tensor:
        # From the density at x to that where the tail begins.
        return (-(self.beta - x) * (self.beta + x) / (2 * self.beta)).exp()
