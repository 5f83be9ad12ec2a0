r"""Inference programs :math:`q(z \mid x)`, one per file."""

from ppl_vae.guides.amortized import Amortized
from ppl_vae.guides.bottom_up import BottomUp
from ppl_vae.guides.ladder import Ladder
from ppl_vae.guides.semi_amortized import SemiAmortized

__all__ = ["Amortized", "BottomUp", "Ladder", "SemiAmortized"]
