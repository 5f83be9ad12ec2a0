r"""A point of the path of densities, and its terms."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

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
    r""":math:`\log \pi_0(z)`, with shape ``(K, n)``."""
    joint: Tensor
    r""":math:`\log p(x, z)`, with shape ``(K, n)``."""
    likelihood: Tensor
    r""":math:`\log p(x \mid z)`, with shape ``(K, n)``."""
    log_volume: Tensor
    r"""The log volume of the coordinates, with shape ``(K, n)``."""
    pull: dict[str, Tensor]
    r"""The gradient of the log density of the start in the coordinates, by site that moves."""
    push: dict[str, Tensor]
    r"""The gradient of :math:`\log p(x, z) - \log \pi_0(z)`, which the power multiplies."""

    def log_density(self, beta: Tensor) -> Tensor:
        r"""The log density of the coordinates at a power, with shape ``(K, n)``."""
        beta = beta.to(self.joint)
        return (1 - beta) * self.start + beta * self.joint + self.log_volume

    def force(self, beta: Tensor) -> dict[str, Tensor]:
        r"""The gradient of :meth:`log_density` in the coordinates, by site that moves."""
        beta = beta.to(self.joint)
        return {k: pull + beta * self.push[k] for k, pull in self.pull.items()}

    @property
    def slope(self) -> Tensor:
        r"""The derivative of the log density in the power, with shape ``(K, n)``, on the CPU.

        Weights are sums of many of them, and want double precision, which not every device has.
        """
        return self.joint.cpu().double() - self.start.cpu().double()

    def taken(self, accept: Tensor, new: Point, spaces: Mapping[str, Space]) -> Point:
        r"""The new point with the given probability, for each chain, or this one.

        Arguments:
            accept: The probabilities, with shape ``(K, n)``.
            new: The new point.
            spaces: The spaces of the sites.
        """
        where = torch.rand_like(accept) < accept
        spread = {k: spaces[k].spread(where, t) for k, t in self.u.items()}

        def chosen(old: dict[str, Tensor], new: dict[str, Tensor]) -> dict[str, Tensor]:
            return {k: torch.where(spread[k], new[k], t) for k, t in old.items()}

        names = ("start", "joint", "likelihood", "log_volume")
        terms = {k: torch.where(where, getattr(new, k), getattr(self, k)) for k in names}
        return replace(
            self,
            u=chosen(self.u, new.u),
            pull=chosen(self.pull, new.pull),
            push=chosen(self.push, new.push),
            **terms,
        )
