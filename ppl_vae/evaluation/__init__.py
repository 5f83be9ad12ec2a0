r"""Held-out evidence, with its error and the diagnostics that tell whether to trust it."""

from .evidence import Evidence, log_evidence
from .pareto import khat

__all__ = ["Evidence", "khat", "log_evidence"]
