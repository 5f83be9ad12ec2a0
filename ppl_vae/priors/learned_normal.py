r"""The normal prior with learned location and scale."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist

from .location_scale import LocationScale

__all__ = ["LearnedNormal"]


class LearnedNormal(LocationScale):
    r"""A normal prior with independent elements, whose location and scale are learned.

    .. math:: p(z) = \mathcal{N}(z \mid \mu, \operatorname{diag} \sigma^2)

    Example:
        >>> LearnedNormal((8,))().event_shape
        torch.Size([8])

    Arguments:
        event_shape: The shape of one draw.
        floor: The smallest scale.
        ceiling: The largest scale.

    Raises:
        ValueError: Unless ``0 < floor < 1 < ceiling``.
    """

    def __init__(
        self, event_shape: Sequence[int], floor: float = 1e-3, ceiling: float = 1e3
    ) -> None:
        super().__init__(event_shape, learned=True, floor=floor, ceiling=ceiling)

    def forward(self) -> dist.TorchDistribution:
        return dist.Normal(self.loc, self.scale).to_event(len(self.event_shape))
