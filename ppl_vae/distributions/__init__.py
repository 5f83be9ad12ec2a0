r"""Distributions that Pyro has not, one per file; any program may draw from them."""

from .additive_logistic import AdditiveLogistic
from .clamped import Clamped
from .continuous_bernoulli import ContinuousBernoulli
from .dequantized import Dequantized
from .discretized_logistic import DiscretizedLogistic
from .discretized_logistic_mixture import DiscretizedLogisticMixture
from .huber import Huber
from .implicit import Implicit, is_implicit
from .masked_elements import MaskedElements
from .multinomial import Multinomial
from .multivariate_normal import LowRankMultivariateNormal, MultivariateNormal
from .negative_binomial import NegativeBinomial
from .one_hot_categorical import OneHotCategorical
from .poisson import Poisson
from .power_spherical import PowerSpherical
from .product import Product
from .relaxed_bernoulli import RelaxedBernoulli
from .relaxed_one_hot import RelaxedOneHot
from .spherical_uniform import SphericalUniform
from .truncated import Truncated
from .von_mises_fisher import VonMisesFisher
from .zero_inflated import ZeroInflated

__all__ = [
    "AdditiveLogistic",
    "Clamped",
    "ContinuousBernoulli",
    "Dequantized",
    "DiscretizedLogistic",
    "DiscretizedLogisticMixture",
    "Huber",
    "Implicit",
    "LowRankMultivariateNormal",
    "MaskedElements",
    "Multinomial",
    "MultivariateNormal",
    "NegativeBinomial",
    "OneHotCategorical",
    "Poisson",
    "PowerSpherical",
    "Product",
    "RelaxedBernoulli",
    "RelaxedOneHot",
    "SphericalUniform",
    "Truncated",
    "VonMisesFisher",
    "ZeroInflated",
    "is_implicit",
]
