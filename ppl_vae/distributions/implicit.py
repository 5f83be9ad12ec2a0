r"""Laws that can be drawn from, but not scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

__all__ = ["Implicit", "is_implicit"]

Push = Callable[[Tensor, Tensor], Tensor]


class Implicit(TorchDistribution):
    r"""The law of a function of noise, the density of which is not known.

    .. math:: z = g(h, \epsilon) \qquad \epsilon \sim \mathcal{N}(0, I_m)

    Without a function, :math:`z = h`: a point. Draws are reparameterized. Weights do not take a
    guide that draws from it; objectives that need no density of the guide do.

    Example:
        >>> import torch
        >>> q = Implicit(torch.zeros(5, 3), lambda h, noise: h + noise, noise=3)
        >>> q.batch_shape, q.event_shape, q.rsample((2,)).shape
        (torch.Size([5]), torch.Size([3]), torch.Size([2, 5, 3]))
        >>> is_implicit(q), is_implicit(torch.distributions.Normal(0.0, 1.0))
        (True, False)

    References:
        | Adversarial Variational Bayes (Mescheder et al., 2017)
        | https://arxiv.org/abs/1701.04722

    Arguments:
        h: What the function is given besides noise, with shape ``(*, *h_shape)``.
        push: The function :math:`g` of ``h`` and of noise with shape ``(*, noise)``.
        noise: The number :math:`m` of elements of the noise.
        event_shape: The shape of a draw; that of ``h``, taken to be vectors, if None.
        h_dim: The number of dimensions of ``h_shape``.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}
    has_rsample = True
    implicit = True

    def __init__(
        self,
        h: Tensor,
        push: Push | None = None,
        noise: int = 0,
        event_shape: Sequence[int] | None = None,
        h_dim: int = 1,
        validate_args: bool | None = None,
    ) -> None:
        self.h, self.push, self.noise, self.h_dim = h, push, noise, h_dim
        batch, given = h.shape[: h.ndim - h_dim], h.shape[h.ndim - h_dim :]
        event = given if event_shape is None else torch.Size(event_shape)
        super().__init__(batch, event, validate_args=validate_args)

    @constraints.dependent_property
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.real, len(self.event_shape))

    @property
    def mean(self) -> Tensor:
        self._require_point()
        return self.h

    @property
    def variance(self) -> Tensor:
        self._require_point()
        return torch.zeros_like(self.h)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Implicit:
        h = self.h.expand(torch.Size(batch_shape) + self.h.shape[self.h.ndim - self.h_dim :])
        return Implicit(h, self.push, self.noise, self.event_shape, self.h_dim)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        lead = torch.Size(sample_shape) + self.batch_shape
        h = self.h.expand(lead + self.h.shape[self.h.ndim - self.h_dim :])
        if self.push is None:
            return h

        return self.push(h, torch.randn(*lead, self.noise, dtype=h.dtype, device=h.device))

    def log_prob(self, value: Tensor) -> Tensor:
        raise ValueError(
            "Implicit has no density; take a posterior that has one, such as Normal, or an "
            "objective that needs none, such as AVB, AAE or WAE."
        )

    def _require_point(self) -> None:
        if self.push is not None:
            raise NotImplementedError("The moments of a function of noise are not known.")


def is_implicit(fn: Any) -> bool:
    r"""Whether a distribution, or the one that it wraps, has no density."""
    while not getattr(fn, "implicit", False) and hasattr(fn, "base_dist"):
        fn = fn.base_dist

    return bool(getattr(fn, "implicit", False))
