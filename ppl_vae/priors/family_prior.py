r"""Any family as a prior."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor

from ..families.base import Family
from ..families.normal import Normal
from ..families.wrapper import Builder, built
from .base import Prior

__all__ = ["FamilyPrior"]


class FamilyPrior(Prior):
    r"""The member of a family at one :math:`h`, which is zero or learned.

    .. math:: p(z) = p_h(z)

    Example:
        >>> from ppl_vae.families import Laplace
        >>> FamilyPrior((8,), Laplace, learned=True)().event_shape
        torch.Size([8])

    Arguments:
        event_shape: The shape of one draw.
        family: The family :math:`\{p_h\}` but for its shape: a class of families, or any function
            from a shape to a family.
        learned: Whether :math:`h` is learned, from a random start near zero, or stays zero.

    Raises:
        ValueError: If it is given anything but a shape and a builder of families.
    """

    h: Tensor

    def __init__(
        self, event_shape: Sequence[int], family: Builder = Normal, *, learned: bool = False
    ) -> None:
        if isinstance(event_shape, Family) or not callable(family) or isinstance(family, Family):
            raise ValueError(
                "FamilyPrior takes a shape and what builds a family of that shape, such as "
                "FamilyPrior((8,), Laplace); it builds the family itself."
            )

        super().__init__(event_shape)
        self.family = built("FamilyPrior", family, self.event_shape)
        h = torch.zeros(self.family.param_shape)
        # Exactly at zero some parameters have no gradient: parts of flows, and equal components.
        self.hold("h", 0.1 * torch.randn_like(h) if learned else h, learned=learned)

    def forward(self) -> dist.TorchDistribution:
        return self.family(self.h)
