r"""Capturing a function of tensors once, and replaying it fused."""

from .adam import Adam
from .choice import BACKENDS, check_backend, choose
from .cuda import CudaGraph
from .errors import StagingError
from .staged import Staged

__all__ = ["BACKENDS", "Adam", "CudaGraph", "Staged", "StagingError", "check_backend", "choose"]
