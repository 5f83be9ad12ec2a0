r"""Held-out evidence, with its error and the diagnostics that tell whether to trust it."""

from .evidence import Evidence, log_evidence
from .pareto import khat
from .refine import refine
from .refined import Refined
from .signal import signal_to_noise

__all__ = ["Evidence", "Refined", "khat", "log_evidence", "refine", "signal_to_noise"]
