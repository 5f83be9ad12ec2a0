r"""A point of the path of densities, and its terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .space import Space

__all__ = ["Point"]


@dataclass(frozen=True)
class Point:
    r"""Where chains are, and what the path is there, whatever the power."""

    u: dict[str, Tensor]
    r"""The coordinates, by site."""
    start: Tensor
    r""":math:`\log \pi_0(z)` and the log volume of the coordinates, with shape ``(K, n)``."""
    ahead: Tensor
    r""":math:`\log p(x, z) - \log \pi_0(z)`, with shape ``(K, n)``."""
    likelihood: Tensor
    r""":math:`\log p(x \mid z)`, with shape ``(K, n)``."""
    start_force: dict[str, Tensor]
    r"""The gradient of :attr:`start` in the coordinates, by site that moves."""
    ahead_force: dict[str, Tensor]
    r"""The gradient of :attr:`ahead`."""

    def log_density(self, beta: Tensor) -> Tensor:
        r"""The log density of the coordinates at a power, with shape ``(K, n)``."""
        return self.start + beta.to(self.start) * self.ahead

    def force(self, beta: Tensor) -> dict[str, Tensor]:
        r"""The gradient of :meth:`log_density` in the coordinates, by site that moves."""
        beta = beta.to(self.start)
        return {k: force + beta * self.ahead_force[k] for k, force in self.start_force.items()}

    @property
    def slope(self) -> Tensor:
        r"""The derivative of the log density in the power, with shape ``(K, n)``, on the CPU.

        Weights are sums of many of them, and want double precision, which not every device has.
        """
        return self.ahead.cpu().double()

    def taken(self, accept: Tensor, new: Point, spaces: Mapping[str, Space]) -> Point:
        r"""The new point with the given probability, for each chain, or this one.

        Arguments:
            accept: The probabilities, with shape ``(K, n)``.
            new: The new point.
            spaces: The spaces of the sites.
        """
        where = torch.rand_like(accept) < accept

        def chosen(new: Any, old: Any) -> Any:
            if isinstance(old, Tensor):
                return torch.where(where, new, old)
            return {k: torch.where(spaces[k].spread(where, t), new[k], t) for k, t in old.items()}

        return Point(**{name: chosen(getattr(new, name), t) for name, t in vars(self).items()})
