r"""Data sets: embedded, public and the user's own; binarization, protocols and batches."""

from __future__ import annotations

__all__ = ["Data", "Split", "array", "digits", "mnist", "stored", "vision"]

from .array import array
from .base import Data
from .digits import digits
from .mnist import mnist
from .split import Split
from .stored import stored
from .vision import vision
