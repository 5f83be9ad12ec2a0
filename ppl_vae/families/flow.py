r"""Distributions of normalizing flows, and the family of conditional ones.

A flow pushes a normal base :math:`\epsilon` through an invertible map :math:`y = f(\epsilon)`,

.. math:: \log p(y) = \log p(\epsilon) - \log \left| \det \frac{\partial f}{\partial \epsilon}
    \right| .

An autoregressive map is fast (one pass of its network) in one direction and slow (a pass for
each element) in the other. A posterior is drawn from at every step, so :class:`Flow` is fast from
:math:`\epsilon` to :math:`y`, and a draw keeps its own log density; a prior scores what the guide
has drawn, so :class:`ppl_vae.priors.Flow` is fast from :math:`y` to :math:`\epsilon`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import Transform, constraints

from .base import Family
from .scale import bounded

__all__ = ["Flow", "FlowDistribution", "lazy_flow"]


class FlowDistribution(dist.TorchDistribution):
    r"""The distribution of :math:`y = f(\epsilon)`, which remembers the density of its last draw.

    Arguments:
        base: The distribution of :math:`\epsilon`, over vectors and reparameterized.
        transform: The map :math:`f`, a transformation of zuko or its inverse.
    """

    arg_constraints: dict[str, Any] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, base: dist.TorchDistribution, transform: Transform) -> None:
        self.base = base
        self.transform = transform
        # A draw's density comes with the draw; inverting the map for it would be slow, and inexact.
        self._draw: tuple[Tensor, Tensor] | None = None
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        epsilon = self.base.rsample(torch.Size(sample_shape))
        y, ladj = self.transform.call_and_ladj(epsilon)
        self._draw = (y, self.base.log_prob(epsilon) - ladj)
        return y

    def log_prob(self, value: Tensor) -> Tensor:
        if self._draw is not None and value is self._draw[0]:
            return self._draw[1]

        epsilon, ladj = self.transform.inv.call_and_ladj(value)
        return self.base.log_prob(epsilon) + ladj

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> FlowDistribution:
        return FlowDistribution(self.base.expand(torch.Size(batch_shape)), self.transform)


def lazy_flow(kind: str, features: int, **options: Any) -> torch.nn.Module:
    r"""Builds a flow of zuko by the name of its class.

    Arguments:
        kind: The name of a class of :mod:`zuko.flows` whose map is triangular: ``"MAF"``,
            ``"NSF"``, ``"NICE"``, ``"NAF"`` ...
        features: The number of elements of a draw.
        options: The options of that class.

    Raises:
        ValueError: If zuko has no such flow.
    """
    import zuko  # heavy, and needed by flows only

    flows = {
        name: cls
        for name, cls in vars(zuko.flows).items()
        # NCSF is over angles, not over real numbers.
        if isinstance(cls, type) and issubclass(cls, zuko.lazy.Flow) and name not in ("Flow", "NCSF")
    }

    if kind not in flows:
        raise ValueError(f"zuko has no flow {kind!r}; take one of {', '.join(sorted(flows))}.")

    flow: torch.nn.Module = flows[kind](features, **options)
    return flow


class Flow(Family):
    r"""A conditional normalizing flow, fast in the direction of drawing.

    .. math::
        \epsilon & \sim \mathcal{N}(\mu, \operatorname{diag} \sigma^2) \\
        y & = f_c(\epsilon)

    where :math:`h = (\mu, \rho, c)` holds the location, the unconstrained scale and a context
    :math:`c`, on which each transformation of the flow depends.

    Example:
        >>> family = Flow((3,), context=8)
        >>> family.param_shape
        torch.Size([14])
        >>> q = family(torch.zeros(5, 14))
        >>> q.log_prob(q.rsample()).shape
        torch.Size([5])

    References:
        | Improved Variational Inference with Inverse Autoregressive Flow (Kingma et al., 2016)
        | https://arxiv.org/abs/1606.04934

        | Neural Spline Flows (Durkan et al., 2019)
        | https://arxiv.org/abs/1906.04032

    Arguments:
        event_shape: The shape ``(d,)`` of one draw.
        kind: The name of a flow of zuko.
        transforms: The number of transformations.
        hidden: The widths of the hidden layers of each transformation.
        context: The number of elements of :math:`c`.
        floor: The smallest scale of the base.
        ceiling: The largest scale of the base.

    Raises:
        ValueError: If a draw is not a vector, or zuko has no such flow.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        kind: str = "MAF",
        transforms: int = 2,
        hidden: Sequence[int] = (64, 64),
        context: int = 16,
        floor: float = 1e-4,
        ceiling: float = 1e3,
    ) -> None:
        super().__init__(event_shape)

        if len(self.event_shape) != 1:
            raise ValueError(
                f"Flow is over vectors, got event_shape {tuple(self.event_shape)}; "
                "give it one dimension, such as (8,)."
            )

        (d,) = self.event_shape
        self.param_shape = torch.Size([2 * d + context])
        self.context = context
        self.floor = floor
        self.ceiling = ceiling
        self.transform = lazy_flow(
            kind, d, context=context, transforms=transforms, hidden_features=hidden
        ).transform

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        (d,) = self.event_shape
        loc, rho, context = h.split([d, d, self.context], dim=-1)
        base = dist.Normal(loc, bounded(rho, self.floor, self.ceiling)).to_event(1)
        return FlowDistribution(base, self.transform(context))

    def at_mean(self, mean: Tensor) -> Tensor:
        h = super().at_mean(mean)
        h[: len(mean)] = mean
        return h
