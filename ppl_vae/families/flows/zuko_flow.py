r"""Flows composed of zuko's parts, loaded when the first one is built: zuko is slow to load."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from ...restoring import keeping_checks
from .gated import GatedTransform
from .sigmoidal import SigmoidalTransform

with keeping_checks():
    import zuko
    from zuko.transforms import (
        AdditiveTransform,
        CouplingTransform,
        DependentTransform,
        MonotonicAffineTransform,
    )

__all__ = ["BUILDERS"]

SIGMOIDS = 16  # in each map of a neural autoregressive flow, as in the paper


class IndexedCoupling(CouplingTransform):
    r"""A coupling whose two halves are given by their indices.

    zuko looks the indices up in a mask at every call, which waits for a GPU, and which a graph of
    fixed shapes cannot hold.
    """

    def __init__(self, meta: Callable[[Tensor], Any], kept: Tensor, moved: Tensor) -> None:
        torch.distributions.Transform.__init__(self)
        self.meta = meta
        self.idx_a = kept
        self.idx_b = moved


class Coupling(zuko.flows.coupling.GeneralCouplingTransform):
    r"""zuko's lazy coupling, with the indices of its halves as buffers."""

    kept: Tensor
    moved: Tensor

    def __init__(self, features: int, context: int, mask: Tensor, **options: Any) -> None:
        super().__init__(features, context, mask, **options)
        self.register_buffer("kept", mask.nonzero().squeeze(-1), persistent=False)
        self.register_buffer("moved", (~mask).nonzero().squeeze(-1), persistent=False)

    def forward(self, c: Tensor | None = None) -> IndexedCoupling:
        return IndexedCoupling(partial(self.meta, c), self.kept, self.moved)


def coupled(
    features: int,
    context: int,
    transforms: int,
    hidden_features: Sequence[int],
    **univariate: Any,
) -> nn.Module:
    r"""Couplings, affine by default, of the even and the odd elements in turn."""
    options = {"hidden_features": hidden_features, **univariate}
    masks = [torch.arange(features) % 2 == i % 2 for i in range(transforms)]
    layers = [Coupling(features, context, mask, **options) for mask in masks]
    return zuko.lazy.LazyComposedTransform(*layers)


def additive(
    features: int, context: int, transforms: int, hidden_features: Sequence[int]
) -> nn.Module:
    r"""Additive couplings, which keep volumes, and one scaling of the elements."""
    layers = coupled(
        features, context, transforms, hidden_features, univariate=AdditiveTransform, shapes=[()]
    )
    zeros = torch.zeros(features), torch.zeros(features)
    return zuko.lazy.LazyComposedTransform(layers, zuko.lazy.UnconditionalTransform(scaled, *zeros))


def scaled(shift: Tensor, scale: Tensor) -> DependentTransform:
    r"""An affine map of each element of a vector."""
    return DependentTransform(MonotonicAffineTransform(shift, scale), 1)


def autoregressive(
    flow: Callable[..., Any] = zuko.flows.MAF, **univariate: Any
) -> Callable[..., nn.Module]:
    r"""A flow of zuko, in increasing and decreasing order of the elements in turn."""

    def build(
        features: int, context: int, transforms: int, hidden_features: Sequence[int]
    ) -> nn.Module:
        built: nn.Module = flow(
            features, context, transforms=transforms, hidden_features=hidden_features, **univariate
        ).transform
        return built

    return build


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "MAF": autoregressive(),
    "IAF": autoregressive(univariate=GatedTransform, shapes=[(), ()]),
    "NAF": autoregressive(univariate=SigmoidalTransform, shapes=[(SIGMOIDS,)] * 3 + [()]),
    "NICE": additive,
    "NSF": autoregressive(zuko.flows.NSF),
    "RealNVP": coupled,
}
r"""A builder of lazy transformations for each kind of flow."""
