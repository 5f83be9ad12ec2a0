r"""One objective per file, each a :class:`pyro.infer.ELBO`."""

from .aae import AAE
from .avb import AVB
from .base import Objective
from .beta import Beta
from .beta_tc import BetaTC
from .capacity import Capacity
from .ciwae import CIWAE
from .cubo import CUBO
from .dip import DIP
from .dreg import DReG
from .elbo import ELBO
from .enum_elbo import EnumELBO
from .factor import Factor
from .free_bits import FreeBits
from .geco import GECO
from .info_vae import InfoVAE
from .iwae import IWAE
from .mean_field_elbo import MeanFieldELBO
from .miwae import MIWAE
from .monte_carlo_em import MonteCarloEM
from .nvil import NVIL
from .piwae import PIWAE
from .pyro_objective import PyroObjective, as_objective
from .rae import RAE
from .renyi import Renyi
from .reweighted_wake_sleep import ReweightedWakeSleep
from .role import Estimate, Role
from .schedule import CyclicalWarmup, LinearWarmup, Schedule, SigmoidWarmup
from .sticking_the_landing import StickingTheLanding
from .target_rate import TargetRate
from .tempered import Tempered
from .tvo import TVO
from .vae_gan import VAEGAN
from .vimco import VIMCO
from .vr_max import VRMax
from .wae import WAE

__all__ = [
    "AAE",
    "AVB",
    "CIWAE",
    "CUBO",
    "DIP",
    "ELBO",
    "GECO",
    "IWAE",
    "MIWAE",
    "NVIL",
    "PIWAE",
    "RAE",
    "TVO",
    "VAEGAN",
    "VIMCO",
    "WAE",
    "Beta",
    "BetaTC",
    "Capacity",
    "CyclicalWarmup",
    "DReG",
    "EnumELBO",
    "Estimate",
    "Factor",
    "FreeBits",
    "InfoVAE",
    "LinearWarmup",
    "MeanFieldELBO",
    "MonteCarloEM",
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
