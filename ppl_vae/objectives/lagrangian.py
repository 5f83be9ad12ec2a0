r"""What objectives have in common that hold a term at a value by a multiplier."""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor

from ..weights import Weights
from .base import Objective
from .divergences import check_reparameterized

__all__ = ["Lagrangian"]


class Lagrangian(Objective):
    r"""A cost under a constraint, :math:`\min f \text{ subject to } c \leq 0`.

    .. math::
        \text{loss} & = f + \lambda \, c \\
        \bar{c} & \leftarrow m \, \bar{c} + (1 - m) \, c \\
        \lambda & \leftarrow \lambda \exp(\eta \, \bar{c})

    with means over the data of a batch. The multiplier :math:`\lambda` rises while the constraint
    is violated, and falls while it is not, by a factor of :math:`e^{0.05}` for a step at most, and
    stays between :math:`10^{-4}` and :math:`10^4`. It
    is part of the state of the objective, and moves in training alone. The value bounds nothing;
    the metrics tell the true ELBO, its terms, and ``multiplier``.

    To write a new one, subclass it, and return :math:`f` and :math:`c` from :meth:`terms_of`.

    Arguments:
        rate: The rate :math:`\eta` of the multiplier, per nat.
        momentum: The weight :math:`m` of the past in the mean of the constraint.
        particles: As in :class:`~ppl_vae.objectives.Objective`.
        vectorized: As in :class:`~ppl_vae.objectives.Objective`.
        max_plate_nesting: As in :class:`~ppl_vae.objectives.Objective`.

    Raises:
        ValueError: If the rate is not positive, the momentum does not lie between zero and one, a
            site is not reparameterized, or lies outside of the plate of the data.
    """

    bound = "none"
    judged_by = "last"
    reparameterized = True
    weighted = False
    multiplier: Tensor
    average: Tensor
    moved: Tensor

    def __init__(
        self,
        rate: float = 0.01,
        momentum: float = 0.99,
        particles: int = 1,
        vectorized: bool = True,
        max_plate_nesting: int | None = None,
    ) -> None:
        super().__init__(particles, 1.0, vectorized, max_plate_nesting)

        if not (rate > 0 and 0 <= momentum < 1):
            raise ValueError(
                f"{type(self).__name__} needs a positive rate and a momentum between 0 and 1, got "
                f"{rate} and {momentum}."
            )

        self.rate = rate
        self.momentum = momentum
        self.register_buffer("multiplier", torch.ones(()))
        self.register_buffer("average", torch.zeros(()))
        self.register_buffer("moved", torch.zeros((), dtype=torch.bool))

    @abstractmethod
    def terms_of(self, weights: Weights) -> tuple[Tensor, Tensor]:
        r"""
        Arguments:
            weights: The weights of a batch.

        Returns:
            The cost :math:`f` and the constraint :math:`c`, in nats per datum: 0-dimensional.
        """

    def loss_of(self, weights: Weights) -> Tensor:
        weights.check_local()
        check_reparameterized(type(self).__name__, weights)
        cost, constraint = self.terms_of(weights)
        loss = cost + self.multiplier.clone() * constraint

        if torch.is_grad_enabled() and self.training:
            self._follow(constraint.detach())
        return weights.scale * weights.n * loss

    def metrics_of(self, weights: Weights) -> dict[str, Tensor]:
        return {**super().metrics_of(weights), "multiplier": self.multiplier.clone()}

    def _follow(self, constraint: Tensor) -> None:
        with torch.no_grad():
            finite = constraint.isfinite()
            constraint = torch.where(finite, constraint, self.average)
            mean = self.momentum * self.average + (1 - self.momentum) * constraint
            # The first value is the mean of itself, not of itself and zero.
            self.average.copy_(torch.where(self.moved, mean, constraint))
            self.moved.logical_or_(finite)
            grown = self.multiplier * (self.rate * self.average).clamp(-0.05, 0.05).exp()
            self.multiplier.copy_(grown.clamp(1e-4, 1e4))

    def extra_repr(self) -> str:
        return f"rate={self.rate}, particles={self.particles}"
