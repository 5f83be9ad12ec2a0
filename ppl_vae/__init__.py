r"""Variational auto-encoders declared as probabilistic programs, on Pyro and PyTorch."""

from .arviz import to_arviz
from .conditional import Conditional
from .evaluation import Evidence, log_evidence
from .experiment import Experiment
from .fit import fit
from .fit_prior import fit_prior
from .legality import Verdict, judge
from .run import Run, load, train
from .svi import SVI
from .weights import Weights, log_joint, log_weights, rescore, simulate

__all__ = [
    "SVI",
    "Conditional",
    "Evidence",
    "Experiment",
    "Run",
    "Verdict",
    "Weights",
    "fit",
    "fit_prior",
    "judge",
    "load",
    "log_evidence",
    "log_joint",
    "log_weights",
    "rescore",
    "simulate",
    "to_arviz",
    "train",
]
