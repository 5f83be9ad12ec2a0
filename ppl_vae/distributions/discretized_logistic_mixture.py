r"""Mixtures of discretized logistic laws over the channels of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from .discretized_logistic import DiscretizedLogistic

__all__ = ["DiscretizedLogisticMixture"]


class DiscretizedLogisticMixture(TorchDistribution):
    r"""Pictures whose pixels are mixtures, with channels that depend on those before them.

    For each pixel, with :math:`K` components that its :math:`C` channels share,

    .. math::
        P(y) & = \sum_{k=1}^K \pi_k \prod_{c=1}^C
            \operatorname{DiscretizedLogistic}(y_c \mid m_{kc}, s_{kc}) \\
        m_{kc} & = \mu_{kc} + r \sum_{j < c} a_{kcj} \left( \frac{y_j}{r} - 1 \right)

    where :math:`r = (L - 1) / 2` is half the range of the :math:`L` levels. Draws have the
    channels first, ``(C, *rest)``; the parameters of a pixel stand last. The mean has a closed
    form for one channel alone.

    Example:
        >>> import torch
        >>> loc = torch.full((4, 4, 2, 3), 127.5)
        >>> p = DiscretizedLogisticMixture(
        ...     torch.zeros(4, 4, 2), loc, 0.1 * loc, torch.zeros(4, 4, 2, 3), pixels=2
        ... )
        >>> p.event_shape, p.sample((5,)).shape
        (torch.Size([3, 4, 4]), torch.Size([5, 3, 4, 4]))

    References:
        | PixelCNN++: Improving the PixelCNN with Discretized Logistic Mixture Likelihood and Other
        | Modifications (Salimans et al., 2017)
        | https://arxiv.org/abs/1701.05517

    Arguments:
        logits: The logits of :math:`\pi`, with shape ``(*, *rest, K)``.
        loc: The locations :math:`\mu`, in units of levels, with shape ``(*, *rest, K, C)``.
        scale: The scales :math:`s`, in units of levels, with shape ``(*, *rest, K, C)``.
        coefficients: The coefficients :math:`a`, for :math:`(c, j) = (2, 1), (3, 1), (3, 2),
            \dots`, with shape ``(*, *rest, K, C (C - 1) / 2)``.
        levels: The number :math:`L` of levels.
        pixels: The number of dimensions of a pixel's place, those of ``*rest``.

    Raises:
        ValueError: If there are fewer than two levels.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {
        "logits": constraints.real_vector,
        "loc": constraints.independent(constraints.real, 2),
        "scale": constraints.independent(constraints.positive, 2),
        "coefficients": constraints.independent(constraints.real, 2),
    }

    def __init__(
        self,
        logits: Tensor,
        loc: Tensor,
        scale: Tensor,
        coefficients: Tensor,
        levels: int = 256,
        pixels: int = 2,
        validate_args: bool | None = None,
    ) -> None:
        if levels < 2:
            raise ValueError(f"DiscretizedLogisticMixture needs two levels or more, got {levels}.")

        self.logits = logits
        self.loc = loc
        self.scale = scale
        self.coefficients = coefficients
        self.levels = levels
        self.pixels = pixels
        batch, rest = self._split(loc.shape[:-2])
        super().__init__(batch, loc.shape[-1:] + rest, validate_args=validate_args)

    @constraints.dependent_property(is_discrete=True)
    def support(self) -> constraints.Constraint:
        levels = constraints.integer_interval(0, self.levels - 1)
        return constraints.independent(levels, 1 + self.pixels)

    @property
    def mean(self) -> Tensor:
        if self.loc.shape[-1] > 1:
            raise NotImplementedError("Channels that depend on each other have no known mean.")

        means = DiscretizedLogistic(self.loc, self.scale, self.levels).mean
        mean = (self.logits.softmax(-1).unsqueeze(-1) * means).sum(-2)
        return mean.movedim(-1, -1 - self.pixels)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)

        y = value.to(self.loc.dtype).movedim(-1 - self.pixels, -1).unsqueeze(-2)
        loc = self._shift(self.loc, self.coefficients, y)
        p = DiscretizedLogistic(loc, self.scale, self.levels, validate_args=False)
        log_prob = (self.logits.log_softmax(-1) + p.log_prob(y).sum(-1)).logsumexp(-1)
        return log_prob.flatten(log_prob.ndim - self.pixels).sum(-1) if self.pixels else log_prob

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        with torch.no_grad():
            p = self.expand(torch.Size(sample_shape) + self.batch_shape)
            # The largest of the logits with Gumbel noise is a draw of the component.
            noise = -torch.empty_like(p.logits).exponential_().log()
            k = (p.logits + noise).argmax(-1)[..., None, None]
            loc, scale, coefficients = (
                t.gather(-2, k.expand(*k.shape[:-1], t.shape[-1])).squeeze(-2)
                for t in (p.loc, p.scale, p.coefficients)
            )
            y = torch.zeros_like(loc)

            for c in range(y.shape[-1]):
                shifted = self._shift(loc, coefficients, y)[..., c]
                drawn = DiscretizedLogistic(shifted, scale[..., c], self.levels).sample()
                # Filled in, channel by channel: the later ones are zero, and of no effect yet.
                y = y + F.pad(drawn.unsqueeze(-1), (c, y.shape[-1] - c - 1))

            return y.movedim(-1, -1 - self.pixels)

    def expand(
        self, batch_shape: Sequence[int], _instance: DiscretizedLogisticMixture | None = None
    ) -> DiscretizedLogisticMixture:
        new = self._get_checked_instance(DiscretizedLogisticMixture, _instance)
        shape = torch.Size(batch_shape) + self.event_shape[1:]
        new.logits = self.logits.expand(*shape, -1)

        for name in ("loc", "scale", "coefficients"):
            setattr(new, name, getattr(self, name).expand(*shape, -1, -1))

        new.levels = self.levels
        new.pixels = self.pixels
        super(DiscretizedLogisticMixture, new).__init__(
            torch.Size(batch_shape), self.event_shape, validate_args=False
        )
        new._validate_args = self._validate_args
        return new

    def _split(self, shape: torch.Size) -> tuple[torch.Size, torch.Size]:
        return shape[: len(shape) - self.pixels], shape[len(shape) - self.pixels :]

    def _shift(self, loc: Tensor, coefficients: Tensor, y: Tensor) -> Tensor:
        # The locations of all channels, given those before them.
        half = (self.levels - 1) / 2
        unit = y / half - 1
        columns, at = [], 0

        for c in range(loc.shape[-1]):
            before = coefficients[..., at : at + c] * unit[..., :c]
            columns.append(loc[..., c] + half * before.sum(-1))
            at += c

        return torch.stack(columns, -1)
