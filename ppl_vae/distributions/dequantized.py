r"""Laws of counts, by a density over real numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

__all__ = ["Dequantized", "cells"]


class cells(constraints.Constraint):
    r"""The integers whose unit cell, up to the next one, lies in a support.

    Example:
        >>> import torch
        >>> cells(constraints.positive).check(torch.tensor([0.0, 1.5, -1.0]))
        tensor([ True, False, False])

    Arguments:
        base_constraint: The support of real numbers.
    """

    is_discrete = True

    def __init__(self, base_constraint: constraints.Constraint) -> None:
        self.base = base_constraint
        super().__init__()

    @property
    def event_dim(self) -> int:  # type: ignore[override]
        return int(self.base.event_dim)

    def check(self, value: Tensor) -> Any:
        dims = tuple(range(value.ndim - self.event_dim, value.ndim))
        whole = (value % 1 == 0).all(dims) if dims else value % 1 == 0
        return whole & self.base.check(value + 0.5)

    def __repr__(self) -> str:
        return f"cells({self.base})"


class Dequantized(TorchDistribution):
    r"""The probability of counts, as the mass of a density over their unit cells.

    .. math:: P(y) = \int_{[0, 1)^D} p_0(y + u) \, du

    The integral is estimated by one draw of :math:`u`, fresh for each datum and each particle at
    each call: :math:`\exp` of a log density is unbiased, so a bound with :math:`K` importance
    weights is a bound still, and tightens as :math:`K` grows.

    The mean is that of the density less one half: up to how even the density is in a cell.

    Example:
        >>> import pyro.distributions as dist
        >>> import torch
        >>> p = Dequantized(dist.Normal(torch.zeros(1000), 10.0))
        >>> p.log_prob(torch.tensor(0.0)).exp().mean() - 0.0398 < 1e-4
        tensor(True)

    References:
        | RNADE: The Real-Valued Neural Autoregressive Density-Estimator (Uria et al., 2013)
        | https://arxiv.org/abs/1306.0186

        | Flow++: Improving Flow-Based Generative Models with Variational Dequantization and
        | Architecture Design (Ho et al., 2019)
        | https://arxiv.org/abs/1902.00275

    Arguments:
        base_dist: The law of real numbers or vectors.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    estimated = True
    r"""The density is an estimate, the inverse of which is biased: no posterior may have it."""

    def __init__(self, base_dist: TorchDistribution, validate_args: bool | None = None) -> None:
        self.base_dist = base_dist
        super().__init__(base_dist.batch_shape, base_dist.event_shape, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True)
    def support(self) -> constraints.Constraint:
        support: Any = self.base_dist.support
        return cells(support)

    @property
    def mean(self) -> Tensor:
        return self.base_dist.mean - 0.5

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)

        # The value is shared by particles; its noise is not.
        shape = torch.broadcast_shapes(value.shape, self.batch_shape + self.event_shape)
        dtype = value.dtype if value.is_floating_point() else torch.get_default_dtype()
        u = torch.rand(shape, dtype=dtype, device=value.device)
        return self.base_dist.log_prob(value + u.clamp(torch.finfo(dtype).tiny))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with torch.no_grad():
            return self.base_dist.sample(torch.Size(sample_shape)).floor()

    def expand(
        self, batch_shape: Sequence[int], _instance: Dequantized | None = None
    ) -> Dequantized:
        new = self._get_checked_instance(Dequantized, _instance)
        new.base_dist = self.base_dist.expand(torch.Size(batch_shape))
        super(Dequantized, new).__init__(
            new.base_dist.batch_shape, self.event_shape, validate_args=False
        )
        new._validate_args = self._validate_args
        return new
