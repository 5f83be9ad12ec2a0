r"""Held-out evidence, with its error and the diagnostics that tell whether to trust it."""

from .active import active_units
from .evidence import Evidence, log_evidence
from .pareto import khat
from .refine import refine
from .refined import Refined
from .signal import signal_to_noise

__all__ = [
    "Evidence",
    "Refined",
    "active_units",
    "khat",
    "log_evidence",
    "refine",
    "signal_to_noise",
]
