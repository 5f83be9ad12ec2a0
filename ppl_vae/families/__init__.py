r"""One distribution family per file; each serves as likelihood and as posterior."""

from .base import Family
from .bernoulli import Bernoulli
from .beta import Beta
from .binomial import Binomial
from .categorical import Categorical
from .clamped import Clamped
from .continuous_bernoulli import ContinuousBernoulli
from .delta import Delta
from .dequantized import Dequantized
from .dirichlet import Dirichlet
from .discretized_logistic import DiscretizedLogistic
from .discretized_logistic_mixture import DiscretizedLogisticMixture
from .flow import Flow
from .full_rank_normal import FullRankNormal
from .gamma import Gamma
from .huber import Huber
from .implicit import Implicit
from .laplace import Laplace
from .log_normal import LogNormal
from .logistic_normal import LogisticNormal
from .low_rank_normal import LowRankNormal
from .masked import Masked
from .mixture import Mixture
from .multinomial import Multinomial
from .negative_binomial import NegativeBinomial
from .normal import Normal
from .one_hot import OneHot
from .planar import Planar
from .poisson import Poisson
from .power_spherical import PowerSpherical
from .product import Product
from .relaxed_bernoulli import RelaxedBernoulli
from .relaxed_one_hot import RelaxedOneHot
from .student_t import StudentT
from .sylvester import Sylvester
from .truncated import Truncated
from .von_mises_fisher import VonMisesFisher
from .zero_inflated import ZeroInflated

__all__ = [
    "Bernoulli",
    "Beta",
    "Binomial",
    "Categorical",
    "Clamped",
    "ContinuousBernoulli",
    "Delta",
    "Dequantized",
    "Dirichlet",
    "DiscretizedLogistic",
    "DiscretizedLogisticMixture",
    "Family",
    "Flow",
    "FullRankNormal",
    "Gamma",
    "Huber",
    "Implicit",
    "Laplace",
    "LogNormal",
    "LogisticNormal",
    "LowRankNormal",
    "Masked",
    "Mixture",
    "Multinomial",
    "NegativeBinomial",
    "Normal",
    "OneHot",
    "Planar",
    "Poisson",
    "PowerSpherical",
    "Product",
    "RelaxedBernoulli",
    "RelaxedOneHot",
    "StudentT",
    "Sylvester",
    "Truncated",
    "VonMisesFisher",
    "ZeroInflated",
]
