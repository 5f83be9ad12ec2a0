r"""Schedules over training steps."""

from __future__ import annotations

from abc import ABC, abstractmethod

__all__ = ["LinearWarmup", "Schedule"]


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
