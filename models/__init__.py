r"""Generative programs :math:`p(x, z)`, one per file."""

from ppl_vae.models.hierarchical import Hierarchical
from ppl_vae.models.linear import Linear
from ppl_vae.models.vae import VAE

__all__ = ["VAE", "Hierarchical", "Linear"]
