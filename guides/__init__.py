r"""Inference programs :math:`q(z \mid x)`, one per file."""

from ppl_vae.guides.amortized import Amortized
from ppl_vae.guides.bottom_up import BottomUp

__all__ = ["Amortized", "BottomUp"]
