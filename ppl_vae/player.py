r"""Who follows which gradient: parameters, a loss, and an optimizer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from .objectives import Estimate
from .staging import Adam

__all__ = ["Player"]


class Player:
    r"""Some of the parameters, the loss whose gradient they follow, and their optimizer.

    Most objectives have one player, which holds all parameters.

    Arguments:
        name: The name.
        parameters: The parameters by name.
        optimizer: Their optimizer.
        estimate: A function from a batch to the loss and the metrics.
        clip: The largest norm of the gradient, above which it is scaled down.
        precision: A function to the context in which the loss is computed.
        turn: Whether it moves, a function of the number of steps done; None if at each step.
    """

    def __init__(
        self,
        name: str,
        parameters: Mapping[str, nn.Parameter],
        optimizer: torch.optim.Optimizer,
        estimate: Callable[..., Estimate],
        clip: float | None,
        precision: Callable[[], AbstractContextManager[Any]],
        turn: Callable[[int], bool] | None = None,
    ) -> None:
        self.name = name
        self.parameters = list(parameters.values())
        self.optimizer = optimizer
        self.estimate = estimate
        self.clip = clip
        self.precision = precision
        self.turn = turn

    @property
    def adam(self) -> Adam | None:
        r"""The optimizer on raw tensors, where it is the fused Adam."""
        return Adam(self.optimizer) if Adam.takes(self.optimizer) else None

    def moves(self, done: int) -> bool:
        r"""Whether it takes part in the step after some number of them."""
        return self.turn is None or self.turn(done)

    def gradient(self, *args: Any, **batch: Any) -> dict[str, Any]:
        r"""Returns the loss in nats per datum, the metrics, and the gradient.

        All that comes back is tensors, so that it can be captured.
        """
        for parameter in self.parameters:
            parameter.grad = None

        with self.precision():
            estimate = self.estimate(*args, **batch)

        loss = estimate.loss / estimate.size
        gradients: Sequence[Tensor | None]

        if loss.requires_grad:
            free = [p for p in self.parameters if p.requires_grad]  # some may be frozen meanwhile
            found = iter(torch.autograd.grad(loss, free, allow_unused=True))
            gradients = [
                _laid_out(next(found), p) if p.requires_grad else None for p in self.parameters
            ]
        else:
            # Some of Pyro's objectives have added the gradient of the sum already.
            gradients = [
                None if p.grad is None else p.grad / estimate.size for p in self.parameters
            ]

        return {
            "loss": loss.detach(),
            "metrics": estimate.metrics,
            "gradients": self._clipped(gradients),
        }

    def update(self, gradients: Sequence[Tensor | None]) -> None:
        r"""Takes a step along a gradient, and leaves it with the parameters."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient

        if self.adam is None:
            self.optimizer.step()
        else:
            self.adam.update(self.parameters, gradients)

    def _clipped(self, gradients: Sequence[Tensor | None]) -> list[Tensor | None]:
        if self.clip is None:
            return list(gradients)

        norm = nn.utils.get_total_norm([g for g in gradients if g is not None])
        factor = (self.clip / (norm + 1e-6)).clamp(max=1.0)
        return [None if g is None else g * factor for g in gradients]


def _laid_out(gradient: Tensor | None, parameter: Tensor) -> Tensor | None:
    # Fused kernels walk through memory: the gradient has to lie as the parameter does.
    if gradient is None or gradient.stride() == parameter.stride():
        return gradient

    return torch.empty_like(parameter).copy_(gradient)
