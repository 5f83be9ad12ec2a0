r"""Capturing a function of tensors once, and replaying it fused."""

from .adam import Adam
from .arguments import tensors_of
from .choice import Backend, check_backend, choose
from .cuda import CudaGraph
from .errors import StagingError, reason_of, warn
from .places import Place
from .staged import Entry, Staged

__all__ = [
    "Adam",
    "Backend",
    "CudaGraph",
    "Entry",
    "Place",
    "Staged",
    "StagingError",
    "check_backend",
    "choose",
    "reason_of",
    "tensors_of",
    "warn",
]
