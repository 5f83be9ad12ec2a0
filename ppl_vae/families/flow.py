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
from typing import Any, ClassVar

import pyro.distributions as dist
import torch
from torch import Tensor
from torch.distributions import constraints

from .base import Family, check_vector
from .scale import bounded, check_bounds

__all__ = ["KINDS", "Flow", "FlowDistribution", "lazy_flow"]

KINDS = ("MAF", "IAF", "NAF", "NICE", "NSF", "RealNVP")
r"""The kinds of flows over real vectors, each invertible on all of them.

``"MAF"``: autoregressive, affine. ``"IAF"``: autoregressive, gated. ``"NAF"``: autoregressive, by
mixtures of sigmoids. ``"NSF"``: autoregressive, by splines. ``"NICE"``: additive couplings and one
scaling, ``"RealNVP"``: affine couplings, both fast in both directions.

zuko's own NAF, UNAF, SOSPF and GF are not among them: zuko inverts them by bisection between -10
and 10, outside of which draws and densities disagree by nats.
"""


class FlowDistribution(dist.TorchDistribution):
    r"""The distribution of :math:`y = f(\epsilon)`, which remembers the density of its last draw.

    Arguments:
        base: The distribution of :math:`\epsilon`, over vectors and reparameterized.
        transform: The map :math:`f`, a transformation of zuko or one that is called as those are,
            by ``call_and_ladj`` and ``inv``.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, base: dist.TorchDistribution, transform: Any) -> None:
        self.base = base
        self.transform = transform
        # A draw's density comes with the draw; inverting the map for it would be slow, and inexact.
        self._draw: tuple[Tensor, Tensor, bool] | None = None
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        epsilon = self.base.rsample(torch.Size(sample_shape))
        y, ladj = self.transform.call_and_ladj(epsilon)
        self._draw = (y, self.base.log_prob(epsilon) - ladj, torch.is_grad_enabled())
        return y

    def log_prob(self, value: Tensor) -> Tensor:
        if self._draw is not None and value is self._draw[0]:
            _, log_prob, differentiable = self._draw
            # What was drawn without gradients may be scored with them, as wake-sleep does.
            if differentiable or not torch.is_grad_enabled():
                return log_prob

        epsilon, ladj = self.transform.inv.call_and_ladj(value)
        return self.base.log_prob(epsilon) + ladj

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> FlowDistribution:
        return FlowDistribution(self.base.expand(torch.Size(batch_shape)), self.transform)


def lazy_flow(
    kind: str, features: int, transforms: int, hidden: Sequence[int], context: int = 0
) -> torch.nn.Module:
    r"""Builds the map of a flow, which a context turns into a transformation.

    Arguments:
        kind: One of :data:`KINDS`.
        features: The number of elements of a draw.
        transforms: The number of transformations.
        hidden: The widths of the hidden layers of each transformation.
        context: The number of elements of the context.

    Raises:
        ValueError: If there is no such kind, or a size is not positive.
    """
    if kind not in KINDS:
        raise ValueError(
            f"Flow has no kind {kind!r}; take one of {', '.join(KINDS)}, whose inverse is exact."
        )
    if transforms < 1 or context < 0 or any(width < 1 for width in hidden):
        raise ValueError(
            "Flow needs one transformation or more, positive widths and no negative context, got "
            f"transforms={transforms}, hidden={list(hidden)}, context={context}."
        )

    from .flows.zuko_flow import BUILDERS  # heavy, and needed by flows only

    return BUILDERS[kind](features, context, transforms, hidden)


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

        | Neural Autoregressive Flows (Huang et al., 2018)
        | https://arxiv.org/abs/1804.00779

        | Neural Spline Flows (Durkan et al., 2019)
        | https://arxiv.org/abs/1906.04032

    Arguments:
        event_shape: The shape ``(d,)`` of one draw.
        kind: One of :data:`KINDS`: ``"MAF"``, ``"IAF"``, ``"NAF"``, ``"NICE"``, ``"NSF"`` or
            ``"RealNVP"``.
        transforms: The number of transformations.
        hidden: The widths of the hidden layers of each transformation.
        context: The number of elements of :math:`c`; with none, the map is the same for all data.
        floor: The smallest scale of the base.
        ceiling: The largest scale of the base.

    Raises:
        ValueError: If a draw is not a vector, there is no such kind, a size is not positive, or
            the bounds are not ``0 < floor < 1 < ceiling``.
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

        d = check_vector(self)
        self.param_shape = torch.Size([2 * d + context])
        self.context = context
        self.floor = floor
        self.ceiling = ceiling
        check_bounds(floor, ceiling)
        self.transform: Any = lazy_flow(kind, d, transforms, hidden, context)

    def forward(self, h: Tensor) -> dist.TorchDistribution:
        (d,) = self.event_shape
        loc, rho, context = h.split([d, d, self.context], dim=-1)
        base = dist.Normal(loc, bounded(rho, self.floor, self.ceiling)).to_event(1)
        return FlowDistribution(base, self.transform(context if self.context else None))

    def at_mean(self, mean: Tensor) -> Tensor:
        h = super().at_mean(mean)
        h[: len(mean)] = mean
        return h
