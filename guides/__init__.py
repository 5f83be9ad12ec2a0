r"""Inference programs :math:`q(z \mid x)`, one per file."""

from .amortized import Amortized
from .bottom_up import BottomUp

__all__ = ["Amortized", "BottomUp"]
