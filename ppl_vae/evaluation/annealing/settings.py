r"""How chains are run."""

from __future__ import annotations

from dataclasses import dataclass

from .path import Start
from .schedule import Spacing, schedule

__all__ = ["Settings"]


@dataclass(frozen=True)
class Settings:
    r"""How chains are run.

    Arguments:
        steps: The number :math:`T` of steps from the start to the posterior.
        chains: The number of chains of each datum.
        leapfrog: The number of leapfrog steps of each transition.
        start: What chains start from: ``"prior"`` or ``"guide"``.
        spacing: How the powers are spaced, as in :func:`schedule`.
        seed: The seed of all draws.

    Raises:
        ValueError: If a number is not positive, or there is no such start or schedule.
    """

    steps: int = 1000
    chains: int = 16
    leapfrog: int = 2
    start: Start = "prior"
    spacing: Spacing = "sigmoid"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "chains", "leapfrog"):
            if getattr(self, name) < 1:
                raise ValueError(f"Annealing needs {name} of 1 or more, got {getattr(self, name)}.")
        schedule(self.steps, self.spacing)
