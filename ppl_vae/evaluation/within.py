r"""Densities everywhere: zero where a distribution has no support.

A density is asked for only where draws fall; elsewhere many give NaN, or fail. Where one program
scores the draws of another, which may fall anywhere, it is zero there.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from pyro.distributions import TorchDistribution
from pyro.poutine.messenger import Messenger
from torch import Tensor
from torch.distributions import Distribution

from ..weights import Program

__all__ = ["Everywhere", "Within"]


class Within(TorchDistribution):
    r"""A distribution whose density is zero outside of its support.

    Example:
        >>> import pyro.distributions as dist
        >>> Within(dist.Beta(2.0, 2.0)).log_prob(torch.tensor([0.5, 3.0]))
        tensor([0.4055,   -inf])

    Arguments:
        base: The distribution.
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}

    def __init__(self, base: Any) -> None:
        self.base = base
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return bool(self.base.has_rsample)

    @property
    def support(self) -> Any:
        return self.base.support

    def expand(self, batch_shape: Any, _instance: Any = None) -> Within:
        return Within(self.base.expand(batch_shape))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        value: Tensor = self.base.sample(sample_shape)
        return value

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        value: Tensor = self.base.rsample(sample_shape)
        return value

    def moved(self, value: Tensor) -> tuple[Tensor, Tensor]:
        r"""The value, with draws in the place of what lies outside, and what lies inside."""
        try:
            inside = self.support.check(value)
        except (AttributeError, NotImplementedError):
            inside = value.new_ones((), dtype=torch.bool)

        inside = inside.expand(value.shape[: value.ndim - len(self.event_shape)])
        where = inside.reshape(*inside.shape, *[1] * len(self.event_shape))
        return torch.where(where, value, self.base.sample().to(value)), inside

    def log_prob(self, value: Tensor) -> Tensor:
        safe, inside = self.moved(value)
        log_prob: Tensor = self.base.log_prob(safe)
        return log_prob.masked_fill(inside.logical_not(), -torch.inf)


class _Widened(Messenger):
    def _pyro_sample(self, message: Any) -> None:
        if not message["is_observed"] and isinstance(message["fn"], Distribution):
            message["fn"] = Within(message["fn"])

    def _pyro_post_sample(self, message: Any) -> None:
        # What a program computes of a value from outside is of no account, but it must not fail.
        if isinstance(message["fn"], Within):
            message["value"] = message["fn"].moved(message["value"])[0]


class Everywhere:
    r"""A program, the latent sites of which have densities everywhere.

    Example:
        >>> import pyro
        >>> import pyro.distributions as dist
        >>> from ppl_vae.weights import score_guide
        >>> def guide(x):
        ...     with pyro.plate("data", len(x)):
        ...         pyro.sample("z", dist.Gamma(2.0, 2.0))
        >>> x, z = torch.zeros(2), torch.tensor([[1.0, -1.0]])
        >>> score_guide(Everywhere(guide), x, {"z": z}, depth=1)
        tensor([[-0.6137,    -inf]])

    Arguments:
        program: The program, which is called with values for its latent sites.
    """

    def __init__(self, program: Program) -> None:
        self.program = program
        # What the arguments are called is read off a signature.
        self.forward = getattr(program, "forward", program)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with _Widened():
            return self.program(*args, **kwargs)
