r"""Held-out evidence, with its error and the diagnostics that tell whether to trust it.

Lower bounds on :math:`\log p(x)` are told by :func:`log_evidence` (importance weighting) and
:func:`annealed_evidence` (annealed importance sampling); :func:`sandwich` adds upper ones, on data
that the model draws. :func:`inference_gap` splits what a guide costs, :func:`calibration` tests it
as a posterior, :func:`guide_misfit` tells if it is too narrow, too wide or shifted,
:func:`latent_use` tells what its codes hold, and :func:`sample_quality` compares
what the model draws with data.
"""

from .active import active_units
from .annealing import (
    Annealed,
    RateDistortion,
    Sandwich,
    annealed_evidence,
    rate_distortion,
    sandwich,
)
from .calibration import Calibration, calibration
from .evidence import Evidence
from .gap import Gap, inference_gap
from .importance import log_evidence
from .kept import Kept
from .latent import LatentUse, latent_use
from .misfit import Misfit
from .pareto import khat
from .refine import refine
from .refined import Refined
from .reweight import guide_misfit
from .samples import SampleQuality, sample_quality
from .signal import signal_to_noise
from .two_sample import TwoSample, mmd_test

__all__ = [
    "Annealed",
    "Calibration",
    "Evidence",
    "Gap",
    "Kept",
    "LatentUse",
    "Misfit",
    "RateDistortion",
    "Refined",
    "SampleQuality",
    "Sandwich",
    "TwoSample",
    "active_units",
    "annealed_evidence",
    "calibration",
    "guide_misfit",
    "inference_gap",
    "khat",
    "latent_use",
    "log_evidence",
    "mmd_test",
    "rate_distortion",
    "refine",
    "sample_quality",
    "sandwich",
    "signal_to_noise",
]
