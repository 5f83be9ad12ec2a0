r"""One prior per file."""

from .autoregressive import Autoregressive
from .base import Prior
from .bernoulli import Bernoulli
from .categorical import Categorical
from .exemplar import Exemplar
from .family_prior import FamilyPrior
from .flow import Flow
from .gaussian_mixture import GaussianMixture
from .laplace import Laplace
from .learned_normal import LearnedNormal
from .one_hot import OneHot
from .shifted import Shifted
from .spherical_uniform import SphericalUniform
from .standard_normal import StandardNormal
from .student_t import StudentT
from .tempered import Tempered
from .uniform import Uniform
from .vamp import Vamp

__all__ = [
    "Autoregressive",
    "Bernoulli",
    "Categorical",
    "Exemplar",
    "FamilyPrior",
    "Flow",
    "GaussianMixture",
    "Laplace",
    "LearnedNormal",
    "OneHot",
    "Prior",
    "Shifted",
    "SphericalUniform",
    "StandardNormal",
    "StudentT",
    "Tempered",
    "Uniform",
    "Vamp",
]
