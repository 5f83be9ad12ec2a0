r"""Comparison of runs: seeds in groups, ranked by their evidence, and how they were trained."""

from .groups import NotEvaluated, groups, illustrate
from .histories import histories
from .paired import Paired, paired
from .table import print_table

__all__ = ["NotEvaluated", "Paired", "groups", "histories", "illustrate", "paired", "print_table"]
