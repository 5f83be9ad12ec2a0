r"""The uniform distribution on the sphere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import register_kl

from .sphere import log_area, sphere

__all__ = ["SphericalUniform"]


class SphericalUniform(TorchDistribution):
    r"""Unit vectors, all directions alike.

    .. math:: p(y) = \frac{1}{|S^{d-1}|} = \frac{\Gamma(d/2)}{2 \pi^{d/2}}

    Example:
        >>> p = SphericalUniform(3)
        >>> p.sample((5,)).shape, p.entropy()
        (torch.Size([5, 3]), tensor(2.5310))

    Arguments:
        size: The number :math:`d \geq 2` of elements.
        dtype: The dtype of draws, the default one if None.
        device: The device of draws, the default one if None.

    Raises:
        ValueError: If there are fewer than two elements.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = sphere
    has_rsample = True

    def __init__(
        self,
        size: int,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        validate_args: bool | None = None,
        *,
        batch_shape: Sequence[int] = (),
    ) -> None:
        if size < 2:
            raise ValueError(f"SphericalUniform needs 2 elements or more, got {size}.")

        self.kind: dict[str, Any] = {"dtype": dtype, "device": device}
        super().__init__(torch.Size(batch_shape), torch.Size([size]), validate_args=validate_args)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        shape = self._extended_shape(torch.Size(sample_shape))
        return F.normalize(torch.randn(shape, **self.kind), dim=-1)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)

        shape = torch.broadcast_shapes(self.batch_shape, value.shape[:-1])
        return value.new_full(shape, -log_area(self.event_shape[0]))

    def entropy(self) -> Tensor:
        return torch.full(self.batch_shape, log_area(self.event_shape[0]), **self.kind)

    @property
    def mean(self) -> Tensor:
        return torch.zeros(self.batch_shape + self.event_shape, **self.kind)

    @property
    def variance(self) -> Tensor:
        shape = self.batch_shape + self.event_shape
        return torch.full(shape, 1 / self.event_shape[0], **self.kind)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> SphericalUniform:
        (size,) = self.event_shape
        new = SphericalUniform(size, **self.kind, validate_args=False, batch_shape=batch_shape)
        new._validate_args = self._validate_args
        return new


@register_kl(SphericalUniform, SphericalUniform)
def _kl_of_uniforms(p: SphericalUniform, q: SphericalUniform) -> Tensor:
    return torch.zeros(torch.broadcast_shapes(p.batch_shape, q.batch_shape), **p.kind)
