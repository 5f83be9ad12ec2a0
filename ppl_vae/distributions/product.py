r"""Vectors whose elements have laws of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints, kl_divergence, register_kl

from .measure import measure

__all__ = ["Product", "columns"]


class columns(constraints.Constraint):
    r"""Vectors of which each element has a support of its own; discrete if all of them are.

    Example:
        >>> import torch
        >>> support = columns([constraints.real, constraints.boolean])
        >>> support.check(torch.tensor([[0.5, 1.0], [1.0, 0.5]])), support.is_discrete
        (tensor([ True, False]), False)

    Arguments:
        parts: The supports of the elements.
    """

    event_dim = 1

    def __init__(self, parts: Sequence[Any]) -> None:
        self.parts = list(parts)
        super().__init__()

    @property
    def is_discrete(self) -> bool:  # type: ignore[override]
        return all(part.is_discrete for part in self.parts)

    def check(self, value: Tensor) -> Any:
        checks = [part.check(value[..., i]) for i, part in enumerate(self.parts)]
        return torch.stack(checks, -1).all(-1)

    def __repr__(self) -> str:
        return f"columns({self.parts})"


class Product(TorchDistribution):
    r"""A vector of independent elements, each of which has its own law.

    .. math:: p(y) = \prod_{i=1}^d p_i(y_i)

    It is discrete if all elements are. Integers of some elements are drawn as floating point
    numbers, as the others are.

    Example:
        >>> import pyro.distributions as dist
        >>> import torch
        >>> p = Product([dist.Normal(torch.zeros(5), 1.0), dist.Poisson(torch.ones(5))])
        >>> p.sample().shape, p.measure
        (torch.Size([5, 2]), 'mixed (counting: 1)')

    Arguments:
        parts: The laws of the elements, over single numbers, with batch shapes that broadcast.

    Raises:
        ValueError: If there is no law, or one is over vectors.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(
        self, parts: Sequence[TorchDistribution], validate_args: bool | None = None
    ) -> None:
        if not parts or any(p.event_shape for p in parts):
            raise ValueError(
                "Product needs one law or more, over single numbers, got laws over "
                f"{[tuple(p.event_shape) for p in parts]}."
            )

        shape = torch.broadcast_shapes(*(p.batch_shape for p in parts))
        self.parts = [p if p.batch_shape == shape else p.expand(shape) for p in parts]
        super().__init__(shape, torch.Size([len(parts)]), validate_args=validate_args)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return all(p.has_rsample for p in self.parts)

    @constraints.dependent_property(event_dim=1)
    def support(self) -> constraints.Constraint:
        return columns([p.support for p in self.parts])

    @property
    def measure(self) -> str:
        r"""The measure that it is a density of: which elements differ from Lebesgue's."""
        names = [measure(p) for p in self.parts]
        if len(set(names)) == 1:
            return names[0]

        others = {n: [str(i) for i, m in enumerate(names) if m == n] for n in dict.fromkeys(names)}
        told = [f"{n}: {', '.join(at)}" for n, at in sorted(others.items()) if n != "lebesgue"]
        return f"mixed ({'; '.join(told)})"

    @property
    def mean(self) -> Tensor:
        return self._stack([p.mean for p in self.parts])

    @property
    def variance(self) -> Tensor:
        return self._stack([p.variance for p in self.parts])

    def entropy(self) -> Tensor:
        return torch.stack([p.entropy() for p in self.parts]).sum(0)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)

        return self._sum([p.log_prob(value[..., i]) for i, p in enumerate(self.parts)])

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with torch.no_grad():
            return self._stack([p.sample(torch.Size(sample_shape)) for p in self.parts])

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        return self._stack([p.rsample(torch.Size(sample_shape)) for p in self.parts])

    def expand(self, batch_shape: Sequence[int], _instance: Product | None = None) -> Product:
        new = self._get_checked_instance(Product, _instance)
        new.parts = [p.expand(torch.Size(batch_shape)) for p in self.parts]
        super(Product, new).__init__(torch.Size(batch_shape), self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @staticmethod
    def _stack(values: list[Tensor]) -> Tensor:
        dtype = reduce(torch.promote_types, (v.dtype for v in values))
        dtype = dtype if dtype.is_floating_point else torch.get_default_dtype()
        return torch.stack([v.to(dtype) for v in values], -1)

    @staticmethod
    def _sum(terms: list[Tensor]) -> Tensor:
        add: Callable[[Tensor, Tensor], Tensor] = torch.add
        return reduce(add, terms)


@register_kl(Product, Product)
def _kl(p: Product, q: Product) -> Tensor:
    return Product._sum([kl_divergence(a, b) for a, b in zip(p.parts, q.parts, strict=True)])
