r"""Families made of another family.

A wrapper changes the law of each element: some are absent, some come from elsewhere. It works on
any family of independent elements, which it recognizes by ``.to_event``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from pyro.distributions import Independent, TorchDistribution
from torch import Tensor

from .base import Family

__all__ = ["Builder", "Wrapper", "check_given"]

Builder = Callable[[Sequence[int]], Family]
r"""A family but for its shape, such as ``Normal`` or ``partial(Normal, scale=0.1)``."""


class Wrapper(Family):
    r"""A family whose elements are those of another family, changed one by one.

    To write a new one, subclass it, hand ``features``, the number of parameters that it adds to
    each element, to ``super().__init__``, and build the distribution in :meth:`forward` from
    ``extra, p = self.elements(h, **given)``, with ``.to_event(len(self.event_shape))``.

    Arguments:
        event_shape: The shape of one draw.
        family: The family of the elements, but for its shape.
        features: The number of parameters that the wrapper adds to each element.

    Raises:
        ValueError: If the elements of the family depend on each other.
    """

    def __init__(self, event_shape: Sequence[int], family: Builder, features: int = 0) -> None:
        super().__init__(event_shape)
        inner = family(self.event_shape)

        if inner.param_shape[1:] != self.event_shape or not self._independent(inner):
            raise ValueError(
                f"{type(self).__name__} needs a family of independent elements, such as Normal; "
                f"those of {type(inner).__name__} depend on each other."
            )

        self.family = inner
        self.features = features
        self.param_shape = torch.Size((features + inner.param_shape[0], *self.event_shape))

    def elements(self, h: Tensor, **given: Any) -> tuple[tuple[Tensor, ...], TorchDistribution]:
        r"""
        Arguments:
            h: The unconstrained parameters, with shape ``(*, *param_shape)``.
            given: What else the family takes, such as an exposure.

        Returns:
            The parameters that the wrapper adds, each with shape ``(*, *event_shape)``, and the
            distribution of the elements, with batch shape ``(*, *event_shape)``.

        Raises:
            ValueError: If the family does not take what is given.
        """
        check_given(self.family, given)
        dim = -1 - len(self.event_shape)
        extra = h.narrow(dim, 0, self.features).unbind(dim) if self.features else ()
        p = self.family(h.narrow(dim, self.features, h.shape[dim] - self.features), **given)
        return extra, p.base_dist if len(self.event_shape) > 0 else p

    def at_mean(self, mean: Tensor) -> Tensor:
        h = super().at_mean(mean)
        h[self.features :] = self.family.at_mean(mean)
        return h

    def example(self) -> TorchDistribution:
        r"""The distribution of the elements of the family at :math:`h = 0`."""
        with torch.no_grad():
            return self.elements(torch.zeros(self.param_shape))[1]

    def _independent(self, inner: Family) -> bool:
        with torch.no_grad():
            p = inner(torch.zeros(inner.param_shape))
        dims = len(self.event_shape)
        if dims == 0:
            return True
        return isinstance(p, Independent) and p.reinterpreted_batch_ndims == dims


def check_given(family: Family, given: Mapping[str, Any]) -> None:
    r"""Raises a ValueError if a family does not take what it is given besides its parameters."""
    if not given:
        return

    taken = inspect.signature(family.forward).parameters.values()
    names = {p.name for p in taken}

    for name in given:
        if name not in names and not any(p.kind is p.VAR_KEYWORD for p in taken):
            raise ValueError(
                f"The family {type(family).__name__} takes no {name}; leave it out, or take a "
                "family of counts that does, such as Poisson, NegativeBinomial or Multinomial."
            )
