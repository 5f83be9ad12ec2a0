r"""Annealed importance sampling, and what stands on it."""

from .ais import annealed_evidence
from .annealed import Annealed
from .bdmc import sandwich
from .rate_distortion import RateDistortion, rate_distortion
from .sandwich import Sandwich
from .settings import Settings

__all__ = [
    "Annealed",
    "RateDistortion",
    "Sandwich",
    "Settings",
    "annealed_evidence",
    "rate_distortion",
    "sandwich",
]
