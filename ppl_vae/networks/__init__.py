r"""One builder of networks per file."""

from .base import Network
from .conv import conv
from .dcgan import dcgan
from .gated import gated
from .gru import gru
from .initialized import initialized
from .mlp import mlp
from .pretrained import pretrained
from .resnet import resnet
from .spectral import spectral
from .transformer import transformer

__all__ = [
    "Network",
    "conv",
    "dcgan",
    "gated",
    "gru",
    "initialized",
    "mlp",
    "pretrained",
    "resnet",
    "spectral",
    "transformer",
]
