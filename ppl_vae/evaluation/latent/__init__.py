r"""How the latent variables are used.

:func:`latent_use` gathers what the codes of data tell: which of their elements are active, what
each costs, the information that they hold of the data, and how far their law, the aggregate
posterior, is from the prior. With labels, :func:`linear_probe` and :func:`k_means` tell whether
classes lie apart; with the factors behind the data, :func:`mig`, :func:`sap`, :func:`dci` and
:func:`factor_vae_metric` tell whether each has a dimension of its own.
"""

from .clusters import Clusters, k_means, matched_accuracy
from .dci import dci
from .factor_vae import factor_vae_metric
from .information import Bracket, Information, surgery
from .latent_use import latent_use
from .mig import mig
from .probe import Probe, linear_probe
from .result import LatentUse
from .sap import sap
from .site import SiteUse

__all__ = [
    "Bracket",
    "Clusters",
    "Information",
    "LatentUse",
    "Probe",
    "SiteUse",
    "dci",
    "factor_vae_metric",
    "k_means",
    "latent_use",
    "linear_probe",
    "matched_accuracy",
    "mig",
    "sap",
    "surgery",
]
