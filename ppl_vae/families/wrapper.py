r"""Families made of another family.

A wrapper changes the law of each element: some are absent, some come from elsewhere. It works on
any family of independent elements, which it recognizes by ``.to_event``.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from pyro.distributions import Independent, TorchDistribution
from torch import Tensor, nn

from .base import Family

__all__ = ["Builder", "Wrapper", "built", "check_given", "takes"]

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
        ValueError: If the elements of the family depend on each other, or it is no family.
    """

    def __init__(self, event_shape: Sequence[int], family: Builder, features: int = 0) -> None:
        super().__init__(event_shape)
        inner = built(type(self).__name__, family, self.event_shape)

        if inner.param_shape[1:] != self.event_shape or not self._independent(inner):
            raise ValueError(
                f"{type(self).__name__} needs a family of independent elements of one kind, such "
                f"as Normal; those of {type(inner).__name__} depend on each other, or differ."
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


def built(owner: str, builder: Builder, shape: Sequence[int]) -> Family:
    r"""Returns the family of a shape.

    Classes of families, of priors and of distributions share names, such as Laplace: the wrong one
    is refused by the name of the module that it comes from.

    Arguments:
        owner: The name of what is made of it, for the message.
        builder: What builds the family.
        shape: The shape of one draw.

    Raises:
        ValueError: If what builds it is no class of families, or builds something else.
    """
    kind: Any = builder

    while isinstance(kind, partial):
        kind = kind.func

    if isinstance(builder, Family):
        raise ValueError(
            f"{owner} builds the family itself: give it {type(builder).__name__} alone, or with "
            f"its options functools.partial({type(builder).__name__}, ...), not one that is built."
        )
    if not isinstance(kind, type) or issubclass(kind, Family):
        family: Any = builder(shape)
        if isinstance(family, Family):
            return family
        kind = type(family)

    raise ValueError(
        f"{owner} needs a family, such as ppl_vae.families.Normal, got "
        f"{kind.__module__}.{kind.__name__}, which is none; import it from ppl_vae.families."
    )


def takes(family: Family, name: str) -> bool:
    r"""Tells whether a family, or one that it hands things on to, takes what is given by a name.

    Example:
        >>> from ppl_vae.families import Masked, Normal, Poisson
        >>> takes(Masked((3,), Poisson), "exposure"), takes(Masked((3,), Normal), "exposure")
        (True, False)
    """
    taken = inspect.signature(family.forward).parameters.values()

    if any(p.name == name and p.kind is not p.VAR_KEYWORD for p in taken):
        return True
    if not any(p.kind is p.VAR_KEYWORD for p in taken):
        return False

    children = [c if isinstance(c, nn.ModuleList) else [c] for c in family.children()]
    inner = [f for modules in children for f in modules if isinstance(f, Family)]
    return not inner or any(takes(f, name) for f in inner)


def check_given(family: Family, given: Mapping[str, Any]) -> None:
    r"""Raises a ValueError if a family does not take what it is given besides its parameters."""
    for name in given:
        if not takes(family, name):
            raise ValueError(
                f"The family {type(family).__name__} takes no {name}; leave it out, or take a "
                "family of counts that does, such as Poisson, NegativeBinomial or Multinomial."
            )
