r"""Capturing a function of tensors once, and replaying it fused."""

from .adam import Adam
from .arguments import tensors_of
from .choice import BACKENDS, check_backend, choose
from .cuda import CudaGraph
from .errors import StagingError, reason_of, warn
from .staged import Entry, Staged

__all__ = [
    "BACKENDS",
    "Adam",
    "CudaGraph",
    "Entry",
    "Staged",
    "StagingError",
    "check_backend",
    "choose",
    "reason_of",
    "tensors_of",
    "warn",
]
