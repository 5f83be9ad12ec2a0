r"""One objective per file, each a :class:`pyro.infer.ELBO`."""

from .base import Estimate, Objective, Role
from .elbo import ELBO
from .iwae import IWAE
from .mean_field_elbo import MeanFieldELBO
from .pyro_objective import PyroObjective, as_objective
from .schedule import LinearWarmup, Schedule

__all__ = [
    "ELBO",
    "IWAE",
    "Estimate",
    "LinearWarmup",
    "MeanFieldELBO",
    "Objective",
    "PyroObjective",
    "Role",
    "Schedule",
    "as_objective",
]
