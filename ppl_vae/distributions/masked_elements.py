r"""Laws of data of which some are absent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from .absent import absent_or, inside

__all__ = ["MaskedElements"]


class MaskedElements(TorchDistribution):
    r"""A law of single numbers, which may be absent: NaN has the log density zero.

    .. math:: \log p(y) = \begin{cases} 0 & y \text{ is NaN} \\ \log p_0(y) & \text{else}
        \end{cases}

    So elements that are absent are summed or integrated out. Which are, the data tell: that is the
    difference to Pyro's ``MaskedDistribution``. Draws are complete.

    Example:
        >>> import pyro.distributions as dist
        >>> import torch
        >>> p = MaskedElements(dist.Normal(torch.zeros(2), 1.0)).to_event(1)
        >>> p.log_prob(torch.tensor([0.0, torch.nan]))
        tensor(-0.9189)

    Arguments:
        base_dist: The law, over single numbers.

    Raises:
        ValueError: If the law is over vectors.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, base_dist: TorchDistribution, validate_args: bool | None = None) -> None:
        if base_dist.event_shape:
            raise ValueError(
                "MaskedElements needs a law over single numbers, got one over "
                f"{tuple(base_dist.event_shape)}; call .to_event afterwards."
            )

        self.base_dist = base_dist
        super().__init__(base_dist.batch_shape, validate_args=validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return bool(self.base_dist.has_rsample)

    @constraints.dependent_property(event_dim=0)
    def support(self) -> constraints.Constraint:
        support: Any = self.base_dist.support
        return absent_or(support)

    @property
    def mean(self) -> Tensor:
        return self.base_dist.mean

    @property
    def variance(self) -> Tensor:
        return self.base_dist.variance

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)

        # A safe value in the place of NaN: its gradient, times zero, would be NaN as well.
        absent = value.isnan()
        present = torch.where(absent, inside(self.base_dist.support, value), value)
        log_prob = self.base_dist.log_prob(present)
        return torch.where(absent, torch.zeros_like(log_prob), log_prob)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.base_dist.sample(torch.Size(sample_shape))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self.base_dist.rsample(torch.Size(sample_shape))

    def expand(
        self, batch_shape: Sequence[int], _instance: MaskedElements | None = None
    ) -> MaskedElements:
        new = self._get_checked_instance(MaskedElements, _instance)
        new.base_dist = self.base_dist.expand(torch.Size(batch_shape))
        super(MaskedElements, new).__init__(new.base_dist.batch_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new
