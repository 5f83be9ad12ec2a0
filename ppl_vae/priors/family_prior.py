r"""Any family as a prior."""

from __future__ import annotations

import pyro.distributions as dist
import torch
from torch import Tensor, nn

from ..families.base import Family
from .base import Prior

__all__ = ["FamilyPrior"]


class FamilyPrior(Prior):
    r"""The member of a family at one :math:`h`, which is zero or learned.

    .. math:: p(z) = p_h(z)

    Example:
        >>> from ppl_vae.families import Laplace
        >>> FamilyPrior(Laplace((8,)), learned=True)().event_shape
        torch.Size([8])

    Arguments:
        family: The family :math:`\{p_h\}`.
        learned: Whether :math:`h` is learned, or stays zero.

    Raises:
        ValueError: If it is given anything but a family.
    """

    h: Tensor

    def __init__(self, family: Family, learned: bool = False) -> None:
        if not isinstance(family, Family):
            raise ValueError(
                f"FamilyPrior is built from a family, such as Laplace((8,)), got {family!r}."
            )

        super().__init__(family.event_shape)
        self.family = family
        h = torch.zeros(family.param_shape)

        if learned:
            self.h = nn.Parameter(h)
        else:
            self.register_buffer("h", h)

    def forward(self) -> dist.TorchDistribution:
        return self.family(self.h)
