r"""The family of vectors of counts with a known total."""

from __future__ import annotations

from collections.abc import Sequence

import pyro.distributions as dist
import torch
from torch import Tensor

from ..distributions.multinomial import Multinomial as Distribution
from .base import Family, check_vector

__all__ = ["Multinomial"]


class Multinomial(Family):
    r"""How a known total of counts falls upon :math:`d` kinds, such as words or species.

    .. math:: p_h(y) = \frac{T!}{\prod_i y_i!} \prod_i \operatorname{softmax}(h)_i^{y_i}
        \quad \sum_i y_i = T

    The total :math:`T` of a datum is its exposure, or the same for all. Data that are observed
    tell it themselves; see :meth:`exposure_of`.

    Example:
        >>> family = Multinomial((3,))
        >>> p = family(torch.zeros(2, 3), exposure=torch.tensor([3.0, 30.0]))
        >>> p.sample().sum(-1)
        tensor([ 3., 30.])

    References:
        | Variational Autoencoders for Collaborative Filtering (Liang et al., 2018)
        | https://arxiv.org/abs/1802.05814

    Arguments:
        event_shape: The shape ``(d,)`` of one draw.
        total: The total :math:`T` of data that come without an exposure.

    Raises:
        ValueError: If a draw is not a vector of two elements or more, ``total`` is negative, or
            there is neither a total nor an exposure.
    """

    def __init__(self, event_shape: Sequence[int], total: int | None = None) -> None:
        super().__init__(event_shape)
        self.param_shape = torch.Size([check_vector(self, least=2)])

        if total is not None and total < 1:
            raise ValueError(f"Multinomial needs a positive total, got {total}.")

        self.total = total

    def forward(self, h: Tensor, exposure: Tensor | None = None) -> dist.TorchDistribution:
        r"""
        Arguments:
            h: The logits, with shape ``(*, d)``.
            exposure: The totals, with a shape that broadcasts to ``(*)``; ``total`` if None.
        """
        if exposure is None:
            if self.total is None:
                raise ValueError(
                    "Multinomial knows no total to draw; give it one (total=100), or the model an "
                    "exposure."
                )
            exposure = torch.full((), self.total, dtype=h.dtype, device=h.device)

        return Distribution(exposure, h)

    def exposure_of(self, x: Tensor) -> Tensor | None:
        r"""The totals of observed data, with shape ``(*)``; None where they are all the same."""
        return x.sum(-1) if self.total is None else None

    def at_mean(self, mean: Tensor) -> Tensor:
        # Shares are means of counts over their total.
        share = mean.clamp(min=0) / mean.sum().clamp(min=torch.finfo(mean.dtype).tiny)
        return share.clamp(min=1e-8).log()
