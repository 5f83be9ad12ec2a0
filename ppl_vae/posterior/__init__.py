r"""Draws of the latent variables behind data, and what the model predicts from them."""

from .draws import METHODS, posterior_draws

__all__ = ["METHODS", "posterior_draws"]
