r"""One prior per file."""

from .base import Prior
from .family_prior import FamilyPrior
from .flow import Flow
from .gaussian_mixture import GaussianMixture
from .learned_normal import LearnedNormal
from .standard_normal import StandardNormal
from .vamp import Vamp

__all__ = [
    "FamilyPrior",
    "Flow",
    "GaussianMixture",
    "LearnedNormal",
    "Prior",
    "StandardNormal",
    "Vamp",
]
