r"""Capturing a function of tensors once, and replaying it fused."""

from .adam import Adam
from .cuda import CudaGraph
from .choice import BACKENDS, choose
from .errors import StagingError
from .staged import Staged

__all__ = ["BACKENDS", "Adam", "CudaGraph", "Staged", "StagingError", "choose"]
