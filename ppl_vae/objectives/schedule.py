r"""Schedules over training steps."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

__all__ = ["CyclicalWarmup", "LinearWarmup", "Schedule", "SigmoidWarmup"]


class Schedule(ABC):
    r"""A number that changes over training steps.

    To write a new one, subclass it, return the number at a step from :meth:`__call__`, and tell
    in ``steps`` how many steps it takes to settle: a training that ends before is refused, since
    it would optimize another objective than it claims.
    """

    steps: int

    @abstractmethod
    def __call__(self, step: int) -> float:
        r"""Returns the number at a step, counted from zero."""


class LinearWarmup(Schedule):
    r"""A number that rises linearly and then stays.

    .. math:: \beta_t = a + (b - a) \min(1, t / T)

    Example:
        >>> warmup = LinearWarmup(steps=100)
        >>> warmup(0), warmup(50), warmup(1000)
        (0.0, 0.5, 1.0)

    References:
        | Generating Sentences from a Continuous Space (Bowman et al., 2016)
        | https://arxiv.org/abs/1511.06349

        | Ladder Variational Autoencoders (Sonderby et al., 2016)
        | https://arxiv.org/abs/1602.02282

    Arguments:
        steps: The number :math:`T` of steps of the rise.
        start: The number :math:`a` at the start.
        end: The number :math:`b` at the end.

    Raises:
        ValueError: If there is no step, or a number is negative.
    """

    def __init__(self, steps: int, start: float = 0.0, end: float = 1.0) -> None:
        if steps < 1:
            raise ValueError(f"A warm-up needs one step or more, got {steps}.")
        if start < 0 or end < 0:
            raise ValueError(f"A warm-up goes between positive numbers, got {start} to {end}.")

        self.steps = steps
        self.start = start
        self.end = end

    def __call__(self, step: int) -> float:
        return self.start + (self.end - self.start) * min(1.0, step / self.steps)

    def __repr__(self) -> str:
        return f"LinearWarmup(steps={self.steps}, start={self.start}, end={self.end})"


class CyclicalWarmup(Schedule):
    r"""A number that rises again and again, and then stays.

    .. math:: \beta_t = b \min \Big( 1, \frac{(t \bmod P) / P}{r} \Big) \quad t < M P
        \qquad \beta_t = b \quad t \geq M P

    with :math:`P = T / M` steps for each of the :math:`M` cycles.

    Example:
        >>> warmup = CyclicalWarmup(steps=100, cycles=2, share=0.5)
        >>> [warmup(step) for step in (0, 20, 25, 49, 50, 99, 100)]
        [0.0, 0.8, 1.0, 1.0, 0.0, 1.0, 1.0]

    References:
        | Cyclical Annealing Schedule: A Simple Approach to Mitigating KL Vanishing
        | (Fu et al., 2019)
        | https://arxiv.org/abs/1903.10145

    Arguments:
        steps: The number :math:`T` of steps of all cycles.
        cycles: The number :math:`M` of cycles.
        share: The share :math:`r` of a cycle in which the number rises.
        end: The number :math:`b` at the top.

    Raises:
        ValueError: If there are fewer steps than cycles, no cycle, the share is not above zero
            and at most one, or the number is negative.
    """

    def __init__(self, steps: int, cycles: int = 4, share: float = 0.5, end: float = 1.0) -> None:
        if not 1 <= cycles <= steps:
            raise ValueError(
                f"A cyclical warm-up needs a step or more for each cycle, got {steps} steps for "
                f"{cycles} cycles."
            )
        if not 0 < share <= 1 or end < 0:
            raise ValueError(
                "A cyclical warm-up rises over a share of each cycle, above 0 and at most 1, to a "
                f"positive number; got share={share} and end={end}."
            )

        self.steps = steps
        self.cycles = cycles
        self.share = share
        self.end = end

    def __call__(self, step: int) -> float:
        if step >= self.steps:
            return self.end

        # In whole numbers: the rest of a division by a fraction may be the fraction itself.
        passed = step * self.cycles % self.steps
        return self.end * min(1.0, passed / (self.steps * self.share))

    def __repr__(self) -> str:
        return f"CyclicalWarmup(steps={self.steps}, cycles={self.cycles}, share={self.share})"


class SigmoidWarmup(Schedule):
    r"""A number that rises along a sigmoid and then stays.

    .. math:: \beta_t = b \, \frac{s(t / T) - s(0)}{s(1) - s(0)} \qquad
        s(u) = \frac{1}{1 + e^{-k (u - 1 / 2)}}

    scaled so that it begins at zero and ends at :math:`b` exactly.

    Example:
        >>> warmup = SigmoidWarmup(steps=100)
        >>> warmup(0), round(warmup(25), 3), warmup(50), warmup(1000)
        (0.0, 0.07, 0.5, 1.0)

    References:
        | Generating Sentences from a Continuous Space (Bowman et al., 2016)
        | https://arxiv.org/abs/1511.06349

    Arguments:
        steps: The number :math:`T` of steps of the rise.
        steepness: The steepness :math:`k`.
        end: The number :math:`b` at the end.

    Raises:
        ValueError: If there is no step, the steepness is not positive, or the number is negative.
    """

    def __init__(self, steps: int, steepness: float = 10.0, end: float = 1.0) -> None:
        if steps < 1:
            raise ValueError(f"A warm-up needs one step or more, got {steps}.")
        if steepness <= 0 or end < 0:
            raise ValueError(
                "A sigmoid warm-up needs a positive steepness and an end that is not negative, got "
                f"{steepness} and {end}."
            )

        self.steps = steps
        self.steepness = steepness
        self.end = end

    def __call__(self, step: int) -> float:
        u = min(1.0, step / self.steps)
        centred = math.tanh(self.steepness * (u - 0.5) / 2) / math.tanh(self.steepness / 4)
        return self.end * (1 + centred) / 2

    def __repr__(self) -> str:
        return f"SigmoidWarmup(steps={self.steps}, steepness={self.steepness}, end={self.end})"
