r"""One objective per file, each a :class:`pyro.infer.ELBO`."""

from .base import Estimate, Objective, Role
from .beta import Beta
from .beta_tc import BetaTC
from .capacity import Capacity
from .ciwae import CIWAE
from .cubo import CUBO
from .dip import DIP
from .dreg import DReG
from .elbo import ELBO
from .enum_elbo import EnumELBO
from .free_bits import FreeBits
from .geco import GECO
from .info_vae import InfoVAE
from .iwae import IWAE
from .mean_field_elbo import MeanFieldELBO
from .miwae import MIWAE
from .nvil import NVIL
from .piwae import PIWAE
from .pyro_objective import PyroObjective, as_objective
from .renyi import Renyi
from .reweighted_wake_sleep import ReweightedWakeSleep
from .schedule import CyclicalWarmup, LinearWarmup, Schedule, SigmoidWarmup
from .sticking_the_landing import StickingTheLanding
from .target_rate import TargetRate
from .tempered import Tempered
from .tvo import TVO
from .vimco import VIMCO
from .vr_max import VRMax
from .wae import WAE

__all__ = [
    "CIWAE",
    "CUBO",
    "DIP",
    "ELBO",
    "GECO",
    "IWAE",
    "MIWAE",
    "NVIL",
    "PIWAE",
    "TVO",
    "VIMCO",
    "WAE",
    "Beta",
    "BetaTC",
    "Capacity",
    "CyclicalWarmup",
    "DReG",
    "EnumELBO",
    "Estimate",
    "FreeBits",
    "InfoVAE",
    "LinearWarmup",
    "MeanFieldELBO",
    "Objective",
    "PyroObjective",
    "Renyi",
    "ReweightedWakeSleep",
    "Role",
    "Schedule",
    "SigmoidWarmup",
    "StickingTheLanding",
    "TargetRate",
    "Tempered",
    "VRMax",
    "as_objective",
]
