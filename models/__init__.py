r"""Generative programs :math:`p(x, z)`, one per file."""

from .hierarchical import Hierarchical
from .linear import Linear
from .vae import VAE

__all__ = ["VAE", "Hierarchical", "Linear"]
