r"""Ways of taking steps: each computes gradients and updates parameters, alike in every number."""

from .base import Row, Stopped, Way
from .choice import choose_way
from .fused import FusedSteps
from .gradient import GradientSteps
from .graphed import GraphedSteps
from .setting import Feed, Setting

__all__ = [
    "Feed",
    "FusedSteps",
    "GradientSteps",
    "GraphedSteps",
    "Row",
    "Setting",
    "Stopped",
    "Way",
    "choose_way",
]
