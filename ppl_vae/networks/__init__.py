r"""One builder of networks per file."""

from .base import Network
from .conv import conv
from .mlp import mlp
from .resnet import resnet

__all__ = ["Network", "conv", "mlp", "resnet"]
