r"""Vectors whose elements follow each other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import constraints

__all__ = ["Autoregressive"]


class Autoregressive(dist.TorchDistribution):
    r"""A vector whose elements are drawn one after another, given all those before.

    .. math:: p(y) = \prod_{i=1}^d p(y_i \mid y_{<i})

    Scoring takes one call of the conditionals, and drawing :math:`d`.

    Example:
        >>> def walk(y):
        ...     before = torch.nn.functional.pad(y[..., :-1], (1, 0))
        ...     return dist.Normal(before, 1.0)
        >>> p = Autoregressive(walk, torch.zeros(4))
        >>> p.log_prob(p.sample((5,))).shape
        torch.Size([5])

    Arguments:
        conditionals: A function of :math:`y`, with shape ``(*, d)``, to the distributions of its
            elements, with batch shape ``(*, d)``, each given the elements before it; what it does
            with others must be without effect.
        start: Zeros of the shape, dtype and device of one draw, with shape ``(*batch, d)``.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real_vector
    has_rsample = False

    def __init__(
        self,
        conditionals: Callable[[Tensor], dist.TorchDistribution],
        start: Tensor,
        validate_args: bool | None = None,
    ) -> None:
        self.conditionals = conditionals
        self.start = start
        super().__init__(start.shape[:-1], start.shape[-1:], validate_args=validate_args)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with torch.no_grad():
            shape = torch.Size(sample_shape) + self.start.shape
            y = self.start.expand(shape).clone()
            for i in range(shape[-1]):
                y[..., i] = self.conditionals(y).sample()[..., i]
            return y

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)

        shape = torch.broadcast_shapes(value.shape, self.start.shape)
        return self.conditionals(value.expand(shape)).log_prob(value).sum(-1)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Autoregressive:
        shape = torch.Size(batch_shape) + self.event_shape
        new = Autoregressive(self.conditionals, self.start.expand(shape), validate_args=False)
        new._validate_args = self._validate_args
        return new
