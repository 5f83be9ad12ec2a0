r"""One distribution family per file; each serves as likelihood and as posterior."""

from .base import Family
from .bernoulli import Bernoulli
from .binomial import Binomial
from .categorical import Categorical
from .flow import Flow
from .full_rank_normal import FullRankNormal
from .laplace import Laplace
from .normal import Normal

__all__ = [
    "Bernoulli",
    "Binomial",
    "Categorical",
    "Family",
    "Flow",
    "FullRankNormal",
    "Laplace",
    "Normal",
]
