r"""One objective per file, each a :class:`pyro.infer.ELBO`."""

from .base import Estimate, Objective, Role
from .ciwae import CIWAE
from .cubo import CUBO
from .dreg import DReG
from .elbo import ELBO
from .enum_elbo import EnumELBO
from .iwae import IWAE
from .mean_field_elbo import MeanFieldELBO
from .miwae import MIWAE
from .nvil import NVIL
from .piwae import PIWAE
from .pyro_objective import PyroObjective, as_objective
from .renyi import Renyi
from .reweighted_wake_sleep import ReweightedWakeSleep
from .schedule import LinearWarmup, Schedule
from .sticking_the_landing import StickingTheLanding
from .tvo import TVO
from .vimco import VIMCO
from .vr_max import VRMax

__all__ = [
    "CIWAE",
    "CUBO",
    "ELBO",
    "IWAE",
    "MIWAE",
    "NVIL",
    "PIWAE",
    "TVO",
    "VIMCO",
    "DReG",
    "EnumELBO",
    "Estimate",
    "LinearWarmup",
    "MeanFieldELBO",
    "Objective",
    "PyroObjective",
    "Renyi",
    "ReweightedWakeSleep",
    "Role",
    "Schedule",
    "StickingTheLanding",
    "VRMax",
    "as_objective",
]
