r"""The multinomial distribution, with a total of its own for each datum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from torch import Tensor
from torch.distributions import constraints

from .numerics.saddle import poisson_log_prob

__all__ = ["CountsOfTotal", "Multinomial"]


class CountsOfTotal(constraints.Constraint):
    r"""Vectors of whole numbers, none negative, that sum to a total.

    Sums are compared as closely as the type holds them: exactly up to 2 million in single
    precision.

    Example:
        >>> import torch
        >>> CountsOfTotal(torch.tensor(3.0)).check(torch.tensor([[1, 2], [1, 1]]))
        tensor([ True, False])

    Arguments:
        total: The totals, with the batch shape.
    """

    is_discrete = True
    event_dim = 1

    def __init__(self, total: Tensor) -> None:
        self.total = total
        super().__init__()

    def check(self, value: Tensor) -> Tensor:
        value = value.to(self.total.dtype)
        whole = (value >= 0) & (value == value.round())
        error = 4 * torch.finfo(value.dtype).eps * self.total
        fits: Tensor = whole.all(-1) & ((value.sum(-1) - self.total).abs() <= error)
        return fits


class Multinomial(TorchDistribution):
    r"""How :math:`T` counts fall upon :math:`d` kinds.

    .. math:: p(y) = \frac{T!}{\prod_i y_i!} \prod_i \pi_i^{y_i} \quad \sum_i y_i = T

    where :math:`\pi` is the softmax of the logits. The one of torch has a single total for the
    whole batch; here each datum has its own.

    Example:
        >>> import torch
        >>> p = Multinomial(torch.tensor([2.0, 7.0]), torch.zeros(2, 3))
        >>> p.sample().sum(-1)
        tensor([2., 7.])

    Arguments:
        total_count: The totals :math:`T`, with the batch shape.
        logits: The logits of the shares :math:`\pi`, with shape ``(*, d)``.
        validate_args: Whether arguments and values are checked.
    """

    measure = "counting given the total"
    arg_constraints: ClassVar[dict[str, Any]] = {
        "total_count": constraints.nonnegative_integer,
        "logits": constraints.real_vector,
    }

    def __init__(
        self, total_count: Tensor, logits: Tensor, validate_args: bool | None = None
    ) -> None:
        shape = torch.broadcast_shapes(total_count.shape, logits.shape[:-1])
        self.total_count = total_count.to(logits.dtype).expand(shape)
        self.logits = logits.log_softmax(-1).expand(*shape, logits.shape[-1])
        super().__init__(shape, logits.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Multinomial:
        new: Multinomial = self._get_checked_instance(Multinomial, _instance)
        shape = torch.Size(batch_shape)
        new.total_count = self.total_count.expand(shape)
        new.logits = self.logits.expand(shape + self.event_shape)
        super(Multinomial, new).__init__(shape, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> constraints.Constraint:
        return CountsOfTotal(self.total_count)

    @property
    def probs(self) -> Tensor:
        r"""The shares :math:`\pi`, with shape ``(*, d)``."""
        return self.logits.exp()

    @property
    def mean(self) -> Tensor:
        return self.total_count.unsqueeze(-1) * self.probs

    @property
    def variance(self) -> Tensor:
        return self.mean * (1 - self.probs)

    def log_prob(self, value: Tensor) -> Tensor:
        if self._validate_args:
            self._validate_sample(value)

        # As independent Poisson counts, given that they sum to the total: their probabilities are
        # exact where factorials of large totals cancel.
        value = value.to(self.logits.dtype)
        total = self.total_count.clamp(min=torch.finfo(self.logits.dtype).tiny)
        log_means = total.log().unsqueeze(-1) + self.logits
        joint = poisson_log_prob(value, total.unsqueeze(-1) * self.probs, log_means).sum(-1)
        return joint - poisson_log_prob(self.total_count, total)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        # Kind by kind, each count is binomial among those that are left, which are counted in
        # double precision: single has no whole numbers beyond 16 million.
        with torch.no_grad():
            tails = self.logits.flip(-1).logcumsumexp(-1).flip(-1)
            shares = (self.logits - tails).exp().clamp(max=1).double()
            left = self.total_count.expand(torch.Size(sample_shape) + self.batch_shape).double()
            counts = []

            for share in shares[..., :-1].unbind(-1):
                counts.append(torch.binomial(left, share.expand_as(left)))
                left = left - counts[-1]

            return torch.stack([*counts, left], -1).to(self.logits.dtype)
