r"""Temperatures that fall as training proceeds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Temperature", "held"]


class Temperature(nn.Module):
    r"""A temperature :math:`\tau`, constant or falling exponentially.

    .. math:: \tau_k = \tau_0 \left( \frac{\tau_1}{\tau_0} \right)^{\min(k / K, 1)}

    where :math:`k` is the number of passes in training mode so far. It is a buffer, as the batches
    that batch normalization has seen: saved and resumed with the module, moved by any loop of
    training, and by no evaluation. A pass is one call, but within :func:`held`, where calls see
    the temperature of the pass that they are part of: a guide that refines its posterior counts
    one, however many steps it takes, and a VampPrior, which asks the posterior once more, none. A
    guide that is run twice in a step counts twice.

    Example:
        >>> temperature = Temperature(1.0, final=0.25, steps=2)
        >>> [round(float(temperature(torch.zeros(3))), 3) for _ in range(4)]
        [1.0, 0.5, 0.25, 0.25]

    Arguments:
        start: The temperature :math:`\tau_0 > 0` at the start.
        final: The temperature :math:`\tau_1 > 0` at the end; that of the start if None.
        steps: The number :math:`K` of passes from the one to the other.

    Raises:
        ValueError: If a temperature is not positive and finite, or ``steps`` is not positive.
    """

    passes: Tensor

    def __init__(self, start: float, final: float | None = None, steps: int = 10000) -> None:
        super().__init__()
        self.start = start
        self.final = start if final is None else final
        self.steps = steps
        self.holds = 0
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))

        if not (0 < self.start < math.inf and 0 < self.final < math.inf):
            raise ValueError(
                f"Temperatures must be positive and finite, got {self.start} and {self.final}."
            )
        if steps < 1:
            raise ValueError(f"A temperature needs one step or more to fall, got {steps}.")

    def forward(self, like: Tensor) -> Tensor:
        r"""Returns the temperature of this pass, as a number of the dtype and device of a tensor.

        Arguments:
            like: A tensor, with any shape.
        """
        share = (self.passes.to(like) / self.steps).clamp(max=1)
        temperature = self.start * (share * math.log(self.final / self.start)).exp()

        if self.training and self.holds == 0:
            self.passes += 1

        return temperature

    def extra_repr(self) -> str:
        return f"{self.start} to {self.final} in {self.steps} steps"


@contextmanager
def held(*programs: Any) -> Iterator[None]:
    r"""Lets the temperatures of programs stay where they are: what they are called for is part of
    a pass that counts elsewhere.

    Example:
        >>> temperature = Temperature(1.0, final=0.25, steps=2)
        >>> with held(temperature):
        ...     first = temperature(torch.zeros(3))
        >>> bool(temperature(torch.zeros(3)) == first), int(temperature.passes)
        (True, 1)

    Arguments:
        programs: Modules; anything else has no temperature.
    """
    modules = [
        m for program in programs if isinstance(program, nn.Module) for m in program.modules()
    ]
    temperatures = [m for m in modules if isinstance(m, Temperature)]

    for temperature in temperatures:
        temperature.holds += 1
    try:
        yield
    finally:
        for temperature in temperatures:
            temperature.holds -= 1
