r"""Comparison of runs: seeds in groups, ranked by their evidence, and how they were trained."""

from .groups import NotEvaluated, groups, illustrate
from .histories import histories
from .table import print_table

__all__ = ["NotEvaluated", "groups", "histories", "illustrate", "print_table"]
